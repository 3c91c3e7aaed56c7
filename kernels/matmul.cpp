#include "kernels/matmul.h"

#include <algorithm>

#include "kernels/dual.h"
#include "kernels/matmul_pack.h"
#include "kernels/matmul_tile.h"
#include "kernels/parallel.h"
#include "kernels/reduce.h"

namespace reel::kernels {
namespace {

std::int64_t divide_up(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }

// C is split into tasks of some rows and one panel of columns, and k into blocks that keep a panel of B near
// the core. A block ends the chain of sums of an element and adds it to C, so its length may depend on k
// alone.
template <class T>
struct Plan {
  static constexpr std::int64_t most_depth = 32768 / (tile_columns<T> * static_cast<int>(sizeof(T))) * 2;

  std::int64_t depth = 0, row_parts = 0, panels = 0;
  bool pack = false;

  explicit Plan(const Matmul<T>& p) {
    constexpr std::int64_t lanes = Simd<T>::lanes;
    const std::int64_t blocks = std::max<std::int64_t>(1, divide_up(p.k, most_depth));
    depth = std::min(p.k, divide_up(divide_up(p.k, blocks), lanes) * lanes);
    panels = divide_up(p.n, tile_columns<T>);
    // Few panels: split the rows as well, so that two threads find work.
    const std::int64_t tiles = divide_up(p.m, tile_rows);
    row_parts = std::clamp<std::int64_t>(8 / std::max<std::int64_t>(1, panels * p.batch), 1,
                                         std::max<std::int64_t>(1, tiles / 4));
    pack = p.transpose_b || p.m > 4 * tile_rows;
  }
};

// Rows [first, last) and columns [column, column + columns) of one product of the batch.
template <class T>
void compute_part(const Matmul<T>& p, const Plan<T>& plan, std::int64_t batch, std::int64_t first,
                  std::int64_t last, std::int64_t column) {
  alignas(64)
      T panel[static_cast<std::size_t>(Plan<T>::most_depth * tile_columns<T>)];  // [depth, tile_columns]
  const T* a = p.a + batch * p.stride_a;
  const T* b = p.b + batch * p.stride_b;
  Tile<T> t;
  t.a_stride = p.lda;
  t.c_stride = p.ldc;
  t.columns = static_cast<int>(std::min<std::int64_t>(tile_columns<T>, p.n - column));
  const std::int64_t tiles = divide_up(last - first, tile_rows);
  for (std::int64_t k = 0; k < std::max<std::int64_t>(1, p.k); k += std::max<std::int64_t>(1, plan.depth)) {
    t.depth = std::min(plan.depth, p.k - k);
    t.b = b + (p.transpose_b ? column * p.ldb + k : k * p.ldb + column);
    t.b_stride = p.ldb;
    if (plan.pack) {
      pack_panel(t.b, p.ldb, p.transpose_b, t.depth, t.columns, panel);
      t.b = panel;
      t.b_stride = tile_columns<T>;
    }
    t.add = p.c.add || k > 0;
    t.bias = t.add || p.bias == nullptr ? nullptr : p.bias + column;
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      const std::int64_t row = first + (last - first) * tile / tiles;
      const std::int64_t end = first + (last - first) * (tile + 1) / tiles;
      t.a = a + (p.transpose_a ? k * p.lda + row : row * p.lda + k);
      t.c = p.c.data + batch * p.stride_c + row * p.ldc + column;
      compute_tile(t, static_cast<int>(end - row), p.transpose_a);
    }
  }
}

}  // namespace

template <class T>
void matmul(const Matmul<T>& p) {
  if (p.m == 0 || p.n == 0 || p.batch == 0 || (p.k == 0 && p.c.add)) return;
  const Plan<T> plan(p);
  const double cost = 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k) *
                      static_cast<double>(p.batch) / (2 * Simd<T>::lanes);
  parallel_for(p.batch * plan.row_parts * plan.panels, cost, [&](std::int64_t task) {
    const std::int64_t part = task / plan.panels % plan.row_parts;
    compute_part(p, plan, task / plan.panels / plan.row_parts, p.m * part / plan.row_parts,
                 p.m * (part + 1) / plan.row_parts, task % plan.panels * tile_columns<T>);
  });
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
