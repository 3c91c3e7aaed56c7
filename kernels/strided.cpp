#include "kernels/strided.h"

#include <algorithm>

#include "kernels/dual.h"
#include "kernels/parallel.h"

namespace reel::kernels {
namespace {

// Joins neighbouring dimensions that are one stretch of memory, so that the inner loop is as long as it can
// be.
Strided joined(const Strided& view) {
  Strided result;
  result.start = view.start;
  for (int d = 0; d < view.rank; ++d) {
    if (view.sizes[d] == 1) continue;
    const int last = result.rank - 1;
    if (result.rank > 0 && result.strides[last] == view.strides[d] * view.sizes[d]) {
      result.sizes[last] *= view.sizes[d];
      result.strides[last] = view.strides[d];
    } else {
      result.sizes[result.rank] = view.sizes[d];
      result.strides[result.rank] = view.strides[d];
      ++result.rank;
    }
  }
  if (result.rank == 0) {
    result.rank = 1;
    result.sizes[0] = 1;
    for (int d = 0; d < view.rank; ++d) result.sizes[0] *= view.sizes[d];
    result.strides[0] = 1;
  }
  return result;
}

// Calls body(offset in the view's array, index of the row's first element in the contiguous one) for rows
// [first, last), a row being the innermost dimension.
template <class Body>
void each_row(const Strided& view, std::int64_t first, std::int64_t last, Body body) {
  const int outer = view.rank - 1;
  const std::int64_t cols = view.sizes[outer];
  for (std::int64_t row = first; row < last; ++row) {
    std::int64_t rest = row;
    std::int64_t offset = view.start;
    for (int d = outer - 1; d >= 0; --d) {
      offset += rest % view.sizes[d] * view.strides[d];
      rest /= view.sizes[d];
    }
    body(offset, row * cols);
  }
}

template <class Body>
void parallel_rows(const Strided& view, Body body) {
  std::int64_t rows = 1;
  for (int d = 0; d + 1 < view.rank; ++d) rows *= view.sizes[d];
  const std::int64_t cols = view.sizes[view.rank - 1];
  if (rows == 0 || cols == 0) return;
  const std::int64_t rows_per_task = std::max<std::int64_t>(1, 16384 / cols);
  const std::int64_t tasks = (rows + rows_per_task - 1) / rows_per_task;
  parallel_for(tasks, 4.0 * static_cast<double>(rows) * static_cast<double>(cols), [&](std::int64_t task) {
    each_row(view, task * rows_per_task, std::min(rows, (task + 1) * rows_per_task), body);
  });
}

}  // namespace

template <class T>
void gather_strided(const T* from, const Strided& original, Into<T> to) {
  if (!to) return;
  const Strided view = joined(original);
  const std::int64_t cols = view.sizes[view.rank - 1];
  const std::int64_t stride = view.strides[view.rank - 1];
  parallel_rows(view, [&](std::int64_t offset, std::int64_t first) {
    const T* x = from + offset;
    T* y = to.data + first;
    if (to.add) {
      for (std::int64_t j = 0; j < cols; ++j) y[j] += x[j * stride];
    } else if (stride == 1) {
      std::copy_n(x, cols, y);
    } else {
      for (std::int64_t j = 0; j < cols; ++j) y[j] = x[j * stride];
    }
  });
}

template <class T>
void scatter_strided(const T* from, const Strided& original, Into<T> to) {
  if (!to) return;
  const Strided view = joined(original);
  const std::int64_t cols = view.sizes[view.rank - 1];
  const std::int64_t stride = view.strides[view.rank - 1];
  parallel_rows(view, [&](std::int64_t offset, std::int64_t first) {
    const T* x = from + first;
    T* y = to.data + offset;
    if (to.add) {
      for (std::int64_t j = 0; j < cols; ++j) y[j * stride] += x[j];
    } else if (stride == 1) {
      std::copy_n(x, cols, y);
    } else {
      for (std::int64_t j = 0; j < cols; ++j) y[j * stride] = x[j];
    }
  });
}

#define REEL_INSTANTIATE(T)                                        \
  template void gather_strided(const T*, const Strided&, Into<T>); \
  template void scatter_strided(const T*, const Strided&, Into<T>)
REEL_INSTANTIATE(float);
REEL_INSTANTIATE(double);
REEL_INSTANTIATE(Dual);
#undef REEL_INSTANTIATE

}  // namespace reel::kernels
