#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/matmul_tile.h"
#include "kernels/transpose.h"

// What of A and B is copied in a pass of its own, so that tiles read it from front to back: panels of B that
// are stored transposed and that no tile turns over itself, and tiles of A that is stored transposed, in rows
// that compete for the same lines of a cache.

namespace reel::kernels {
namespace detail {

/// to [lanes, lanes] = the transpose of `count` rows of from and zero rows behind them. Rows of `to` are
/// `width` apart.
template <class T>
inline void transpose_square(const T* from, std::int64_t stride, int count, T* to, int width) {
  using S = Simd<T>;
  const auto store = [to, width](int k, const auto& column) { S::store(to + k * width, column); };
  if constexpr (S::lanes == 1) {
    *to = *from;
  } else if (count == S::lanes) {
    turn_square<T>(SquareRows<T>(from, stride), store);
  } else {
    alignas(64) static constexpr T zeros[S::lanes] = {};
    turn_square<T>([&](int i) { return i < count ? from + i * stride : zeros; }, store);
  }
}

}  // namespace detail

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

/// packed [tiles][depth, packed_rows] = A for tiles that begin at its rows starts [tiles + 1]; A is stored
/// [depth, rows], and packed tiles lie `packed_tile` apart.
template <class T>
void pack_columns(const T* a, std::int64_t stride, std::int64_t depth, const std::int64_t* starts,
                  std::int64_t tiles, T* packed, std::int64_t packed_tile) {
  using S = Simd<T>;
  constexpr std::int64_t together = 8;  // rows side by side, while the next ones are asked for
  for (std::int64_t k = 0; k < depth; k += together) {
    const std::int64_t end = std::min(k + together, depth);
    for (std::int64_t t = 0; t < tiles; ++t) {
      const auto rows = static_cast<int>(starts[t + 1] - starts[t]);
      for (std::int64_t i = k; i < end; ++i) {
        const T* const from = a + i * stride + starts[t];
        T* const to = packed + t * packed_tile + i * packed_rows<T>;
        __builtin_prefetch(from + together * stride);
        for (int r = 0; r < rows; r += S::lanes)
          S::store(to + r, rows - r < S::lanes ? S::load(from + r, rows - r) : S::load(from + r));
      }
    }
  }
}

}  // namespace reel::kernels
