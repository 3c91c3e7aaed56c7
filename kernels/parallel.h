#pragma once

#include <cstdint>
#include <type_traits>

namespace reel::kernels {

/// How many threads the kernels may use, from 1 to 64: a number below or above is taken for the nearer of the
/// two. Results never depend on it. Any thread may change it at any time; loops that run keep the number they
/// began with.
void set_threads(int count);
int threads();

namespace detail {
using Task = void (*)(void* context, std::int64_t index, int worker);
void run_tasks(std::int64_t tasks, double cost, int workers, Task task, void* context);
}  // namespace detail

/// Runs body(i, worker) for i in [0, tasks), on at most `workers` threads, and on several only when the whole
/// work is worth waking them for. `worker`, from 0 to workers - 1, is the same for no two tasks that run at
/// once: it says which piece of a Workspace a task may use, and must not reach a result.
///
/// `cost` is a rough count of the operations (or bytes, where they dominate) of the whole loop; below a
/// measured threshold it runs on the caller alone. Which tasks exist must follow from shapes only, never from
/// the number of threads, wherever a result sees it: that is what keeps every result bit for bit the same.
/// `body` must not throw.
template <class Body>
void parallel_for(std::int64_t tasks, double cost, int workers, Body&& body) {
  using Plain = std::remove_reference_t<Body>;
  const auto task = [](void* context, std::int64_t i, int worker) {
    (*static_cast<Plain*>(context))(i, worker);
  };
  void* const context = const_cast<void*>(static_cast<const void*>(&body));
  if (tasks == 1) {
    task(context, 0, 0);
  } else {
    detail::run_tasks(tasks, cost, workers, task, context);
  }
}

/// The same for body(i), on at most threads() of them.
template <class Body>
void parallel_for(std::int64_t tasks, double cost, Body&& body) {
  parallel_for(tasks, cost, threads(), [&body](std::int64_t i, int) { body(i); });
}

/// body(first, count) for the stretches of [0, n), each `stretch` long but the last.
template <class Body>
void parallel_stretches(std::int64_t n, std::int64_t stretch, double cost, Body&& body) {
  parallel_for((n + stretch - 1) / stretch, cost, [&](std::int64_t task) {
    const std::int64_t first = task * stretch;
    body(first, n - first < stretch ? n - first : stretch);
  });
}

}  // namespace reel::kernels
