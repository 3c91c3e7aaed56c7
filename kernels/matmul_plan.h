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

/// What the caches of this processor are like, or commonly are. Only speed depends on it.
struct Caches {
  std::int64_t lines_of_a_set = 8;      // of the first
  std::int64_t second_bytes = 1 << 20;  // of the second
  bool foresee_rows = false;            // ask for the next of many rows that are read side by side

  /// How many rows of so many numbers can each have a line in the first cache, if that has 64 sets.
  template <class T>
  std::int64_t lines_that_fit(std::int64_t stride) const {
    constexpr std::int64_t sets = 64, line = 64;
    const std::int64_t bytes_apart = stride * static_cast<std::int64_t>(sizeof(T));
    return sets / std::clamp<std::int64_t>((bytes_apart & -bytes_apart) / line, 1, sets) * lines_of_a_set;
  }

  static const Caches& of_this_processor() {
    static const Caches caches = [] {
      Caches c;
#if defined(_SC_LEVEL1_DCACHE_ASSOC) && defined(_SC_LEVEL2_CACHE_SIZE)
      const auto take = [](std::int64_t& to, long value) {
        if (value > 0) to = value;
      };
      take(c.lines_of_a_set, ::sysconf(_SC_LEVEL1_DCACHE_ASSOC));
      take(c.second_bytes, ::sysconf(_SC_LEVEL2_CACHE_SIZE));
#endif
#if defined(__x86_64__)
      c.foresee_rows = __builtin_cpu_is("intel") != 0;
#endif
      return c;
    }();
    return caches;
  }
};

/// The length of equal blocks of k, none longer than `most`, a multiple of `unit`: in whole units but for the
/// last.
inline std::int64_t block_depth(std::int64_t k, std::int64_t most, std::int64_t unit) {
  const std::int64_t blocks = std::max<std::int64_t>(1, divide_up(k, most));
  return std::max<std::int64_t>(1, std::min(k, divide_up(divide_up(k, blocks), unit) * unit));
}

/// How a product is cut up, as suits the caches and the number of threads. Results see nothing of it but the
/// length of a block of k, where the chain of sums of an element ends and is added to C. That follows from k
/// alone, so that any number of threads, and processors with and without AVX-512, get the same bits.
template <class T>
struct Plan {
  static constexpr std::int64_t most_depth = 512;
  /// Numbers of B that may be packed at a time, where A needs no more of them.
  static constexpr std::int64_t room = 2 * most_depth * tile_columns<T>;
  static constexpr std::int64_t most_packed_tiles = 8;

  std::int64_t depth = 0;               // of a block of k
  std::int64_t parts = 1;               // of the rows
  std::int64_t groups = 1, panels = 1;  // a group is the panels of one task
  std::int64_t packed_panels = 1;       // of a group, that are packed at a time
  std::int64_t height = tile_rows;      // most rows of a tile
  bool pack_a = false, pack_b = false;
  bool turn_b = false;            // in the tile that packs B first, not in a pass before it
  std::int64_t packed_tiles = 1;  // of A, that are packed at a time
  bool fetch = false;             // the next block of B and rows of A, ahead of their use

  explicit Plan(const Matmul<T>& p) {
    constexpr auto numbers_in = [](std::int64_t bytes) {
      return bytes / static_cast<std::int64_t>(sizeof(T));
    };
    // For the lines of the few sets of a cache that they share.
    const auto rows_compete = [&](std::int64_t stride) { return stride % numbers_in(4096) == 0; };
    const Caches& caches = Caches::of_this_processor();
    depth = block_depth(p.k, most_depth, numbers_in(64));  // in lanes of the longest vectors
    panels = divide_up(p.n, tile_columns<T>);

    // The columns of a tile are a few numbers in each row of A. Rows far apart have few sets of the first
    // cache to share, and their memory is slow to come: the first tile of a row of tiles lines them up for
    // the others. The more of B is packed by then, the more others there are.
    pack_a = p.transpose_a && p.lda >= numbers_in(512) && panels > 1;
    // Rows a multiple of 4096 bytes apart have so few sets of the second cache, too, that a line is gone
    // before the next tile comes to its other numbers: a pass of its own lines up several tiles, row by row.
    if (pack_a && rows_compete(p.lda)) packed_tiles = most_packed_tiles;
    // B that lies as it is needed is packed beside the first tiles that read it. That costs a percent or two
    // of a small product, and the tiles behind save as much only where they are many, or where rows of B
    // compete for the second cache.
    const bool is_large = p.k > 0 && p.m * p.k + p.k * p.n + p.m * p.n > numbers_in(768 << 10);
    pack_b = p.transpose_b || p.m > (is_large || rows_compete(p.ldb) ? 4 : 32) * tile_rows;
    const std::int64_t room_of_b = pack_a ? std::max(room, numbers_in(caches.second_bytes / 4)) : room;
    packed_panels = std::max<std::int64_t>(1, room_of_b / (depth * tile_columns<T>));

    // A tile that turns B over comes to every line of its columns several times. Where these lie so that the
    // lines of all share a few sets of the first cache, they are lost in between, and a tile of 512 k takes
    // three times its time. A pass before it is done with each line at once.
    turn_b = tiles_turn_b<T> && p.transpose_b && !p.transpose_a &&
             caches.lines_that_fit<T>(p.ldb) >= tile_columns<T>;

    // Every block of packed B reads all rows of its part of A, which should fit into half of the second
    // cache; but each part packs B again: beside the multiply-adds of its first tile or, where that
    // cannot turn B over, in a pass of its own, which 48 rows outweigh three times. Few panels: parts for two
    // threads at least, and for more of them where they stay large.
    const auto at_most = [&p](std::int64_t wanted, std::int64_t least_rows) {
      return std::max<std::int64_t>(1, std::min(wanted, p.m / least_rows));
    };
    if (!pack_a) {
      const std::int64_t cache = numbers_in(p.transpose_b ? 2 << 20 : 512 << 10);
      parts =
          std::max({at_most(divide_up(p.m * p.k, cache), 192), at_most(divide_up(8, panels * p.batch), 192),
                    at_most(divide_up(2, panels * p.batch), 48)});
      // Other ops cut their work into rows. Where a product does, too, a thread finds the rows that it wrote
      // itself: between cores that share no cache those of another come slowly. That B is packed once more
      // is then a fiftieth of the work of a part at most.
      if (p.batch == 1) parts = std::max(parts, at_most(threads(), 384));
    }

    // A part of A that is lined up, or does not fit into the cache, should be read seldom: tasks as wide as
    // leaves two for each thread, which go along all their panels with one block of k before the next.
    if (pack_a || (pack_b && divide_up(p.m, parts) * p.k > numbers_in(1 << 20))) {
      const int workers = threads();
      cut_for(p, workers == 1 ? 1 : 2 * workers);
    } else {
      const std::int64_t most = std::min<std::int64_t>(packed_panels, 8);
      groups = divide_up(panels, std::clamp<std::int64_t>(panels * parts * p.batch / 4, 1, most));
      // Two threads, or four, should come to the end together.
      while (groups > 2 && groups < panels && groups * parts * p.batch % 4 != 0) ++groups;
    }

    // Rows a multiple of 4096 bytes apart compete for the lines of one set of the first cache: a quarter of
    // them is left to B and C.
    if (!p.transpose_a && rows_compete(p.lda)) {
      height = std::clamp<std::int64_t>(caches.lines_of_a_set * 3 / 4, 4, tile_rows);
    }

    // Asking pays where not all is in the second cache: between two products of a step the other ops pass
    // through it. Asking for rows that the caches foresee costs two percent.
    fetch = is_large && pack_b && !caches.foresee_rows;
  }

  /// Numbers of packed A from one tile to the next: lines that are written at one time lie in different sets.
  std::int64_t packed_tile() const { return (depth + packed_tiles) * packed_rows<T>; }
  /// Numbers of packed A and of packed B in the memory of a task, which has B first.
  std::int64_t packed_a() const { return pack_a ? packed_tiles * packed_tile() : 0; }
  std::int64_t packed_b() const {
    return pack_b ? std::min(packed_panels, divide_up(panels, groups)) * depth * tile_columns<T> : 0;
  }

  /// A vector of products in each, and half a one for every number of B that is turned over.
  static double cycles(const Matmul<T>& p) {
    const double b = static_cast<double>(p.k) * static_cast<double>(p.n) * static_cast<double>(p.batch);
    return b * (static_cast<double>(p.m) / Simd<T>::lanes + (p.transpose_b ? 0.5 : 0));
  }

 private:
  // Cuts rows or columns in halves, whichever repeats less work, or columns where it is as much, until there
  // are as many tasks: each part packs all of B, each group reads all of A. But the gradient of a weight is
  // cut into rows first, some for each thread: those are the stretch that this thread has in the optimizer,
  // and gradients that another wrote come slowly, above all from a core that shares no cache with it.
  void cut_for(const Matmul<T>& p, std::int64_t tasks) {
    const std::int64_t packing = p.n * (p.transpose_b ? 2 : 1);
    while (parts * groups * p.batch < tasks) {
      const bool rows_can = parts * 2 * 48 <= p.m, columns_can = groups * 2 <= panels;
      if (!rows_can && !columns_can) break;
      const bool rows_first = p.transpose_a && parts * p.batch < threads();
      const bool rows = rows_can && (!columns_can || rows_first || parts * packing < groups * p.m);
      (rows ? parts : groups) *= 2;
    }
  }
};

/// Sets where the sums of the block of k that begins at `k` go, from `row` and `column` of C on, and what is
/// done to them there.
template <class T>
void set_destination(const Matmul<T>& p, const Plan<T>& plan, std::int64_t k, std::int64_t batch,
                     std::int64_t row, std::int64_t column, Destination<T>& t) {
  const std::int64_t start = batch * p.stride_c + row * p.ldc + column;
  const bool last = k + plan.depth >= p.k;
  t.c = p.c.data + start;
  t.c_stride = p.ldc;
  t.columns = static_cast<int>(std::min<std::int64_t>(tile_columns<T>, p.n - column));
  t.add = p.c.add || k > 0;
  t.bias = t.add || p.bias == nullptr ? nullptr : p.bias + column;
  t.addend = p.c.add || !last || p.addend == nullptr ? nullptr : p.addend + start;
  t.relu = p.relu && !p.c.add && last;
}

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
