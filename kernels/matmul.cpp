#include "kernels/matmul.h"

#include <algorithm>
#include <type_traits>

#include "kernels/dual.h"
#include "kernels/matmul_bf16.h"
#include "kernels/matmul_fetch.h"
#include "kernels/matmul_pack.h"
#include "kernels/matmul_plan.h"
#include "kernels/matmul_rows.h"
#include "kernels/matmul_tile.h"
#include "kernels/reduce.h"
#include "kernels/workspace.h"

namespace reel::kernels {
namespace {

// Rows [first, last) and panels [first_panel, last_panel) of one product of the batch; `memory` is for packed
// B and A.
template <class T>
void compute_part(const Matmul<T>& p, const Plan<T>& plan, T* memory, std::int64_t batch, std::int64_t first,
                  std::int64_t last, std::int64_t first_panel, std::int64_t last_panel) {
  constexpr std::int64_t width = tile_columns<T>;
  T* const packed_b = memory;                    // [packed_panels, depth, width]
  T* const packed_a = memory + plan.packed_b();  // [packed_tiles][depth, packed_rows]
  const T* a = p.a + batch * p.stride_a;
  const T* b = p.b + batch * p.stride_b;
  const std::int64_t tiles = divide_up(last - first, plan.height);
  const auto start_of = [&](std::int64_t tile) { return first + (last - first) * tile / tiles; };
  const auto columns = [&](std::int64_t j) { return static_cast<int>(std::min(width, p.n - j * width)); };
  Tile<T> t;
  const auto is_turned_by_a_tile = [&](std::int64_t j) {
    return plan.turn_b && columns(j) == width && t.depth >= rows_turned;
  };
  const auto multiply_block = [&](std::int64_t k, std::int64_t panel, std::int64_t end_panel) {
    const auto packed_panel = [&](std::int64_t j) { return packed_b + (j - panel) * plan.depth * width; };
    for (std::int64_t j = panel; j < end_panel && p.transpose_b; ++j) {
      if (!is_turned_by_a_tile(j))
        pack_transposed(panel_of_b(p, b, k, j), p.ldb, t.depth, columns(j), packed_panel(j));
    }
    // One panel alone takes A as it lies.
    const bool pack_a = plan.pack_a && panel + 1 < end_panel;
    const Piece<T> next_block = block_behind(p, plan, b, k, first_panel, last_panel, end_panel);
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      const std::int64_t row = start_of(tile);
      const std::int64_t end = start_of(tile + 1);
      const Piece<T> next_rows =
          tile + 1 < tiles ? rows_behind(p, plan, a, k, end, start_of(tile + 2)) : Piece<T>{};
      T* const packed_tile = packed_a + tile % plan.packed_tiles * plan.packed_tile();
      if (pack_a && plan.packed_tiles > 1 && tile % plan.packed_tiles == 0) {
        std::int64_t starts[Plan<T>::most_packed_tiles + 1];
        const std::int64_t some = std::min(plan.packed_tiles, tiles - tile);
        for (std::int64_t i = 0; i <= some; ++i) starts[i] = start_of(tile + i);
        pack_columns(a + k * p.lda, p.lda, t.depth, starts, some, packed_tile, plan.packed_tile());
      }
      for (std::int64_t j = panel; j < end_panel; ++j) {
        const bool packed_a_before = pack_a && (plan.packed_tiles > 1 || j > panel);
        t.a = packed_a_before ? packed_tile : a + (p.transpose_a ? k * p.lda + row : row * p.lda + k);
        t.a_stride = packed_a_before ? packed_rows<T> : p.lda;
        t.packed_a = pack_a && !packed_a_before ? packed_tile : nullptr;
        // Where a tile can, the first that reads B packs it, beside its multiply-adds.
        t.turn_b = tile == 0 && is_turned_by_a_tile(j);
        const bool pack_b = plan.pack_b && tile == 0 && (t.turn_b || !p.transpose_b);
        const bool packed_b_before = plan.pack_b && !pack_b;
        t.b = packed_b_before ? packed_panel(j) : panel_of_b(p, b, k, j);
        t.b_stride = packed_b_before ? width : p.ldb;
        t.packed_b = pack_b ? packed_panel(j) : nullptr;
        set_destination(p, plan, k, batch, row, j * width, t);
        t.soon = share_of_tile(next_block, next_rows, tile, tiles, j - panel, end_panel - panel).walks();
        compute_tile(t, static_cast<int>(end - row), p.transpose_a);
      }
    }
  };
  for (std::int64_t k = 0; k < std::max<std::int64_t>(1, p.k); k += plan.depth) {
    t.depth = std::min(plan.depth, p.k - k);
    for (std::int64_t panel = first_panel; panel < last_panel; panel += plan.packed_panels) {
      multiply_block(k, panel, std::min(last_panel, panel + plan.packed_panels));
    }
  }
}

template <class T>
void compute(const Matmul<T>& p) {
  const Plan<T> plan(p);
  Workspace<T> memory(plan.packed_a() + plan.packed_b());
  for_each_part(p, plan, plan.cycles(p), memory.workers(),
                [&](int worker, auto... part) { compute_part(p, plan, memory.of(worker), part...); });
}

}  // namespace

template <class T>
void matmul(const Matmul<T>& p) {
  if (p.m == 0 || p.n == 0 || p.batch == 0 || (p.k == 0 && p.c.add)) return;
  if constexpr (std::is_same_v<T, float>) {
    if (p.products == Products::bf16) return matmul_bf16(p);
    if (p.products == Products::bf16x6 && is_faster_in_pieces(p)) return matmul_bf16x6(p);
    if (const std::int64_t done = multiply_few_rows(p); done > 0) {
      Matmul<float> rest = p;
      rest.n -= done;
      rest.b += done * p.ldb;
      rest.c.data += done;
      if (p.bias != nullptr) rest.bias += done;
      if (p.addend != nullptr) rest.addend += done;
      if (rest.n > 0) compute(rest);
      return;
    }
  }
  compute(p);
}

template <class T>
void sum_rows(const T* x, std::int64_t rows, std::int64_t n, Into<T> out) {
  sum_axis(x, 1, rows, n, out);
}

#define REEL_INSTANTIATE(T)               \
  template void matmul(const Matmul<T>&); \
  template void sum_rows(const T*, std::int64_t, std::int64_t, Into<T>)
REEL_INSTANTIATE(float);
REEL_INSTANTIATE(double);
REEL_INSTANTIATE(Dual);
#undef REEL_INSTANTIATE

}  // namespace reel::kernels
