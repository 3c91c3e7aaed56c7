#include "kernels/parallel.h"

#include <omp.h>

#include <algorithm>

namespace reel::kernels {
namespace {

// Waking and joining two threads costs a few microseconds, in which one core does some 100,000 simple operations.
constexpr double parallel_threshold = 1.0e5;

int& thread_setting() {
  static int count = std::max(1, omp_get_max_threads());
  return count;
}

}  // namespace

void set_threads(int count) { thread_setting() = std::max(1, count); }
int threads() { return thread_setting(); }

void detail::run_tasks(std::int64_t tasks, double cost, void (*task)(void*, std::int64_t), void* context) {
  const int wanted = static_cast<int>(std::min<std::int64_t>(threads(), tasks));
  if (wanted <= 1 || cost < parallel_threshold || omp_in_parallel()) {
    for (std::int64_t i = 0; i < tasks; ++i) task(context, i);
    return;
  }
#pragma omp parallel for num_threads(wanted) schedule(static)
  for (std::int64_t i = 0; i < tasks; ++i) task(context, i);
}

}  // namespace reel::kernels
