#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/matmul_tile.h"

// Copies a panel of B, depth rows and up to tile_columns columns, into a buffer [depth, tile_columns] with
// zeros behind the last column, so that a tile reads it from front to back.

namespace reel::kernels {
namespace detail {

/// to [lanes, lanes] = the transpose of `count` rows of from and zero rows behind them. Rows of `to` are
/// `width` apart.
template <class T>
inline void transpose_square(const T* from, std::int64_t stride, int count, T* to, int width) {
  constexpr int lanes = Simd<T>::lanes;
  for (int k = 0; k < lanes; ++k) {
    for (int i = 0; i < lanes; ++i) to[k * width + i] = i < count ? from[i * stride + k] : T(0);
  }
}

#if defined(__AVX512F__)
// From each quarter of a and b, its lower (or upper) half: of both in turn, in pieces of `piece` lanes.
template <int piece, bool upper, class V, int... lane>
inline V zip(V a, V b, std::integer_sequence<int, lane...>) {
  constexpr int lanes = static_cast<int>(sizeof...(lane));
  constexpr int quarter = lanes / 4;
  return __builtin_shufflevector(
      a, b,
      (lane / quarter * quarter + (upper ? quarter / 2 : 0) + lane % quarter / (2 * piece) * piece +
       lane % piece + (lane / piece % 2 == 1 ? lanes : 0))...);
}

// Quarters of four rows are loaded straight to their place in a vector; what is left to do is a transposition
// within quarters.
template <class T>
inline typename Simd<T>::Vector quarters(const T* a, const T* b, const T* c, const T* d) {
  const auto load = [](const T* x) { return _mm_loadu_ps(reinterpret_cast<const float*>(x)); };
  __m512 v = _mm512_castps128_ps512(load(a));
  v = _mm512_insertf32x4(v, load(b), 1);
  v = _mm512_insertf32x4(v, load(c), 2);
  v = _mm512_insertf32x4(v, load(d), 3);
  return reinterpret_cast<typename Simd<T>::Vector>(v);
}

// columns[i] = number i of 16 rows; row(quarter, j) is the beginning of row 4 quarter + j.
template <class Row>
inline void turn_four_columns(Row row, Simd<float>::Vector* columns) {
  using V = Simd<float>::Vector;
  using All = std::make_integer_sequence<int, 16>;
  V x[4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) x[j] = quarters<float>(row(0, j), row(1, j), row(2, j), row(3, j));
  const V low01 = zip<1, false>(x[0], x[1], All{});
  const V high01 = zip<1, true>(x[0], x[1], All{});
  const V low23 = zip<1, false>(x[2], x[3], All{});
  const V high23 = zip<1, true>(x[2], x[3], All{});
  columns[0] = zip<2, false>(low01, low23, All{});
  columns[1] = zip<2, true>(low01, low23, All{});
  columns[2] = zip<2, false>(high01, high23, All{});
  columns[3] = zip<2, true>(high01, high23, All{});
}

inline void transpose_square(const float* from, std::int64_t stride, int count, float* to, int width) {
  using S = Simd<float>;
  const auto turn = [to, width](auto row) {
#pragma GCC unroll 4
    for (int q = 0; q < 16; q += 4) {
      S::Vector columns[4];
      turn_four_columns([&](int quarter, int j) { return row(quarter, j) + q; }, columns);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) S::store(to + (q + i) * width, columns[i]);
    }
  };
  if (count == 16) {  // a pointer for four rows, so that all of them fit into registers
    const float* const four[4] = {from, from + 4 * stride, from + 8 * stride, from + 12 * stride};
    turn([&](int quarter, int j) { return four[quarter] + j * stride; });
  } else {
    alignas(64) static constexpr float zeros[16] = {};
    turn([&](int quarter, int j) {
      const int i = 4 * quarter + j;
      return i < count ? from + i * stride : zeros;
    });
  }
}

inline void transpose_square(const double* from, std::int64_t stride, int count, double* to, int width) {
  using S = Simd<double>;
  using All = std::make_integer_sequence<int, 8>;
  const auto turn = [to, width](auto row) {
#pragma GCC unroll 4
    for (int q = 0; q < 8; q += 2) {
      const S::Vector even = quarters<double>(row(0, 0) + q, row(1, 0) + q, row(2, 0) + q, row(3, 0) + q);
      const S::Vector odd = quarters<double>(row(0, 1) + q, row(1, 1) + q, row(2, 1) + q, row(3, 1) + q);
      S::store(to + q * width, zip<1, false>(even, odd, All{}));
      S::store(to + (q + 1) * width, zip<1, true>(even, odd, All{}));
    }
  };
  if (count == 8) {
    const double* const two[4] = {from, from + 2 * stride, from + 4 * stride, from + 6 * stride};
    turn([&](int quarter, int j) { return two[quarter] + j * stride; });
  } else {
    alignas(64) static constexpr double zeros[8] = {};
    turn([&](int quarter, int j) {
      const int i = 2 * quarter + j;
      return i < count ? from + i * stride : zeros;
    });
  }
}
#endif

}  // namespace detail

/// panels [columns / width up][depth, width], `step` numbers apart, = B [depth, columns], row by row.
template <class T>
void pack_rows(const T* b, std::int64_t stride, std::int64_t depth, std::int64_t columns, T* panels,
               std::int64_t step) {
  using S = Simd<T>;
  constexpr int lanes = S::lanes;
  constexpr int width = tile_columns<T>;
  const std::int64_t whole = columns / width;
  const int rest = static_cast<int>(columns % width);
  for (std::int64_t k = 0; k < depth; ++k) {
    const T* from = b + k * stride;
    T* to = panels + k * width;
    for (std::int64_t j = 0; j < whole; ++j) {
      for (int v = 0; v < tile_vectors; ++v) {
        __builtin_prefetch(from + v * lanes + 8 * stride);  // rows are too far apart for the hardware to see
        S::store(to + v * lanes, S::load(from + v * lanes));
      }
      from += width;
      to += step;
    }
    for (int v = 0; v < tile_vectors && rest > 0; ++v) {
      const int left = rest - v * lanes;
      S::store(to + v * lanes, left >= lanes ? S::load(from + v * lanes)
                               : left > 0    ? S::load(from + v * lanes, left)
                                             : S::zero());
    }
  }
}

/// panel [depth, width] = B [depth, columns], which is stored [columns, depth].
template <class T>
void pack_transposed(const T* b, std::int64_t stride, std::int64_t depth, int columns, T* panel) {
  constexpr int lanes = Simd<T>::lanes;
  constexpr int width = tile_columns<T>;
  for (int v = 0; v * lanes < columns; ++v) {
    const T* from = b + v * lanes * stride;
    T* to = panel + v * lanes;
    const int count = std::min(lanes, columns - v * lanes);
    if (lanes > 1 && depth >= lanes) {
      for (std::int64_t k = 0; k < depth; k += lanes) {
        const std::int64_t at = std::min(k, depth - lanes);  // the last square overlaps the one before it
        detail::transpose_square(from + at, stride, count, to + at * width, width);
      }
    } else {
      for (int i = 0; i < count; ++i) {
        for (std::int64_t k = 0; k < depth; ++k) to[k * width + i] = from[i * stride + k];
      }
      for (int i = count; i < lanes; ++i) {
        for (std::int64_t k = 0; k < depth; ++k) to[k * width + i] = T(0);
      }
    }
  }
}

}  // namespace reel::kernels
