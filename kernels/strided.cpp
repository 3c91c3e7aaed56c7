#include "kernels/strided.h"

#include <algorithm>

#include "kernels/dual.h"
#include "kernels/parallel.h"
#include "kernels/transpose.h"

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

// to [cols, rows] (+)= the transpose of from [rows, cols]. Going along either's rows alone would use one
// number of every line of the other; a square of registers uses whole lines of both.
template <class T>
void turn(const T* from, std::int64_t from_stride, std::int64_t rows, std::int64_t cols, Into<T> to,
          std::int64_t to_stride) {
  using S = Simd<T>;
  constexpr std::int64_t lanes = S::lanes;
  const auto turn_one = [&](std::int64_t r, std::int64_t c) {
    to.store(c * to_stride + r, from[r * from_stride + c]);
  };
  std::int64_t r = 0;
  if constexpr (lanes > 1) {
    for (; r + lanes <= rows; r += lanes) {
      std::int64_t c = 0;
      for (; c + lanes <= cols; c += lanes) {
        T* const corner = to.data + c * to_stride + r;
        const SquareRows<T> square(from + r * from_stride + c, from_stride);
        if (to.add) {
          turn_square<T>(square, [&](int k, const auto& column) {
            S::store(corner + k * to_stride, S::load(corner + k * to_stride) + column);
          });
        } else {
          turn_square<T>(square,
                         [&](int k, const auto& column) { S::store(corner + k * to_stride, column); });
        }
      }
      for (; c < cols; ++c) {
        for (std::int64_t i = r; i < r + lanes; ++i) turn_one(i, c);
      }
    }
  }
  for (; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) turn_one(r, c);
  }
}

// The dimension whose numbers lie side by side in the view's array, where it is another than the innermost
// and both are worth turning; -1 if there is none.
template <class T>
int side_by_side(const Strided& view) {
  const int inner = view.rank - 1;
  const auto worth = [&view](int d) { return view.sizes[d] >= std::max(4, Simd<T>::lanes); };
  for (int d = 0; d < inner; ++d) {
    if (view.strides[d] == 1 && view.strides[inner] != 1 && worth(d) && worth(inner)) return d;
  }
  return -1;
}

// gather_strided where dimension `across` is side_by_side: one transposition for all indices of the others.
template <class T>
void gather_turned(const T* from, const Strided& view, int across, Into<T> to) {
  constexpr std::int64_t most = 128;  // rows and columns of a tile: both its ends fit into the second cache
  const int inner = view.rank - 1;
  const std::int64_t rows = view.sizes[inner], cols = view.sizes[across];
  std::int64_t to_strides[6];
  std::int64_t size = 1, planes = 1;
  for (int d = inner; d >= 0; --d) {
    to_strides[d] = size;
    size *= view.sizes[d];
    if (d != inner && d != across) planes *= view.sizes[d];
  }
  if (size == 0) return;
  const std::int64_t row_tiles = (rows + most - 1) / most, col_tiles = (cols + most - 1) / most;
  const auto turn_tile = [&](std::int64_t tile) {
    const std::int64_t row = tile % row_tiles * most;
    const std::int64_t col = tile / row_tiles % col_tiles * most;
    std::int64_t plane = tile / row_tiles / col_tiles;
    std::int64_t x = view.start + row * view.strides[inner] + col;
    std::int64_t y = row + col * to_strides[across];
    for (int d = inner - 1; d >= 0; --d) {
      if (d == across) continue;
      x += plane % view.sizes[d] * view.strides[d];
      y += plane % view.sizes[d] * to_strides[d];
      plane /= view.sizes[d];
    }
    turn(from + x, view.strides[inner], std::min(most, rows - row), std::min(most, cols - col),
         Into<T>{to.data + y, to.add}, to_strides[across]);
  };
  const std::int64_t tiles = planes * row_tiles * col_tiles;
  const std::int64_t tiles_per_task =
      std::max<std::int64_t>(1, most * most / (std::min(rows, most) * std::min(cols, most)));
  parallel_for((tiles + tiles_per_task - 1) / tiles_per_task, 4.0 * static_cast<double>(size),
               [&](std::int64_t task) {
                 const std::int64_t last = std::min(tiles, (task + 1) * tiles_per_task);
                 for (std::int64_t i = task * tiles_per_task; i < last; ++i) turn_tile(i);
               });
}

}  // namespace

template <class T>
void gather_strided(const T* from, const Strided& original, Into<T> to) {
  if (!to) return;
  const Strided view = joined(original);
  if (const int across = side_by_side<T>(view); across >= 0) return gather_turned(from, view, across, to);
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
