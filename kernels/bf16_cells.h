#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/matmul_pack.h"
#include "kernels/matmul_plan.h"

// Cells: the numbers of k and k + 1 as two bfloat16 in 32 bits, as the processor's instructions for bfloat16
// want both operands. The even k stands in the high half, which the dot product of pairs adds first. Numbers
// are rounded on their way into cells.

#if defined(__AVX512F__)
#define REEL_BF16 __attribute__((target("avx512f,avx512bw,avx512bf16")))

namespace reel::kernels::bf16 {

using Cell = std::uint32_t;

inline constexpr std::int64_t width = tile_columns<float>;  // of a panel
inline constexpr int lanes = Simd<float>::lanes;
inline constexpr std::int64_t most_cells = Plan<float>::most_depth / 2;
alignas(64) inline constexpr float zeros[lanes] = {};  // stand for the row behind an odd number of them
typedef Cell Cells __attribute__((vector_size(64)));

/// Cells of a block of `depth` numbers, in whole vectors.
inline std::int64_t padded_cells(std::int64_t depth) { return divide_up(depth, 2 * lanes) * lanes; }

inline __mmask16 first(std::int64_t count) {
  return static_cast<__mmask16>(count >= lanes ? 0xffffU : (1U << std::max<std::int64_t>(count, 0)) - 1);
}

REEL_BF16 inline void store_pairs(Cell* to, __m512bh pairs) {
  const auto x = reinterpret_cast<Cells>(pairs);
  _mm512_storeu_si512(to, reinterpret_cast<__m512i>(x << 16 | x >> 16));
}

/// to [cells] = a row of `depth` numbers; writes up to 15 cells behind them.
REEL_BF16 inline void pack_row(const float* from, std::int64_t depth, Cell* to) {
  std::int64_t k = 0;
  for (; k + 2 * lanes <= depth; k += 2 * lanes) {
    store_pairs(to + k / 2,
                _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + k + lanes), _mm512_loadu_ps(from + k)));
  }
  if (k == depth) return;
  const __m512 low = _mm512_maskz_loadu_ps(first(depth - k), from + k);
  const __m512 high = _mm512_maskz_loadu_ps(first(depth - k - lanes), from + k + lanes);
  store_pairs(to + k / 2, _mm512_cvtne2ps_pbh(high, low));
}

/// panels [columns / width up][cells, width], `step` cells apart, = rows k and k + 1 side by side;
/// writes up to 15 cells behind the last column.
REEL_BF16 inline void pack_pairs_of_rows(const float* from, std::int64_t stride, std::int64_t depth,
                                         std::int64_t columns, Cell* to, std::int64_t row_width,
                                         std::int64_t step) {
  alignas(64) std::uint16_t order[32];
  for (int i = 0; i < lanes; ++i) {
    order[2 * i] = static_cast<std::uint16_t>(i);
    order[2 * i + 1] = static_cast<std::uint16_t>(i + lanes);
  }
  const __m512i side_by_side = _mm512_load_si512(order);
  const std::int64_t whole = columns / lanes;
  const __mmask16 rest = first(columns % lanes);
  for (std::int64_t k = 0; k < depth; k += 2) {
    const float* const even = from + k * stride;
    const float* const odd = k + 1 < depth ? even + stride : zeros;
    const std::int64_t next = k + 1 < depth ? lanes : 0;
    for (std::int64_t v = 0; v < whole; ++v) {
      __builtin_prefetch(even + v * lanes + 8 * stride);  // rows are too far apart for the hardware to see
      const auto rows = reinterpret_cast<__m512i>(
          _mm512_cvtne2ps_pbh(_mm512_loadu_ps(even + v * lanes), _mm512_loadu_ps(odd + v * next)));
      _mm512_storeu_si512(to + v / tile_vectors * step + v % tile_vectors * lanes,
                          _mm512_permutexvar_epi16(side_by_side, rows));
    }
    if (rest != 0) {
      const auto rows =
          reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(rest, even + whole * lanes),
                                                        _mm512_maskz_loadu_ps(rest, odd + whole * next)));
      _mm512_storeu_si512(to + whole / tile_vectors * step + whole % tile_vectors * lanes,
                          _mm512_permutexvar_epi16(side_by_side, rows));
    }
    to += row_width;
  }
}

/// panel [cells, width] = `columns` rows of `depth` numbers, turned over; its rows go up to a multiple
/// of 16.
inline void pack_turned(const float* from, std::int64_t stride, std::int64_t depth, std::int64_t columns,
                        Cell* panel) {
  alignas(64) Cell rows[lanes * most_cells];
  const std::int64_t cells = padded_cells(depth);
  for (std::int64_t j = 0; j < columns; j += lanes) {
    const auto count = static_cast<int>(std::min<std::int64_t>(lanes, columns - j));
    for (int i = 0; i < count; ++i) pack_row(from + (j + i) * stride, depth, rows + i * cells);
    for (std::int64_t k = 0; k < cells; k += lanes) {
      detail::transpose_square(reinterpret_cast<const float*>(rows + k), cells, count,
                               reinterpret_cast<float*>(panel + k * width + j), static_cast<int>(width));
    }
  }
}

}  // namespace reel::kernels::bf16
#endif
