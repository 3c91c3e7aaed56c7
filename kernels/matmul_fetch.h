#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/matmul.h"
#include "kernels/matmul_plan.h"
#include "kernels/prefetch.h"

// What of B a product is going to pack next, and of A it is going to read, for its tiles to prefetch.

namespace reel::kernels {

/// The block of B that a task with panels [first, last) packs after the one at k that ends before panel
/// `end`: the next panels, or the first of the next k, or those of the task behind, which the thread most
/// likely does next. Nothing where the plan says so.
template <class T>
Piece<T> block_behind(const Matmul<T>& p, const Plan<T>& plan, const T* b, std::int64_t k, std::int64_t first,
                      std::int64_t last, std::int64_t end) {
  if (!plan.fetch) return {};
  const auto block = [&](std::int64_t at, std::int64_t panel, std::int64_t before) {
    constexpr std::int64_t width = tile_columns<T>;
    const std::int64_t depth = std::min(plan.depth, p.k - at);
    const std::int64_t columns =
        std::min(std::min(panel + plan.packed_panels, before) * width, p.n) - panel * width;
    const T* const start = panel_of_b(p, b, at, panel);
    return p.transpose_b ? Piece<T>{start, columns, depth, p.ldb} : Piece<T>{start, depth, columns, p.ldb};
  };
  if (end < last) return block(k, end, last);
  if (k + plan.depth < p.k) return block(k + plan.depth, first, last);
  return last < plan.panels ? block(0, last, 2 * last - first) : Piece<T>{};
}

/// Rows [first, last) of A in the block of k that begins at `k`, which the next row of tiles reads. Where
/// they do not come from the second cache, a tile that has not asked for them takes 5 to 6 percent longer on
/// an EPYC. Nothing where A is stored transposed, whose tiles see to it themselves, or the plan says so.
template <class T>
Piece<T> rows_behind(const Matmul<T>& p, const Plan<T>& plan, const T* a, std::int64_t k, std::int64_t first,
                     std::int64_t last) {
  if (!plan.fetch || p.transpose_a) return {};
  return {a + first * p.lda + k, last - first, std::min(plan.depth, p.k - k), p.lda};
}

/// What tile `column` of `columns` in row `row` of `rows` of tiles asks for: of `block` all rows of tiles
/// together, of the next rows of A those of one row, in the second half of its tiles. A row of one tile asks
/// for `block` alone.
template <class T>
Piece<T> share_of_tile(const Piece<T>& block, const Piece<T>& next_rows, std::int64_t row, std::int64_t rows,
                       std::int64_t column, std::int64_t columns) {
  if (block.rows == 0 && next_rows.rows == 0) return {};
  const std::int64_t of_block = next_rows.rows > 0 ? (columns + 1) / 2 : columns;
  if (column < of_block) return block.share(row * of_block + column, rows * of_block);
  return next_rows.share(column - of_block, columns - of_block);
}

}  // namespace reel::kernels
