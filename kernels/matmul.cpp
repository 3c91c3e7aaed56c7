#include "kernels/matmul.h"

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include "kernels/dual.h"
#include "kernels/matmul_bf16.h"
#include "kernels/matmul_fetch.h"
#include "kernels/matmul_pack.h"
#include "kernels/matmul_plan.h"
#include "kernels/matmul_rows.h"
#include "kernels/matmul_tile.h"
#include "kernels/reduce.h"

namespace reel::kernels {
namespace {

// Rows [first, last) and panels [panel, last_panel) of one product of the batch.
template <class T>
void compute_part(const Matmul<T>& p, const Plan<T>& plan, std::int64_t batch, std::int64_t first,
                  std::int64_t last, std::int64_t panel, std::int64_t last_panel) {
  constexpr std::int64_t width = tile_columns<T>;
  alignas(64)
      std::byte memory[static_cast<std::size_t>(Plan<T>::room) * sizeof(T)];  // bytes need no first value
  T* const packed = reinterpret_cast<T*>(memory);                             // [panels, depth, width]
  const T* a = p.a + batch * p.stride_a;
  const T* b = p.b + batch * p.stride_b;
  T* c = p.c.data + batch * p.stride_c;
  const std::int64_t tiles = divide_up(last - first, plan.height);
  const auto columns = [&](std::int64_t j) { return static_cast<int>(std::min(width, p.n - j * width)); };
  const auto packed_panel = [&](std::int64_t j) { return packed + (j - panel) * plan.depth * width; };
  Tile<T> t;
  t.a_stride = p.lda;
  t.c_stride = p.ldc;
  for (std::int64_t k = 0; k < std::max<std::int64_t>(1, p.k); k += plan.depth) {
    t.depth = std::min(plan.depth, p.k - k);
    t.add = p.c.add || k > 0;
    if (plan.pack_b && p.transpose_b) {
      for (std::int64_t j = panel; j < last_panel; ++j) {
        pack_transposed(panel_of_b(p, b, k, j), p.ldb, t.depth, columns(j), packed_panel(j));
      }
    }
    const Piece<T> next = block_behind(p, plan, b, k, panel, last_panel);
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      const std::int64_t row = first + (last - first) * tile / tiles;
      const std::int64_t end = first + (last - first) * (tile + 1) / tiles;
      next.fetch(tile, tiles);
      if (plan.fetch_a && end < last) {
        const std::int64_t rows_ahead = std::min<std::int64_t>(last - end, plan.height);
        Piece<T>{a + k * p.lda + end, t.depth, rows_ahead, p.lda}.fetch(0, 1);
      }
      t.a = a + (p.transpose_a ? k * p.lda + row : row * p.lda + k);
      // Rows of B need no turning: the first tile that reads them packs them, beside its multiply-adds.
      const bool pack = plan.pack_b && !p.transpose_b && tile == 0;
      const bool packed_before = plan.pack_b && !pack;
      t.b_stride = packed_before ? width : p.ldb;
      for (std::int64_t j = panel; j < last_panel; ++j) {
        t.b = packed_before ? packed_panel(j) : panel_of_b(p, b, k, j);
        t.packed = pack ? packed_panel(j) : nullptr;
        t.c = c + row * p.ldc + j * width;
        t.columns = columns(j);
        t.bias = t.add || p.bias == nullptr ? nullptr : p.bias + j * width;
        if (plan.fetch) fetch_c(t, end - row);
        compute_tile(t, static_cast<int>(end - row), p.transpose_a);
      }
    }
  }
}

template <class T>
void compute(const Matmul<T>& p) {
  const Plan<T> plan(p);
  for_each_part(p, plan, plan.cycles(p), [&](auto... part) { compute_part(p, plan, part...); });
}

}  // namespace

template <class T>
void matmul(const Matmul<T>& p) {
  if (p.m == 0 || p.n == 0 || p.batch == 0 || (p.k == 0 && p.c.add)) return;
  if constexpr (std::is_same_v<T, float>) {
    if (p.products == Products::bf16) return matmul_bf16(p);
    if (const std::int64_t done = multiply_few_rows(p); done > 0) {
      Matmul<float> rest = p;
      rest.n -= done;
      rest.b += done * p.ldb;
      rest.c.data += done;
      if (p.bias != nullptr) rest.bias += done;
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
