#include "kernels/norm.h"

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

// out [cols] (+)= sum over the rows of f(row, column).
template <class T, class F>
void sum_columns(std::int64_t rows, std::int64_t cols, Into<T> out, F f) {
  if (!out) return;
  const double cost = 4 * static_cast<double>(rows) * static_cast<double>(cols);
  parallel_for((cols + column_tile - 1) / column_tile, cost, [&](std::int64_t task) {
    const std::int64_t first = task * column_tile;
    const std::int64_t width = std::min(column_tile, cols - first);
    T sums[column_tile];
    column_sums(
        rows, width, [&f, first](std::int64_t r, std::int64_t c) { return f(r, first + c); }, sums);
    write(out, first, width, [&sums](std::int64_t c) { return sums[c]; });
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

}  // namespace

template <class T>
void layer_norm(const T* x, const T* w, const T* b, std::int64_t rows, std::int64_t cols, double epsilon,
                T* y, T* saved) {
  using W = WideOf<T>;
  const W n = count_of<T>(cols);
  // A short row waits longer for its mean and its root than it takes to add up. Stage by stage over a group,
  // the processor has other rows to go on with.
  for_groups(rows, cols, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t r = first; r < last; ++r) {
      const T* row = x + r * cols;
      T* keep = saved + r * layer_norm_saved;
      const W mean = sum_of<W>(0, cols, [row](std::int64_t i) { return W(row[i]); }) / n;
      // It needs more digits than T has if it is large beside the deviation.
      keep[0] = rounded<T>(mean);
      keep[1] = std::is_same_v<T, W> ? T(0) : rounded<T>(mean - W(keep[0]));
    }
    for (std::int64_t r = first; r < last; ++r) {
      T* keep = saved + r * layer_norm_saved;
      const auto square = [row = x + r * cols, high = keep[0], low = keep[1]](std::int64_t i) {
        const W difference((row[i] - high) - low);
        return difference * difference;
      };
      keep[2] = rounded<T>(W(1) / sqrt(sum_of<W>(0, cols, square) / n + W(epsilon)));
    }
    for (std::int64_t r = first; r < last; ++r) {
      const T* row = x + r * cols;
      const T* keep = saved + r * layer_norm_saved;
      const T high = keep[0], low = keep[1], reciprocal = keep[2];
      T* to = y + r * cols;
      for (std::int64_t c = 0; c < cols; ++c) to[c] = ((row[c] - high) - low) * reciprocal * w[c] + b[c];
    }
  });
}

template <class T>
void layer_norm_grad(const T* x, const T* w, const T* saved, const T* dy, std::int64_t rows,
                     std::int64_t cols, Into<T> dx, Into<T> dw, Into<T> db) {
  const auto centred = [x, saved, cols](std::int64_t r, std::int64_t c) {
    const T* keep = saved + r * layer_norm_saved;
    return (x[r * cols + c] - keep[0]) - keep[1];
  };
  if (dx) {
    for_rows(rows, cols, [&](std::int64_t r) {
      const T* row = x + r * cols;
      const T* g = dy + r * cols;
      const T high = saved[r * layer_norm_saved];
      const T low = saved[r * layer_norm_saved + 1];
      const T reciprocal = saved[r * layer_norm_saved + 2];
      const T n = static_cast<T>(static_cast<double>(cols));
      const T mean_g = sum_of<T>(0, cols, [g, w](std::int64_t i) { return g[i] * w[i]; }) / n;
      const T mean_gh =
          sum_of<T>(0, cols,
                    [=](std::int64_t i) { return g[i] * w[i] * (((row[i] - high) - low) * reciprocal); }) /
          n;
      write(dx, r * cols, cols, [=](std::int64_t i) {
        const T h = ((row[i] - high) - low) * reciprocal;
        return reciprocal * (g[i] * w[i] - mean_g - h * mean_gh);
      });
    });
  }
  sum_columns(rows, cols, dw, [=](std::int64_t r, std::int64_t c) {
    return dy[r * cols + c] * (centred(r, c) * saved[r * layer_norm_saved + 2]);
  });
  sum_columns(rows, cols, db, [=](std::int64_t r, std::int64_t c) { return dy[r * cols + c]; });
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
  sum_columns(rows, cols, dw, [=](std::int64_t r, std::int64_t c) {
    return dy[r * cols + c] * (x[r * cols + c] * saved[r]);
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
