#include "kernels/matmul.h"

#include <algorithm>
#include <cstddef>

#include "kernels/dual.h"
#include "kernels/matmul_pack.h"
#include "kernels/matmul_tile.h"
#include "kernels/parallel.h"
#include "kernels/reduce.h"

namespace reel::kernels {
namespace {

std::int64_t divide_up(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }

// How a product is cut up. All of it follows from the shapes; the length of a block of k, where the chain of
// sums of an element ends and is added to C, even from k alone.
template <class T>
struct Plan {
  static constexpr std::int64_t most_depth = 512;
  static constexpr std::int64_t room = 2 * most_depth * tile_columns<T>;  // numbers of B packed at a time

  std::int64_t depth = 0;               // of a block of k
  std::int64_t parts = 1;               // of the rows
  std::int64_t groups = 1, panels = 1;  // a group is the panels of one task
  std::int64_t height = tile_rows;      // most rows of a tile
  bool pack_b = false;

  explicit Plan(const Matmul<T>& p) {
    constexpr std::int64_t lanes = Simd<T>::lanes;
    const std::int64_t blocks = std::max<std::int64_t>(1, divide_up(p.k, most_depth));
    depth = std::max<std::int64_t>(1, std::min(p.k, divide_up(divide_up(p.k, blocks), lanes) * lanes));
    panels = divide_up(p.n, tile_columns<T>);

    // Every group reads all of its part of the rows, which should fit into half of the second cache; but each
    // part packs B again, which 48 rows outweigh ten times, and turns it over, which takes three times as
    // long. Few panels: parts for two threads at least, and for more of them where they stay large.
    const std::int64_t cache = (p.transpose_b ? 2 << 20 : 512 << 10) / static_cast<std::int64_t>(sizeof(T));
    const auto at_most = [&p](std::int64_t wanted, std::int64_t least_rows) {
      return std::max<std::int64_t>(1, std::min(wanted, p.m / least_rows));
    };
    parts = std::max({at_most(divide_up(p.m * p.k, cache), 192), at_most(divide_up(8, panels * p.batch), 192),
                      at_most(divide_up(2, panels * p.batch), 48)});

    const std::int64_t most = std::max<std::int64_t>(1, room / (depth * tile_columns<T>));
    const std::int64_t group =
        std::clamp<std::int64_t>(panels * parts * p.batch / 12, 1, std::min<std::int64_t>(most, 4));
    groups = divide_up(panels, group);

    // Rows a multiple of 4096 bytes apart compete for the 8 lines of one set of the first cache.
    constexpr std::int64_t few = std::min(6, tile_rows);
    if (!p.transpose_a && p.lda * static_cast<std::int64_t>(sizeof(T)) % 4096 == 0) height = few;

    pack_b = p.transpose_b || p.m > 4 * tile_rows;
  }
};

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
  Tile<T> t;
  t.a_stride = p.lda;
  t.c_stride = p.ldc;
  for (std::int64_t k = 0; k < std::max<std::int64_t>(1, p.k); k += plan.depth) {
    t.depth = std::min(plan.depth, p.k - k);
    t.add = p.c.add || k > 0;
    const auto panel_of_b = [&](std::int64_t j) {
      return b + (p.transpose_b ? j * width * p.ldb + k : k * p.ldb + j * width);
    };
    if (plan.pack_b) {
      const std::int64_t step = plan.depth * width;
      if (p.transpose_b) {
        for (std::int64_t j = panel; j < last_panel; ++j) {
          pack_transposed(panel_of_b(j), p.ldb, t.depth, columns(j), packed + (j - panel) * step);
        }
      } else {
        pack_rows(panel_of_b(panel), p.ldb, t.depth, std::min(last_panel * width, p.n) - panel * width,
                  packed, step);
      }
    }
    t.b_stride = plan.pack_b ? width : p.ldb;
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      const std::int64_t row = first + (last - first) * tile / tiles;
      const std::int64_t end = first + (last - first) * (tile + 1) / tiles;
      t.a = a + (p.transpose_a ? k * p.lda + row : row * p.lda + k);
      for (std::int64_t j = panel; j < last_panel; ++j) {
        t.b = plan.pack_b ? packed + (j - panel) * plan.depth * width : panel_of_b(j);
        t.c = c + row * p.ldc + j * width;
        t.columns = columns(j);
        t.bias = t.add || p.bias == nullptr ? nullptr : p.bias + j * width;
        compute_tile(t, static_cast<int>(end - row), p.transpose_a);
      }
    }
  }
}

}  // namespace

template <class T>
void matmul(const Matmul<T>& p) {
  if (p.m == 0 || p.n == 0 || p.batch == 0 || (p.k == 0 && p.c.add)) return;
  const Plan<T> plan(p);
  // Cycles: a vector of products in each, and half a one for every number of B that is turned over. Four
  // simple operations of other kernels, which the cost of a loop is counted in, take about as long.
  const double columns = static_cast<double>(p.k) * static_cast<double>(p.n) * static_cast<double>(p.batch);
  const double cycles = columns * (static_cast<double>(p.m) / Simd<T>::lanes + (p.transpose_b ? 0.5 : 0));
  parallel_for(p.batch * plan.parts * plan.groups, 4 * cycles, [&](std::int64_t task) {
    const std::int64_t group = task % plan.groups;
    const std::int64_t part = task / plan.groups % plan.parts;
    compute_part(p, plan, task / plan.groups / plan.parts, p.m * part / plan.parts,
                 p.m * (part + 1) / plan.parts, plan.panels * group / plan.groups,
                 plan.panels * (group + 1) / plan.groups);
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
