#pragma once

#include <cstdint>
#include <type_traits>

namespace reel::kernels {

/// How many threads the kernels may use (at least 1). Results never depend on it.
void set_threads(int count);
int threads();

namespace detail {
using Task = void (*)(void* context, std::int64_t index, int worker);
void run_tasks(std::int64_t tasks, double cost, Task task, void* context);
}  // namespace detail

/// Runs body(i), or body(i, worker), for i in [0, tasks), on several threads when the whole work is worth
/// waking them for. `worker`, from 0 to threads() - 1, is the same for no two tasks that run at once: it says
/// which piece of a Workspace a task may use, and must not reach a result.
///
/// `cost` is a rough count of the operations (or bytes, where they dominate) of the whole loop; below a
/// measured threshold it runs on the caller alone. Which tasks exist must follow from shapes only, never from
/// the number of threads: that is what keeps every result bit for bit the same. `body` must not throw.
template <class Body>
void parallel_for(std::int64_t tasks, double cost, Body&& body) {
  using Plain = std::remove_reference_t<Body>;
  const auto task = [](void* context, std::int64_t i, [[maybe_unused]] int worker) {
    Plain& run = *static_cast<Plain*>(context);
    if constexpr (std::is_invocable_v<Plain&, std::int64_t, int>) {
      run(i, worker);
    } else {
      run(i);
    }
  };
  void* const context = const_cast<void*>(static_cast<const void*>(&body));
  if (tasks == 1) {
    task(context, 0, 0);
  } else {
    detail::run_tasks(tasks, cost, task, context);
  }
}

}  // namespace reel::kernels
