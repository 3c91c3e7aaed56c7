#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/dual.h"
#include "kernels/into.h"
#include "kernels/simd.h"

// The loops that row kernels are made of. Sums run in a fixed number of lanes and fixed chunks, whatever the
// vector width, the alignment or the number of threads, so that their bits depend on the data alone.

namespace reel::kernels {

/// What statistics of a row are summed in: double for float, so that a mean of 40000..40003 keeps its digits.
template <class T>
struct Wide {
  using Type = T;
};
template <>
struct Wide<float> {
  using Type = double;
};
template <class T>
using WideOf = typename Wide<T>::Type;

namespace detail {

template <class A>
inline constexpr int lanes = 32;
template <>
inline constexpr int lanes<Dual> = 2;  // nothing to gain: duals do not fit vectors

inline constexpr std::int64_t sum_chunk = 1024;  // longest stretch that is added up without halving

// Compilers make vector code of the loop over f, and keep sums that are vectors in registers; with sums that
// are an array, they also add the last lanes one by one.
template <class A, class F>
inline A lane_sum(std::int64_t first, std::int64_t last, F f) {
  using S = Simd<A>;
  constexpr int n = lanes<A>;
  constexpr int registers = n / S::lanes;
  typename S::Vector sums[registers] = {};
  const auto add = [&sums](const A* x) {
#pragma GCC unroll 16
    for (int v = 0; v < registers; ++v) sums[v] = sums[v] + S::load(x + v * S::lanes);
  };
  std::int64_t i = first;
  for (; i + n <= last; i += n) {
    A some[n];
    for (int l = 0; l < n; ++l) some[l] = f(i + l);
    add(some);
  }
  if (i < last) {
    A some[n];
    for (int l = 0; l < n; ++l) some[l] = i + l < last ? f(i + l) : A(0);
    add(some);
  }
#pragma GCC unroll 4
  for (int half = registers / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
    for (int v = 0; v < half; ++v) sums[v] = sums[v] + sums[v + half];
  }
  return join_lanes<A>(sums[0], [](const auto& x, const auto& y) { return x + y; });
}

}  // namespace detail

/// f(first) + ... + f(last - 1) in type A, by halving down to chunks of 1024: the error grows with the
/// logarithm of the length.
template <class A, class F>
inline A sum_of(std::int64_t first, std::int64_t last, F f) {
  if (last - first <= detail::sum_chunk) return detail::lane_sum<A>(first, last, f);
  const std::int64_t chunks = (last - first + detail::sum_chunk - 1) / detail::sum_chunk;
  const std::int64_t middle = first + chunks / 2 * detail::sum_chunk;
  return sum_of<A>(first, middle, f) + sum_of<A>(middle, last, f);
}

/// The best of `start` and x [n]: better(a, b) is one of the two. Of duals that are alike the first counts,
/// as it does for backward: the tangents of others are not the derivative.
template <class T, class Better>
inline T best_of(T start, const T* x, std::int64_t n, Better better) {
  constexpr std::int64_t lanes = std::is_same_v<T, Dual> ? 1 : detail::lanes<T>;
  T best[lanes];
  std::fill_n(best, lanes, start);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (std::int64_t l = 0; l < lanes; ++l) best[l] = better(best[l], x[i + l]);
  }
  if (i < n) {
    for (std::int64_t l = 0; l < lanes; ++l) best[l] = i + l < n ? better(best[l], x[i + l]) : best[l];
  }
  for (std::int64_t half = lanes / 2; half > 0; half /= 2) {
    for (std::int64_t l = 0; l < half; ++l) best[l] = better(best[l], best[l + half]);
  }
  return best[0];
}

/// The largest of x [n]; -inf if there is none. NaN is passed over.
template <class T>
inline T largest(const T* x, std::int64_t n) {
  return best_of(T(-std::numeric_limits<double>::infinity()), x, n, [](T a, T b) { return b > a ? b : a; });
}

/// out[first + i] (+)= f(i) for i in [0, n). `flatten`, because g++ may call an f as long as an exponential,
/// which stands here twice, instead of making vector code of it: ten times the time.
template <class T, class F>
[[gnu::flatten]] inline void write(Into<T> out, std::int64_t first, std::int64_t n, F f) {
  T* y = out.data + first;
  if (out.add) {
    for (std::int64_t i = 0; i < n; ++i) y[i] += f(i);
  } else {
    for (std::int64_t i = 0; i < n; ++i) y[i] = f(i);
  }
}

/// Columns that column_sums adds up at a time.
inline constexpr std::int64_t column_tile = 64;

/// sums[c] = the sum of column c in [0, width), width <= column_tile: chunks of 64 rows, joined two by two
/// like the digits of a binary counter. add(first, last, acc) sums the rows [first, last), in their order.
template <class T, class Add>
inline void column_sums_by(std::int64_t rows, std::int64_t width, Add add, T* sums) {
  constexpr std::int64_t chunk = 64;
  constexpr int levels = 40;
  if (rows <= chunk) {
    add(std::int64_t{0}, rows, sums);
    return;
  }
  T part[levels][column_tile];
  std::int64_t filled = 0;  // bit i says that part[i] holds the sum of 2^i chunks
  for (std::int64_t first = 0; first < rows; first += chunk) {
    T acc[column_tile];
    add(first, std::min(rows, first + chunk), acc);
    int level = 0;
    for (; (filled >> level & 1) != 0; ++level) {
      for (std::int64_t c = 0; c < width; ++c) acc[c] = part[level][c] + acc[c];
    }
    std::copy_n(acc, width, part[level]);
    ++filled;
  }
  bool first = true;
  for (int level = 0; level < levels; ++level) {
    if ((filled >> level & 1) == 0) continue;
    for (std::int64_t c = 0; c < width; ++c) sums[c] = first ? part[level][c] : part[level][c] + sums[c];
    first = false;
  }
}

/// The same of f(row, c).
template <class T, class F>
inline void column_sums(std::int64_t rows, std::int64_t width, F f, T* sums) {
  const auto add = [width, f](std::int64_t first, std::int64_t last, T* acc) {
    std::fill_n(acc, width, T(0));
    for (std::int64_t r = first; r < last; ++r) {
      for (std::int64_t c = 0; c < width; ++c) acc[c] += f(r, c);
    }
  };
  column_sums_by(rows, width, add, sums);
}

}  // namespace reel::kernels
