#include "kernels/norm.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <type_traits>

#include "kernels/lanes.h"
#include "kernels/math.h"
#include "kernels/parallel.h"

namespace reel::kernels {
namespace {

constexpr std::int64_t row_group = 16;

// Runs body(first, last) on groups of rows.
template <class Body>
void for_groups(std::int64_t rows, std::int64_t cols, Body body) {
  const double cost = 8 * static_cast<double>(rows) * static_cast<double>(cols);
  parallel_for((rows + row_group - 1) / row_group, cost,
               [&](std::int64_t task) { body(task * row_group, std::min(rows, (task + 1) * row_group)); });
}

template <class Body>
void for_rows(std::int64_t rows, std::int64_t cols, Body body) {
  for_groups(rows, cols, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t r = first; r < last; ++r) body(r);
  });
}

// out[s] [cols] (+)= the sum over the rows of f(row, column)[s].
template <class T, std::size_t count, class F>
void sum_columns(std::int64_t rows, std::int64_t cols, const std::array<Into<T>, count>& out, F f) {
  if (std::none_of(out.begin(), out.end(), [](const Into<T>& x) { return static_cast<bool>(x); })) return;
  const double cost = 4 * static_cast<double>(count) * static_cast<double>(rows) * static_cast<double>(cols);
  parallel_for((cols + column_tile - 1) / column_tile, cost, [&](std::int64_t task) {
    const std::int64_t first = task * column_tile;
    const std::int64_t width = std::min(column_tile, cols - first);
    ColumnSums<T, count> sums;
    column_sums(
        rows, width, [&f, first](std::int64_t r, std::int64_t c) { return f(r, first + c); }, sums);
    for (std::size_t s = 0; s < count; ++s) {
      if (out[s]) write(out[s], first, width, [&sums, s](std::int64_t c) { return sums[s][c]; });
    }
  });
}

template <class T>
T rounded(WideOf<T> x) {
  return static_cast<T>(x);
}

template <class T>
WideOf<T> count_of(std::int64_t n) {
  return WideOf<T>(static_cast<double>(n));
}

// Whether squares that add up to this can have been added up as they are: as floats they may vanish or
// overflow.
template <class T>
bool is_moderate(T sum) {
  if constexpr (!std::is_same_v<T, float>) return true;
  return sum >= 1e-25F && sum <= std::numeric_limits<float>::max();
}

// What layer_norm() keeps of a row, from sums in doubles.
template <class T>
void keep_in_doubles(const T* row, std::int64_t cols, double epsilon, T* keep) {
  using W = WideOf<T>;
  const W n = count_of<T>(cols);
  const W mean = sum_of<W>(0, cols, [row](std::int64_t i) { return W(row[i]); }) / n;
  keep[0] = rounded<T>(mean);
  keep[1] = rounded<T>(mean - W(keep[0]));
  const auto square = [row, high = keep[0], low = keep[1]](std::int64_t i) {
    const W difference((row[i] - high) - low);
    return difference * difference;
  };
  keep[2] = rounded<T>(W(1) / sqrt(sum_of<W>(0, cols, square) / n + W(epsilon)));
}

// The numbers of a row before weight and bias, by what layer_norm() keeps of it.
template <class T>
auto normalised(const T* row, const T* keep) {
  return [row, high = keep[0], low = keep[1], reciprocal = keep[2]](std::int64_t i) {
    return ((row[i] - high) - low) * reciprocal;
  };
}

}  // namespace

template <class T>
void layer_norm(const T* x, const T* w, const T* b, std::int64_t rows, std::int64_t cols, double epsilon,
                T* y, T* saved) {
  const T n = static_cast<T>(static_cast<double>(cols));
  // A short row waits longer for its mean and its root than it takes to add up. Stage by stage over a group,
  // the processor has other rows to go on with, and what each row needs once is vector code.
  for_groups(rows, cols, [&](std::int64_t first, std::int64_t last) {
    T high[row_group] = {}, low[row_group] = {}, spread[row_group] = {}, reciprocal[row_group];
    for (std::int64_t r = first; r < last; ++r) high[r - first] = sum_of(x + r * cols, cols);
    for (T& sum : high) sum = sum / n;
    // A sum of floats may miss the mean of numbers that lie far from 0: `low` is what it missed.
    for (std::int64_t r = first; r < last; ++r) {
      const auto sums = sums_of<T, 2>(0, cols, [row = x + r * cols, mean = high[r - first]](std::int64_t i) {
        const T difference = row[i] - mean;
        return std::array{difference, difference * difference};
      });
      low[r - first] = sums[0];
      spread[r - first] = sums[1];
    }
    for (std::int64_t g = 0; g < row_group; ++g) {
      const T sum = low[g];
      low[g] = sum / n;
      spread[g] = spread[g] - sum * low[g];
      reciprocal[g] = T(1) / sqrt(spread[g] / n + T(epsilon));
    }
    for (std::int64_t r = first; r < last; ++r) {
      const T* row = x + r * cols;
      T* keep = saved + r * layer_norm_saved;
      keep[0] = high[r - first];
      keep[1] = low[r - first];
      keep[2] = reciprocal[r - first];
      if (!is_moderate(spread[r - first])) keep_in_doubles(row, cols, epsilon, keep);
      write(Into<T>{y, false}, r * cols, cols,
            [h = normalised(row, keep), w, b](std::int64_t c) { return h(c) * w[c] + b[c]; });
    }
  });
}

template <class T>
void layer_norm_grad(const T* x, const T* w, const T* saved, const T* dy, std::int64_t rows,
                     std::int64_t cols, Into<T> dx, Into<T> dw, Into<T> db) {
  const auto row_of = [x, saved, cols](std::int64_t r) {
    return normalised(x + r * cols, saved + r * layer_norm_saved);
  };
  if (dx) {
    const T n = static_cast<T>(static_cast<double>(cols));
    // Stage by stage, as in layer_norm().
    for_groups(rows, cols, [&](std::int64_t first, std::int64_t last) {
      T mean_g[row_group] = {}, mean_gh[row_group] = {};
      for (std::int64_t r = first; r < last; ++r) {
        const auto h = row_of(r);
        const auto sums = sums_of<T, 2>(0, cols, [h, w, g = dy + r * cols](std::int64_t i) {
          const T gw = g[i] * w[i];
          return std::array{gw, gw * h(i)};
        });
        mean_g[r - first] = sums[0];
        mean_gh[r - first] = sums[1];
      }
      for (T& sum : mean_g) sum = sum / n;
      for (T& sum : mean_gh) sum = sum / n;
      for (std::int64_t r = first; r < last; ++r) {
        write(dx, r * cols, cols,
              [h = row_of(r), g = dy + r * cols, w, reciprocal = saved[r * layer_norm_saved + 2],
               m = mean_g[r - first], mh = mean_gh[r - first]](std::int64_t i) {
                return reciprocal * (g[i] * w[i] - m - h(i) * mh);
              });
      }
    });
  }
  sum_columns(rows, cols, std::array{dw, db}, [=](std::int64_t r, std::int64_t c) {
    const T g = dy[r * cols + c];
    return std::array{g * row_of(r)(c), g};
  });
}

template <class T>
void rms_norm(const T* x, const T* w, std::int64_t rows, std::int64_t cols, double epsilon, T* y, T* saved) {
  using W = WideOf<T>;
  for_rows(rows, cols, [&](std::int64_t r) {
    const T* row = x + r * cols;
    const W squares = sum_of<W>(0, cols, [row](std::int64_t i) { return W(row[i]) * W(row[i]); });
    const W reciprocal = W(1) / sqrt(squares / count_of<T>(cols) + W(epsilon));
    T* to = y + r * cols;
    for (std::int64_t c = 0; c < cols; ++c) to[c] = rounded<T>(W(row[c]) * reciprocal) * w[c];
    saved[r] = rounded<T>(reciprocal);
  });
}

template <class T>
void rms_norm_grad(const T* x, const T* w, const T* saved, const T* dy, std::int64_t rows, std::int64_t cols,
                   Into<T> dx, Into<T> dw) {
  if (dx) {
    for_rows(rows, cols, [&](std::int64_t r) {
      const T* row = x + r * cols;
      const T* g = dy + r * cols;
      const T reciprocal = saved[r];
      const T mean_gh =
          sum_of<T>(0, cols, [=](std::int64_t i) { return g[i] * w[i] * (row[i] * reciprocal); }) /
          T(static_cast<double>(cols));
      write(dx, r * cols, cols,
            [=](std::int64_t i) { return reciprocal * (g[i] * w[i] - (row[i] * reciprocal) * mean_gh); });
    });
  }
  sum_columns(rows, cols, std::array{dw}, [=](std::int64_t r, std::int64_t c) {
    return std::array{dy[r * cols + c] * (x[r * cols + c] * saved[r])};
  });
}

#define REEL_INSTANTIATE(T)                                                                                  \
  template void layer_norm(const T*, const T*, const T*, std::int64_t, std::int64_t, double, T*, T*);        \
  template void layer_norm_grad(const T*, const T*, const T*, const T*, std::int64_t, std::int64_t, Into<T>, \
                                Into<T>, Into<T>);                                                           \
  template void rms_norm(const T*, const T*, std::int64_t, std::int64_t, double, T*, T*);                    \
  template void rms_norm_grad(const T*, const T*, const T*, const T*, std::int64_t, std::int64_t, Into<T>,   \
                              Into<T>)
REEL_INSTANTIATE(float);
REEL_INSTANTIATE(double);
REEL_INSTANTIATE(Dual);
#undef REEL_INSTANTIATE

}  // namespace reel::kernels
