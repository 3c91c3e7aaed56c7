#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
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

// What is summed where that is an array itself.
template <class A>
struct Elements {
  const A* data;
  std::array<A, 1> operator()(std::int64_t i) const { return {data[i]}; }
};

// Compilers make vector code of the loop over f, and keep sums that are vectors in registers; with sums that
// are an array, they also add the last lanes one by one.
template <class A, std::size_t count, class F>
inline std::array<A, count> lane_sums(std::int64_t first, std::int64_t last, F f) {
  using S = Simd<A>;
  constexpr int n = lanes<A>;
  constexpr int registers = n / S::lanes;
  typename S::Vector sums[count][registers] = {};
  const auto add = [&sums](std::size_t s, const A* x) __attribute__((always_inline)) {
#pragma GCC unroll 16
    for (int v = 0; v < registers; ++v) sums[s][v] = sums[s][v] + S::load(x + v * S::lanes);
  };
  const auto add_results = [&](auto next) __attribute__((always_inline)) {
    A some[count][n];
    for (int l = 0; l < n; ++l) {
      const std::array<A, count> x = next(l);
#pragma GCC unroll 4
      for (std::size_t s = 0; s < count; ++s) some[s][l] = x[s];
    }
#pragma GCC unroll 4
    for (std::size_t s = 0; s < count; ++s) add(s, some[s]);
  };
  std::int64_t i = first;
  for (; i + n <= last; i += n) {
    if constexpr (std::is_same_v<F, Elements<A>>) {
      add(0, f.data + i);  // g++ would copy them first
    } else {
      add_results([&f, i](int l) { return f(i + l); });
    }
  }
  if (i < last) add_results([&](int l) { return i + l < last ? f(i + l) : std::array<A, count>{}; });
  std::array<A, count> totals;
#pragma GCC unroll 4
  for (std::size_t s = 0; s < count; ++s) {
#pragma GCC unroll 4
    for (int half = registers / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
      for (int v = 0; v < half; ++v) sums[s][v] = sums[s][v] + sums[s][v + half];
    }
    totals[s] = join_lanes<A>(sums[s][0], [](const auto& x, const auto& y) { return x + y; });
  }
  return totals;
}

}  // namespace detail

/// f(first) + ... + f(last - 1) in type A, where f gives `count` numbers, by halving down to chunks of 1024:
/// the error grows with the logarithm of the length.
template <class A, std::size_t count, class F>
inline std::array<A, count> sums_of(std::int64_t first, std::int64_t last, F f) {
  if (last - first <= detail::sum_chunk) return detail::lane_sums<A, count>(first, last, f);
  const std::int64_t chunks = (last - first + detail::sum_chunk - 1) / detail::sum_chunk;
  const std::int64_t middle = first + chunks / 2 * detail::sum_chunk;
  std::array<A, count> sums = sums_of<A, count>(first, middle, f);
  const std::array<A, count> others = sums_of<A, count>(middle, last, f);
  for (std::size_t s = 0; s < count; ++s) sums[s] = sums[s] + others[s];
  return sums;
}

/// The same where f gives one number.
template <class A, class F>
inline A sum_of(std::int64_t first, std::int64_t last, F f) {
  return sums_of<A, 1>(first, last, [f](std::int64_t i) { return std::array<A, 1>{f(i)}; })[0];
}

/// The sum of x [n], likewise.
template <class A>
inline A sum_of(const A* x, std::int64_t n) {
  return sums_of<A, 1>(0, n, detail::Elements<A>{x})[0];
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

/// Sums of so many columns, of one function of the rows or of several.
template <class T, std::size_t count>
using ColumnSums = T[count][column_tile];

/// sums[s][c] = the sum of column c in [0, width), width <= column_tile: chunks of 64 rows, joined two by two
/// like the digits of a binary counter. add(first, last, acc) sums the rows [first, last), in their order.
template <class T, std::size_t count, class Add>
inline void column_sums_by(std::int64_t rows, std::int64_t width, Add add, ColumnSums<T, count>& sums) {
  constexpr std::int64_t chunk = 64;
  constexpr int levels = 40;
  if (rows <= chunk) {
    add(std::int64_t{0}, rows, sums);
    return;
  }
  ColumnSums<T, count> part[levels];
  std::int64_t filled = 0;  // bit i says that part[i] holds the sum of 2^i chunks
  const auto for_all = [width](auto body) {
    for (std::size_t s = 0; s < count; ++s) {
      for (std::int64_t c = 0; c < width; ++c) body(s, c);
    }
  };
  for (std::int64_t first = 0; first < rows; first += chunk) {
    ColumnSums<T, count> acc;
    add(first, std::min(rows, first + chunk), acc);
    int level = 0;
    for (; (filled >> level & 1) != 0; ++level) {
      for_all([&](std::size_t s, std::int64_t c) { acc[s][c] = part[level][s][c] + acc[s][c]; });
    }
    for_all([&](std::size_t s, std::int64_t c) { part[level][s][c] = acc[s][c]; });
    ++filled;
  }
  bool first = true;
  for (int level = 0; level < levels; ++level) {
    if ((filled >> level & 1) == 0) continue;
    for_all([&](std::size_t s, std::int64_t c) {
      sums[s][c] = first ? part[level][s][c] : part[level][s][c] + sums[s][c];
    });
    first = false;
  }
}

/// The same of f(row, c)[s].
template <class T, std::size_t count, class F>
inline void column_sums(std::int64_t rows, std::int64_t width, F f, ColumnSums<T, count>& sums) {
  const auto add = [width, f](std::int64_t first, std::int64_t last, ColumnSums<T, count>& acc) {
    const auto add_rows = [&](auto columns) {
      T x[count][column_tile] = {};
      for (std::int64_t r = first; r < last; ++r) {
        for (std::int64_t c = 0; c < columns; ++c) {
          const std::array<T, count> y = f(r, c);
#pragma GCC unroll 4
          for (std::size_t s = 0; s < count; ++s) x[s][c] += y[s];
        }
      }
      for (std::size_t s = 0; s < count; ++s) std::copy_n(x[s], columns, acc[s]);
    };
    // A number of columns that is known lets sums stay in registers.
    if (width == column_tile) return add_rows(std::integral_constant<std::int64_t, column_tile>{});
    add_rows(width);
  };
  column_sums_by<T, count>(rows, width, add, sums);
}

}  // namespace reel::kernels
