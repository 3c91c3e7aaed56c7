#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/matmul_tile.h"
#include "kernels/transpose.h"

// Turns a panel of B that is stored transposed, depth rows and up to tile_columns columns, into a buffer
// [depth, tile_columns] with zeros behind the last column, so that a tile reads it from front to back: in a
// pass of its own, for the panels that no tile turns over itself.

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

}  // namespace reel::kernels
