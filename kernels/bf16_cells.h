#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/bf16_pieces.h"
#include "kernels/matmul_pack.h"
#include "kernels/matmul_plan.h"

// Packs factors of a product into cells of bfloat16, with each number as one piece or as three; the pieces of
// a matrix are packed as so many matrices, `piece_step` cells apart.

#if defined(__AVX512F__)
namespace reel::kernels::bf16 {

inline constexpr std::int64_t width = tile_columns<float>;  // of a panel
inline constexpr std::int64_t most_cells = Plan<float>::most_depth / 2;
/// Of a block of k. Three pieces of what a tile of the matrix unit multiplies at a depth of 512 are more than
/// the first cache holds.
template <class Pieces>
inline constexpr std::int64_t most_depth = Plan<float>::most_depth / (Pieces::count == 1 ? 1 : 4);
alignas(64) inline constexpr float zeros[lanes] = {};  // stand for the row behind an odd number of them

/// Cells of a block of `depth` numbers, in whole vectors.
inline std::int64_t padded_cells(std::int64_t depth) { return divide_up(depth, 2 * lanes) * lanes; }

inline __mmask16 first(std::int64_t count) {
  return static_cast<__mmask16>(count >= lanes ? 0xffffU : (1U << std::max<std::int64_t>(count, 0)) - 1);
}

/// to [cells] = a row of `depth` numbers; writes up to 15 cells behind them.
template <class Pieces>
REEL_BF16 inline void pack_row(const float* from, std::int64_t depth, Cell* to, std::int64_t piece_step = 0) {
  std::int64_t k = 0;
  for (; k + 2 * lanes <= depth; k += 2 * lanes) {
    Pieces::store_row(_mm512_loadu_ps(from + k), _mm512_loadu_ps(from + k + lanes), to + k / 2, piece_step);
  }
  if (k == depth) return;
  Pieces::store_row(_mm512_maskz_loadu_ps(first(depth - k), from + k),
                    _mm512_maskz_loadu_ps(first(depth - k - lanes), from + k + lanes), to + k / 2,
                    piece_step);
}

/// panels [columns / width up][cells, width], `step` cells apart, = rows k and k + 1 side by side;
/// writes up to 15 cells behind the last column.
template <class Pieces>
REEL_BF16 inline void pack_pairs_of_rows(const float* from, std::int64_t stride, std::int64_t depth,
                                         std::int64_t columns, Cell* to, std::int64_t row_width,
                                         std::int64_t step, std::int64_t piece_step = 0) {
  const std::int64_t whole = columns / lanes;
  const __mmask16 rest = first(columns % lanes);
  for (std::int64_t k = 0; k < depth; k += 2) {
    const float* const even = from + k * stride;
    const float* const odd = k + 1 < depth ? even + stride : zeros;
    const std::int64_t next = k + 1 < depth ? lanes : 0;
    for (std::int64_t v = 0; v < whole; ++v) {
      __builtin_prefetch(even + v * lanes + 8 * stride);  // rows are too far apart for the hardware to see
      Pieces::store_rows(_mm512_loadu_ps(even + v * lanes), _mm512_loadu_ps(odd + v * next),
                         to + v / tile_vectors * step + v % tile_vectors * lanes, piece_step);
    }
    if (rest != 0) {
      Pieces::store_rows(_mm512_maskz_loadu_ps(rest, even + whole * lanes),
                         _mm512_maskz_loadu_ps(rest, odd + whole * next),
                         to + whole / tile_vectors * step + whole % tile_vectors * lanes, piece_step);
    }
    to += row_width;
  }
}

/// panel [cells, width] = `columns` rows of `depth` numbers, turned over; its rows go up to a multiple
/// of 16.
template <class Pieces>
inline void pack_turned(const float* from, std::int64_t stride, std::int64_t depth, std::int64_t columns,
                        Cell* panel, std::int64_t piece_step = 0) {
  alignas(64) Cell squares[Pieces::count][lanes * lanes];
  for (std::int64_t j = 0; j < columns; j += lanes) {
    const auto count = static_cast<int>(std::min<std::int64_t>(lanes, columns - j));
    for (std::int64_t k = 0; k < depth; k += 2 * lanes) {
      for (int i = 0; i < count; ++i) {
        pack_row<Pieces>(from + (j + i) * stride + k, std::min<std::int64_t>(2 * lanes, depth - k),
                         squares[0] + i * lanes, lanes * lanes);
      }
      Cell* to = panel + k / 2 * width + j;
      for (const auto& square : squares) {
        detail::transpose_square(reinterpret_cast<const float*>(square), lanes, count,
                                 reinterpret_cast<float*>(to), static_cast<int>(width));
        to += piece_step;
      }
    }
  }
}

}  // namespace reel::kernels::bf16
#endif
