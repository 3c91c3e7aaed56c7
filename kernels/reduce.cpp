#include "kernels/reduce.h"

#include <algorithm>

#include "kernels/lanes.h"
#include "kernels/math.h"
#include "kernels/parallel.h"
#include "kernels/simd.h"

namespace reel::kernels {
namespace {

double work(std::int64_t rows, std::int64_t cols) {
  return static_cast<double>(rows) * static_cast<double>(cols);
}

// Rows are dealt out in groups, so that a task is worth handing over even if rows are short.
template <class Body>
void for_rows(std::int64_t rows, std::int64_t cols, Body body) {
  const std::int64_t group = cols >= 4096 ? 1 : 4096 / (cols + 1) + 1;
  parallel_for((rows + group - 1) / group, work(rows, cols), [&](std::int64_t task) {
    for (std::int64_t r = task * group; r < std::min(rows, (task + 1) * group); ++r) body(r);
  });
}

template <class T>
WideOf<T> mean_of(const T* x, std::int64_t n) {
  using W = WideOf<T>;
  return sum_of<W>(0, n, [x](std::int64_t i) { return W(x[i]); }) / W(static_cast<double>(n));
}

// sums [vectors * lanes, or fewer] = the sums of so many columns, which stay in registers.
template <int vectors, class T>
void add_columns(const T* x, std::int64_t stride, std::int64_t rows, int last, T* sums) {
  using S = Simd<T>;
  typename S::Vector acc[vectors];
  for (int v = 0; v < vectors; ++v) acc[v] = S::zero();
  for (std::int64_t r = 0; r < rows; ++r, x += stride) {
    for (int v = 0; v + 1 < vectors; ++v) acc[v] = acc[v] + S::load(x + v * S::lanes);
    const T* rest = x + (vectors - 1) * S::lanes;
    acc[vectors - 1] = acc[vectors - 1] + (last == S::lanes ? S::load(rest) : S::load(rest, last));
  }
  for (int v = 0; v + 1 < vectors; ++v) S::store(sums + v * S::lanes, acc[v]);
  S::store(sums + (vectors - 1) * S::lanes, acc[vectors - 1], last);
}

// sums [width] = the sum of the rows of x [rows, width], row by row.
template <class T>
void add_rows(const T* x, std::int64_t stride, std::int64_t rows, std::int64_t width, T* sums) {
  constexpr std::int64_t lanes = Simd<T>::lanes;
  constexpr std::int64_t most = 4 * lanes;
  for (std::int64_t c = 0; c < width; c += most) {
    const auto columns = static_cast<int>(std::min(most, width - c));
    const int vectors = (columns - 1) / static_cast<int>(lanes) + 1;
    const int last = columns - (vectors - 1) * static_cast<int>(lanes);
    const auto add = vectors == 1   ? add_columns<1, T>
                     : vectors == 2 ? add_columns<2, T>
                     : vectors == 3 ? add_columns<3, T>
                                    : add_columns<4, T>;
    add(x + c, stride, rows, last, sums + c);
  }
}

}  // namespace

template <class T>
T sum(const T* x, std::int64_t n) {
  constexpr std::int64_t most = 256;
  const std::int64_t part = std::max<std::int64_t>(1 << 15, (n / most / 1024 + 1) * 1024);
  const std::int64_t parts = (n + part - 1) / part;
  T partial[most];
  parallel_for(parts, static_cast<double>(n),
               [&](std::int64_t p) { partial[p] = sum_of(x + p * part, std::min(part, n - p * part)); });
  return sum_of(partial, parts);
}

template <class T>
void sum_axis(const T* x, std::int64_t outer, std::int64_t size, std::int64_t inner, Into<T> y) {
  if (!y) return;
  if (inner == 1 && outer == 1) {
    y.store(0, sum(x, size));
  } else if (inner == 1) {
    for_rows(outer, size, [&](std::int64_t r) { y.store(r, sum_of(x + r * size, size)); });
  } else {
    const std::int64_t tiles = (inner + column_tile - 1) / column_tile;
    parallel_for(outer * tiles, work(outer * size, inner), [&](std::int64_t task) {
      const std::int64_t o = task / tiles;
      const std::int64_t column = task % tiles * column_tile;
      const std::int64_t width = std::min(column_tile, inner - column);
      const T* block = x + o * size * inner + column;
      ColumnSums<T, 1> sums;
      const auto add = [block, inner, width](std::int64_t first, std::int64_t last, ColumnSums<T, 1>& acc) {
        add_rows(block + first * inner, inner, last - first, width, acc[0]);
      };
      column_sums_by<T, 1>(size, width, add, sums);
      write(y, o * inner + column, width, [&sums](std::int64_t c) { return sums[0][c]; });
    });
  }
}

namespace {

template <class T, class Better>
void row_extreme(const T* x, std::int64_t rows, std::int64_t cols, T* y, Better better) {
  for_rows(rows, cols, [&](std::int64_t r) {
    const T* row = x + r * cols;
    y[r] = best_of(row[0], row + 1, cols - 1, better);
  });
}

// The first of x [n] that is y, which is one of them. A row with a NaN has it as its maximum, which equals
// nothing.
template <class T>
std::int64_t first_that_is(const T* x, std::int64_t n, T y) {
  constexpr std::int64_t stretch = 64;
  const bool nan = !(y == y);
  const auto is = [nan, y](T v) { return nan ? !(v == v) : v == y; };
  std::int64_t i = 0;
  for (; i + stretch <= n; i += stretch) {
    bool any = false;
    for (std::int64_t l = 0; l < stretch; ++l) any |= is(x[i + l]);
    if (any) break;
  }
  while (i < n && !is(x[i])) ++i;
  return i;
}

}  // namespace

template <class T>
void row_max(const T* x, std::int64_t rows, std::int64_t cols, T* y) {
  row_extreme(x, rows, cols, y, [](T a, T b) { return maximum(a, b); });
}

template <class T>
void row_min(const T* x, std::int64_t rows, std::int64_t cols, T* y) {
  row_extreme(x, rows, cols, y, [](T a, T b) { return minimum(a, b); });
}

template <class T>
void row_extreme_grad(const T* x, const T* y, const T* dy, std::int64_t rows, std::int64_t cols, Into<T> dx) {
  if (!dx) return;
  for_rows(rows, cols, [&](std::int64_t r) {
    if (!dx.add) std::fill_n(dx.data + r * cols, cols, T(0));
    const std::int64_t first = first_that_is(x + r * cols, cols, y[r]);
    if (first < cols) dx.store(r * cols + first, dy[r]);
  });
}

template <class T>
void row_var(const T* x, std::int64_t rows, std::int64_t cols, std::int64_t correction, T* y) {
  using W = WideOf<T>;
  for_rows(rows, cols, [&](std::int64_t r) {
    const T* row = x + r * cols;
    const W m = mean_of(row, cols);
    const W squares =
        sum_of<W>(0, cols, [row, m](std::int64_t i) { return (W(row[i]) - m) * (W(row[i]) - m); });
    y[r] = T(squares / W(static_cast<double>(cols - correction)));
  });
}

template <class T>
void row_var_grad(const T* x, const T* dy, std::int64_t rows, std::int64_t cols, std::int64_t correction,
                  Into<T> dx) {
  using W = WideOf<T>;
  if (!dx) return;
  for_rows(rows, cols, [&](std::int64_t r) {
    const T* row = x + r * cols;
    const W m = mean_of(row, cols);
    const W factor = W(2) * W(dy[r]) / W(static_cast<double>(cols - correction));
    write(dx, r * cols, cols, [row, m, factor](std::int64_t i) { return T(factor * (W(row[i]) - m)); });
  });
}

template <class T>
void row_norm(const T* x, std::int64_t rows, std::int64_t cols, T* y) {
  using W = WideOf<T>;
  for_rows(rows, cols, [&](std::int64_t r) {
    const T* row = x + r * cols;
    W scale(1);
    if constexpr (std::is_same_v<W, T>) {
      // A power of two near the largest element keeps the squares in range and costs no rounding.
      double most = 0;
      for (std::int64_t i = 0; i < cols; ++i) most = std::max(most, std::fabs(static_cast<double>(row[i])));
      if (most > 0 && std::isfinite(most))
        scale = W(std::ldexp(1.0, std::clamp(std::ilogb(most), -1000, 1000)));
    }
    const W squares = sum_of<W>(0, cols, [row, scale](std::int64_t i) {
      const W v = W(row[i]) / scale;
      return v * v;
    });
    y[r] = T(scale * sqrt(squares));
  });
}

template <class T>
void row_norm_grad(const T* x, const T* y, const T* dy, std::int64_t rows, std::int64_t cols, Into<T> dx) {
  if (!dx) return;
  for_rows(rows, cols, [&](std::int64_t r) {
    const T* row = x + r * cols;
    const T length = y[r];
    const T gradient = dy[r];
    if (length == T(0)) {
      write(dx, r * cols, cols, [](std::int64_t) { return T(0); });
    } else {
      write(dx, r * cols, cols,
            [row, length, gradient](std::int64_t i) { return gradient * (row[i] / length); });
    }
  });
}

template <class T>
void row_cumsum(const T* x, std::int64_t rows, std::int64_t cols, T* y) {
  using W = WideOf<T>;
  for_rows(rows, cols, [&](std::int64_t r) {
    W sum(0);
    for (std::int64_t c = 0; c < cols; ++c) y[r * cols + c] = T(sum += W(x[r * cols + c]));
  });
}

template <class T>
void row_cumsum_grad(const T* dy, std::int64_t rows, std::int64_t cols, Into<T> dx) {
  using W = WideOf<T>;
  if (!dx) return;
  for_rows(rows, cols, [&](std::int64_t r) {
    W sum(0);
    for (std::int64_t c = cols; c-- > 0;) dx.store(r * cols + c, T(sum += W(dy[r * cols + c])));
  });
}

#define REEL_INSTANTIATE(T)                                                                          \
  template T sum(const T*, std::int64_t);                                                            \
  template void sum_axis(const T*, std::int64_t, std::int64_t, std::int64_t, Into<T>);               \
  template void row_max(const T*, std::int64_t, std::int64_t, T*);                                   \
  template void row_min(const T*, std::int64_t, std::int64_t, T*);                                   \
  template void row_extreme_grad(const T*, const T*, const T*, std::int64_t, std::int64_t, Into<T>); \
  template void row_var(const T*, std::int64_t, std::int64_t, std::int64_t, T*);                     \
  template void row_var_grad(const T*, const T*, std::int64_t, std::int64_t, std::int64_t, Into<T>); \
  template void row_norm(const T*, std::int64_t, std::int64_t, T*);                                  \
  template void row_norm_grad(const T*, const T*, const T*, std::int64_t, std::int64_t, Into<T>);    \
  template void row_cumsum(const T*, std::int64_t, std::int64_t, T*);                                \
  template void row_cumsum_grad(const T*, std::int64_t, std::int64_t, Into<T>)
REEL_INSTANTIATE(float);
REEL_INSTANTIATE(double);
REEL_INSTANTIATE(Dual);
#undef REEL_INSTANTIATE

}  // namespace reel::kernels
