#pragma once

#include <algorithm>
#include <cstdint>

#if defined(__linux__)
#include <unistd.h>
#endif

#include "kernels/matmul.h"
#include "kernels/matmul_tile.h"
#include "kernels/parallel.h"

namespace reel::kernels {

inline std::int64_t divide_up(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }

/// Lines in a set of the first cache, 8 or 12 on the processors of today. Only speed depends on it.
inline std::int64_t lines_of_a_set() {
#if defined(_SC_LEVEL1_DCACHE_ASSOC)
  static const std::int64_t lines = ::sysconf(_SC_LEVEL1_DCACHE_ASSOC);
  if (lines > 0) return lines;
#endif
  return 8;
}

/// How a product is cut up. All but the height of a tile follows from the shapes; the length of a block of k,
/// where the chain of sums of an element ends and is added to C, even from k alone, so that processors with
/// and without AVX-512 get the same bits.
template <class T>
struct Plan {
  static constexpr std::int64_t most_depth = 512;
  static constexpr std::int64_t room = 2 * most_depth * tile_columns<T>;  // numbers of B packed at a time

  std::int64_t depth = 0;               // of a block of k
  std::int64_t parts = 1;               // of the rows
  std::int64_t groups = 1, panels = 1;  // a group is the panels of one task
  std::int64_t height = tile_rows;      // most rows of a tile
  bool pack_a = false, pack_b = false;
  bool fetch = false;  // the next block of B, and C, ahead of their use

  explicit Plan(const Matmul<T>& p) {
    constexpr std::int64_t unit = 64 / static_cast<std::int64_t>(sizeof(T));  // lanes of the longest vectors
    const std::int64_t blocks = std::max<std::int64_t>(1, divide_up(p.k, most_depth));
    depth = std::max<std::int64_t>(1, std::min(p.k, divide_up(divide_up(p.k, blocks), unit) * unit));
    panels = divide_up(p.n, tile_columns<T>);

    // Every group reads all of its part of the rows, which should fit into half of the second cache; but each
    // part packs B again: beside the multiply-adds of its first tile or, where B is to be turned over, in a
    // pass of its own, which 48 rows outweigh three times. Few panels: parts for two threads at least, and
    // for more of them where they stay large.
    const std::int64_t cache = (p.transpose_b ? 2 << 20 : 512 << 10) / static_cast<std::int64_t>(sizeof(T));
    const auto at_most = [&p](std::int64_t wanted, std::int64_t least_rows) {
      return std::max<std::int64_t>(1, std::min(wanted, p.m / least_rows));
    };
    parts = std::max({at_most(divide_up(p.m * p.k, cache), 192), at_most(divide_up(8, panels * p.batch), 192),
                      at_most(divide_up(2, panels * p.batch), 48)});

    const std::int64_t most = std::max<std::int64_t>(1, room / (depth * tile_columns<T>));
    const std::int64_t group =
        std::clamp<std::int64_t>(panels * parts * p.batch / 4, 1, std::min<std::int64_t>(most, 8));
    groups = divide_up(panels, group);
    // Two threads, or four, should come to the end together.
    while (groups > 2 && groups < panels && groups * parts * p.batch % 4 != 0) ++groups;

    // Rows a multiple of 4096 bytes apart compete for the lines of one set of the first cache: a quarter of
    // them is left to B and C.
    if (!p.transpose_a && p.lda * static_cast<std::int64_t>(sizeof(T)) % 4096 == 0) {
      height = std::clamp<std::int64_t>(lines_of_a_set() * 3 / 4, 4, tile_rows);
    }

    // The columns of a tile are a few numbers in each row of A. Rows far apart have few sets of the first
    // cache to share, and their memory is slow to come.
    pack_a = p.transpose_a && p.lda * static_cast<std::int64_t>(sizeof(T)) >= 1536;
    pack_b = p.transpose_b || p.m > 4 * tile_rows;

    // Asking costs half a percent where all of it is in the second cache, and spares three to six where it is
    // not: between two products of a step the other ops pass through that cache.
    const auto mib = [](std::int64_t numbers) {
      return static_cast<double>(numbers) * static_cast<double>(sizeof(T)) / (1 << 20);
    };
    fetch = p.k > 0 && mib(p.m * p.k + p.k * p.n + p.m * p.n) > 0.75;
  }

  /// A vector of products in each, and half a one for every number of B that is turned over.
  static double cycles(const Matmul<T>& p) {
    const double b = static_cast<double>(p.k) * static_cast<double>(p.n) * static_cast<double>(p.batch);
    return b * (static_cast<double>(p.m) / Simd<T>::lanes + (p.transpose_b ? 0.5 : 0));
  }
};

/// Row k of a panel of B.
template <class T>
const T* panel_of_b(const Matmul<T>& p, const T* b, std::int64_t k, std::int64_t panel) {
  const std::int64_t column = panel * tile_columns<T>;
  return b + (p.transpose_b ? column * p.ldb + k : k * p.ldb + column);
}

/// Calls compute(worker, batch, first row, last row, first panel, last panel) for every part, on several
/// threads; which `worker` is as in parallel_for.
template <class T, class Compute>
void for_each_part(const Matmul<T>& p, const Plan<T>& plan, double cycles, int workers, Compute compute) {
  // Four simple operations of other kernels, which the cost of a loop is counted in, take about a cycle.
  parallel_for(p.batch * plan.parts * plan.groups, 4 * cycles, workers, [&](std::int64_t task, int worker) {
    const std::int64_t group = task % plan.groups;
    const std::int64_t part = task / plan.groups % plan.parts;
    compute(worker, task / plan.groups / plan.parts, p.m * part / plan.parts, p.m * (part + 1) / plan.parts,
            plan.panels * group / plan.groups, plan.panels * (group + 1) / plan.groups);
  });
}

}  // namespace reel::kernels
