#include "kernels/softmax.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <type_traits>

#include "kernels/lanes.h"
#include "kernels/math.h"
#include "kernels/narrow_rows.h"
#include "kernels/parallel.h"

namespace reel::kernels {
namespace {

// Elements that a block of rows may hold: the exponentials of a block are taken in one vector loop, also if
// rows are short.
constexpr std::int64_t block_elements = 1024;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double cost_of_exp = 8;

// Runs body(first_row, last_row) over blocks of rows.
template <class Body>
void for_blocks(std::int64_t rows, std::int64_t cols, Body body) {
  const std::int64_t block = cols >= block_elements ? 1 : block_elements / std::max<std::int64_t>(cols, 1);
  const double cost = cost_of_exp * static_cast<double>(rows) * static_cast<double>(cols);
  parallel_for((rows + block - 1) / block, cost,
               [&](std::int64_t task) { body(task * block, std::min(rows, (task + 1) * block)); });
}

// The first row of all those that a parallel loop complains about.
class FirstRow {
 public:
  void note(std::int64_t row) {
    std::int64_t seen = row_.load();
    while (row < seen && !row_.compare_exchange_weak(seen, row)) {
    }
  }
  std::int64_t get() const { return row_.load() == none ? -1 : row_.load(); }

 private:
  static constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();
  std::atomic<std::int64_t> row_{none};
};

template <class T>
bool is_empty(const T* x, std::int64_t cols, T most) {
  if (most > T(-infinity)) return false;
  for (std::int64_t c = 0; c < cols; ++c) {
    if (!(x[c] == T(-infinity))) return false;  // a NaN stays a NaN
  }
  return cols > 0;
}

// A scale that is finite and above 0, so that its product with 0 or with -inf is a number.
template <class T>
T bounded(T scale) {
  using Limits = std::numeric_limits<std::conditional_t<std::is_same_v<T, float>, float, double>>;
  return std::clamp(scale, T(Limits::min()), T(Limits::max()));
}

// sum of e^(scale (x - most)), in tiles that fit the first-level cache.
template <class T>
T sum_of_exponentials(const T* x, std::int64_t cols, T most, T scale) {
  T total(0);
  T tile[block_elements];
  for (std::int64_t first = 0; first < cols; first += block_elements) {
    const std::int64_t width = std::min(block_elements, cols - first);
    for (std::int64_t c = 0; c < width; ++c) tile[c] = exp_of_negative(scale * (x[first + c] - most));
    total += sum_of(tile, width);
  }
  return total;
}

// What a gradient needs of a row: the largest number m, and what log sum e^x exceeds it by. Their sum would
// round the second away where m is large, and with it the digits of every e^(x - m - log_sum).
template <class T>
void keep_row(T* kept, std::int64_t row, T m, T log_sum) {
  kept[2 * row] = m;
  kept[2 * row + 1] = log_sum;
}

// The maximum and the sum of exponentials of each row of a block.
template <class T>
void statistics(const T* x, std::int64_t rows, std::int64_t cols, T scale, T* most, T* sums) {
  if (cols >= block_elements || rows == 1) {
    for (std::int64_t r = 0; r < rows; ++r) {
      most[r] = largest(x + r * cols, cols);
      sums[r] = sum_of_exponentials(x + r * cols, cols, most[r], scale);
    }
    return;
  }
  T tile[block_elements];
  if (cols <= narrow<T>) {
    turn(x, rows, cols, tile);
    largest_of_columns(tile, rows, cols, most);
    for (std::int64_t c = 0; c < cols; ++c) {
      for (std::int64_t r = 0; r < rows; ++r) tile[c * rows + r] = scale * (tile[c * rows + r] - most[r]);
    }
    for (std::int64_t i = 0; i < rows * cols; ++i) tile[i] = exp_of_negative(tile[i]);
    sum_columns(tile, rows, cols, sums);
    return;
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    most[r] = largest(x + r * cols, cols);
    for (std::int64_t c = 0; c < cols; ++c) tile[r * cols + c] = scale * (x[r * cols + c] - most[r]);
  }
  for (std::int64_t i = 0; i < rows * cols; ++i) tile[i] = exp_of_negative(tile[i]);
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* row = tile + r * cols;
    sums[r] = sum_of(row, cols);
  }
}

}  // namespace

template <class T>
std::int64_t softmax(const T* x, std::int64_t rows, std::int64_t cols, T scale, T* y) {
  FirstRow empty;
  scale = bounded(scale);
  for_blocks(rows, cols, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t r = first; r < last; ++r) {
      const T most = largest(x + r * cols, cols);
      if (is_empty(x + r * cols, cols, most)) empty.note(r);
      for (std::int64_t c = r * cols; c < (r + 1) * cols; ++c) y[c] = scale * (x[c] - most);
    }
    for (std::int64_t i = first * cols; i < last * cols; ++i) y[i] = exp_of_negative(y[i]);
    for (std::int64_t r = first; r < last; ++r) {
      T* row = y + r * cols;
      const T total = sum_of(row, cols);
      const T factor = T(1) / total;
      for (std::int64_t c = 0; c < cols; ++c) row[c] *= factor;
    }
  });
  return empty.get();
}

template <class T>
void softmax_grad(const T* y, const T* dy, std::int64_t rows, std::int64_t cols, T scale, Into<T> dx) {
  if (!dx) return;
  scale = bounded(scale);
  for_blocks(rows, cols, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t r = first; r < last; ++r) {
      const T* p = y + r * cols;
      const T* dp = dy + r * cols;
      const T total = sum_of<T>(0, cols, [p, dp](std::int64_t i) { return p[i] * dp[i]; });
      write(dx, r * cols, cols,
            [p, dp, scale, total](std::int64_t i) { return scale * (p[i] * (dp[i] - total)); });
    }
  });
}

template <class T>
std::int64_t log_softmax(const T* x, std::int64_t rows, std::int64_t cols, T scale, T* y) {
  FirstRow empty;
  scale = bounded(scale);
  for_blocks(rows, cols, [&](std::int64_t first, std::int64_t last) {
    T most[block_elements];
    T sums[block_elements];
    statistics(x + first * cols, last - first, cols, scale, most, sums);
    for (std::int64_t r = first; r < last; ++r) {
      if (is_empty(x + r * cols, cols, most[r - first])) empty.note(r);
      const T m = most[r - first];
      const T log_sum = log(sums[r - first]);
      for (std::int64_t c = r * cols; c < (r + 1) * cols; ++c) y[c] = scale * (x[c] - m) - log_sum;
    }
  });
  return empty.get();
}

template <class T>
void log_softmax_grad(const T* y, const T* dy, std::int64_t rows, std::int64_t cols, T scale, Into<T> dx) {
  if (!dx) return;
  scale = bounded(scale);
  for_blocks(rows, cols, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t r = first; r < last; ++r) {
      const T* lp = y + r * cols;
      const T* d = dy + r * cols;
      const T total = sum_of(d, cols);
      write(dx, r * cols, cols, [lp, d, scale, total](std::int64_t i) {
        return scale * (d[i] - exp_of_negative(lp[i]) * total);
      });
    }
  });
}

template <class T>
void logsumexp(const T* x, std::int64_t rows, std::int64_t cols, T* y, T* kept) {
  for_blocks(rows, cols, [&](std::int64_t first, std::int64_t last) {
    T most[block_elements];
    T sums[block_elements];
    statistics(x + first * cols, last - first, cols, T(1), most, sums);
    for (std::int64_t r = first; r < last; ++r) {
      const T m = most[r - first];
      const T* row = x + r * cols;
      const auto is_nan = [](T v) { return !(v == v); };
      const bool is_infinite = m == T(infinity) && std::none_of(row, row + cols, is_nan);
      const bool flat = is_infinite || is_empty(row, cols, m);
      const T log_sum = flat ? T(0) : log(sums[r - first]);
      y[r] = m + log_sum;
      keep_row(kept, r, m, log_sum);
    }
  });
}

template <class T>
void logsumexp_grad(const T* x, const T* kept, const T* dy, std::int64_t rows, std::int64_t cols,
                    Into<T> dx) {
  if (!dx) return;
  for_blocks(rows, cols, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t r = first; r < last; ++r) {
      const T* row = x + r * cols;
      const T d = dy[r];
      const T m = kept[2 * r];
      const T log_sum = kept[2 * r + 1];
      const T total = m + log_sum;
      if (total == T(-infinity)) {
        write(dx, r * cols, cols, [](std::int64_t) { return T(0); });
      } else if (total == T(infinity)) {
        const T share = d / T(static_cast<double>(std::count(row, row + cols, T(infinity))));
        write(dx, r * cols, cols,
              [row, share](std::int64_t i) { return row[i] == T(infinity) ? share : T(0); });
      } else {
        write(dx, r * cols, cols,
              [row, d, m, log_sum](std::int64_t i) { return d * exp_of_negative((row[i] - m) - log_sum); });
      }
    }
  });
}

namespace {

// What label smoothing adds to a loss: spread times the mean of m - z.
template <class T>
T smoothing_loss(const T* z, std::int64_t cols, T m, T spread) {
  const T count = T(static_cast<double>(cols));
  const T sum = sum_of<T>(0, cols, [z, m](std::int64_t i) { return m - z[i]; });
  if (!(sum == T(infinity))) return spread * (sum / count);
  // The mean may be finite where the sum, or even a difference, is not: each term is made small first. Not
  // always, which would change the last bits of ordinary losses.
  return sum_of<T>(0, cols,
                   [z, m, spread, count](std::int64_t i) { return spread * (m / count - z[i] / count); });
}

// weight (lse - z), the part of one class in a loss. `small_first` gives the same without a difference of
// logits, which can be infinite where its part in the loss is not.
template <class T>
T soft_term(T weight, T z, T m, T log_sum, bool small_first) {
  // A target of 0 takes no part, also where its logit is -inf.
  if (weight == T(0) && z == T(-infinity)) return T(0);
  return small_first ? weight * log_sum + (weight * m - weight * z) : weight * (log_sum + (m - z));
}

}  // namespace

template <class T>
std::int64_t cross_entropy(const CrossEntropy& ce, const T* logits, T* loss, T* kept) {
  FirstRow empty;
  const auto keep = static_cast<T>(1 - ce.label_smoothing);
  const auto spread = static_cast<T>(ce.label_smoothing);
  const std::int64_t cols = ce.cols;
  for_blocks(ce.rows, cols, [&](std::int64_t first, std::int64_t last) {
    T most[block_elements];
    T sums[block_elements];
    statistics(logits + first * cols, last - first, cols, T(1), most, sums);
    for (std::int64_t r = 0; r < last - first; ++r) sums[r] = log(sums[r]);
    for (std::int64_t r = first; r < last; ++r) {
      const T* z = logits + r * cols;
      const T m = most[r - first];
      const T log_sum = sums[r - first];
      keep_row(kept, r, m, log_sum);
      if (ce.labels[r] == ce.ignore_index) {
        loss[r] = T(0);
        continue;
      }
      if (is_empty(z, cols, m)) empty.note(r);
      // Differences to the maximum first: a confident row has a tiny loss, which m + log_sum - z would round
      // away.
      T value = log_sum + keep * (m - z[ce.labels[r]]);
      if (ce.label_smoothing > 0) {
        // Here too a difference may be infinite that `keep` makes finite.
        if (value == T(infinity)) value = log_sum + (keep * m - keep * z[ce.labels[r]]);
        value += smoothing_loss(z, cols, m, spread);
      }
      loss[r] = value;
    }
  });
  return empty.get();
}

namespace {

// s (softmax - even) of rows [first, last), without the part of the labels; 0 in rows that are ignored.
template <class T>
void scaled_softmax(const CrossEntropy& ce, const T* logits, const T* kept, const T* scale, T even,
                    std::int64_t first, std::int64_t last, Into<T> dz) {
  const std::int64_t cols = ce.cols;
  const std::int64_t rows = last - first;
  const auto ignored = [&](std::int64_t r) { return ce.labels[first + r] == ce.ignore_index; };
  logits += first * cols, kept += 2 * first, scale += first, dz.data += first * cols;
  if (rows == 1) {  // may be long
    const T s = *scale;
    const T m = kept[0];
    const T log_sum = kept[1];
    if (ignored(0)) {
      write(dz, 0, cols, [](std::int64_t) { return T(0); });
    } else {
      write(dz, 0, cols,
            [=](std::int64_t i) { return s * (exp_of_negative((logits[i] - m) - log_sum) - even); });
    }
    return;
  }
  T tile[block_elements];
  if (cols <= narrow<T>) {
    T most[block_elements];
    T log_sums[block_elements];
    for (std::int64_t r = 0; r < rows; ++r) most[r] = kept[2 * r], log_sums[r] = kept[2 * r + 1];
    turn(logits, rows, cols, tile);
    for (std::int64_t c = 0; c < cols; ++c) {
      for (std::int64_t r = 0; r < rows; ++r) {
        tile[c * rows + r] = (tile[c * rows + r] - most[r]) - log_sums[r];
      }
    }
    for (std::int64_t i = 0; i < rows * cols; ++i) tile[i] = exp_of_negative(tile[i]);
    for (std::int64_t c = 0; c < cols; ++c) {
      for (std::int64_t r = 0; r < rows; ++r) tile[c * rows + r] = scale[r] * (tile[c * rows + r] - even);
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < cols && ignored(r); ++c) tile[c * rows + r] = T(0);
    }
    turn_back(tile, rows, cols, dz);
    return;
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    const T m = kept[2 * r];
    const T log_sum = kept[2 * r + 1];
    for (std::int64_t c = 0; c < cols; ++c) tile[r * cols + c] = (logits[r * cols + c] - m) - log_sum;
  }
  for (std::int64_t i = 0; i < rows * cols; ++i) tile[i] = exp_of_negative(tile[i]);
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* p = tile + r * cols;
    const T s = scale[r];
    if (ignored(r)) {
      write(dz, r * cols, cols, [](std::int64_t) { return T(0); });
    } else {
      write(dz, r * cols, cols, [=](std::int64_t i) { return s * (p[i] - even); });
    }
  }
}

}  // namespace

template <class T>
void cross_entropy_grad(const CrossEntropy& ce, const T* logits, const T* kept, const T* scale, Into<T> dz) {
  if (!dz) return;
  const auto keep = static_cast<T>(1 - ce.label_smoothing);
  const auto even = static_cast<T>(ce.label_smoothing / static_cast<double>(ce.cols));
  for_blocks(ce.rows, ce.cols, [&](std::int64_t first, std::int64_t last) {
    scaled_softmax(ce, logits, kept, scale, even, first, last, dz);
    for (std::int64_t r = first; r < last; ++r) {
      if (ce.labels[r] != ce.ignore_index) dz.data[r * ce.cols + ce.labels[r]] -= scale[r] * keep;
    }
  });
}

template <class T>
std::int64_t soft_cross_entropy(const T* logits, const T* targets, std::int64_t rows, std::int64_t cols,
                                double smoothing, T* loss, T* kept) {
  FirstRow empty;
  const auto keep = static_cast<T>(1 - smoothing);
  const auto even = static_cast<T>(smoothing / static_cast<double>(cols));
  for_blocks(rows, cols, [&](std::int64_t first, std::int64_t last) {
    T most[block_elements];
    T sums[block_elements];
    statistics(logits + first * cols, last - first, cols, T(1), most, sums);
    for (std::int64_t r = first; r < last; ++r) {
      const T* z = logits + r * cols;
      const T* t = targets + r * cols;
      const T m = most[r - first];
      if (is_empty(z, cols, m)) empty.note(r);
      const T log_sum = log(sums[r - first]);
      keep_row(kept, r, m, log_sum);
      const auto loss_of_row = [&](bool small_first) {
        return sum_of<T>(0, cols, [z, t, m, log_sum, keep, even, small_first](std::int64_t i) {
          const T weight = keep * t[i] + even;
          return soft_term(weight, z[i], m, log_sum, small_first);
        });
      };
      loss[r] = loss_of_row(false);
      if (!(loss[r] < T(infinity))) loss[r] = loss_of_row(true);
    }
  });
  return empty.get();
}

template <class T>
void soft_cross_entropy_grad(const T* logits, const T* targets, std::int64_t rows, std::int64_t cols,
                             double smoothing, const T* kept, const T* scale, Into<T> dz, Into<T> dt) {
  const auto keep = static_cast<T>(1 - smoothing);
  const auto even = static_cast<T>(smoothing / static_cast<double>(cols));
  for_blocks(rows, cols, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t r = first; r < last; ++r) {
      const T* z = logits + r * cols;
      const T* t = targets + r * cols;
      const T s = scale[r];
      const T m = kept[2 * r];
      const T log_sum = kept[2 * r + 1];
      if (dz) {
        const T weight = sum_of<T>(0, cols, [t, keep, even](std::int64_t i) { return keep * t[i] + even; });
        write(dz, r * cols, cols, [z, t, s, m, log_sum, weight, keep, even](std::int64_t i) {
          return s * (weight * exp_of_negative((z[i] - m) - log_sum) - (keep * t[i] + even));
        });
      }
      if (dt) {
        write(dt, r * cols, cols,
              [z, s, m, log_sum, keep](std::int64_t i) { return s * keep * (log_sum + (m - z[i])); });
      }
    }
  });
}

#define REEL_INSTANTIATE(T)                                                                                 \
  template std::int64_t softmax(const T*, std::int64_t, std::int64_t, T, T*);                               \
  template void softmax_grad(const T*, const T*, std::int64_t, std::int64_t, T, Into<T>);                   \
  template std::int64_t log_softmax(const T*, std::int64_t, std::int64_t, T, T*);                           \
  template void log_softmax_grad(const T*, const T*, std::int64_t, std::int64_t, T, Into<T>);               \
  template void logsumexp(const T*, std::int64_t, std::int64_t, T*, T*);                                    \
  template void logsumexp_grad(const T*, const T*, const T*, std::int64_t, std::int64_t, Into<T>);          \
  template std::int64_t cross_entropy(const CrossEntropy&, const T*, T*, T*);                               \
  template void cross_entropy_grad(const CrossEntropy&, const T*, const T*, const T*, Into<T>);             \
  template std::int64_t soft_cross_entropy(const T*, const T*, std::int64_t, std::int64_t, double, T*, T*); \
  template void soft_cross_entropy_grad(const T*, const T*, std::int64_t, std::int64_t, double, const T*,   \
                                        const T*, Into<T>, Into<T>)
REEL_INSTANTIATE(float);
REEL_INSTANTIATE(double);
REEL_INSTANTIATE(Dual);
#undef REEL_INSTANTIATE

}  // namespace reel::kernels
