#include "kernels/matmul_bf16_tiles.h"

#if defined(__AVX512F__)
#include <cpuid.h>
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/bf16_cells.h"
#include "kernels/bf16_finishing.h"
#include "kernels/matmul_plan.h"
#include "kernels/parallel.h"
#include "kernels/workspace.h"

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

// AMX: eight registers, each a tile of 16 rows of 64 bytes. One instruction multiplies a tile of A, 16 rows
// of 16 cells, with one of B, 16 rows of cells of 16 columns, and adds the product to a tile of 16 by 16
// floats. (Intel 64 and IA-32 Architectures Software Developer's Manual, TDPBF16PS.)
#define REEL_AMX __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512bf16")))

namespace reel::kernels::bf16 {
namespace {

constexpr std::int64_t side = 16;        // rows of a tile, cells of A and columns of B in them
constexpr std::int64_t rows = 2 * side;  // of C that are computed at a time, as many as columns: a square
static_assert(rows == width && side == lanes);

// What the registers hold. Constant memory: compilers do not know that the instruction reads all of it.
struct alignas(64) Configuration {
  std::uint8_t palette = 1, start = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {side, side, side, side, side, side, side, side};
};
constexpr Configuration eight_whole_tiles;

// The products of pieces that are added up, in an order in which most have a piece of A or of B in common
// with the one before. Three pieces leave out the three smallest, which make less of a difference than
// rounding to a float does.
template <class Pieces>
constexpr auto products_of_pieces() {
  struct Product {
    int a, b;
  };
  if constexpr (Pieces::count == 1) {
    return std::array{Product{0, 0}};
  } else {
    return std::array{Product{0, 0}, Product{0, 1}, Product{1, 1},
                      Product{1, 0}, Product{2, 0}, Product{0, 2}};
  }
}

// A square of C, of one block of k.
template <class Pieces>
struct Square {
  const Cell* a = nullptr;  // [pieces, rows, a_stride]
  std::int64_t a_stride = 0;
  const Cell* b = nullptr;  // [pieces, cells, width]
  std::int64_t cells = 0;
  float* sums = nullptr;  // [rows, sums_stride]
  std::int64_t sums_stride = 0;
};

// sums = A B: two by two tiles in registers. Meanwhile the sums of the square before reach C, and leave their
// memory. The compiler must neither move nor drop what is written to memory before and read after: it does
// not see that the instructions use it.
template <class Pieces>
[[gnu::noinline]] REEL_AMX void multiply(const Square<Pieces>& s, Finishing<Pieces>& before) {
  asm volatile("" ::: "memory");
  constexpr auto products = products_of_pieces<Pieces>();
  const std::int64_t a_bytes = s.a_stride * 4, b_bytes = width * 4, sums_bytes = s.sums_stride * 4;
  before.spread_over(s.cells / side * static_cast<std::int64_t>(products.size()));
  const Cell* a = s.a;
  const Cell* b = s.b;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t cell = 0; cell < s.cells; cell += side) {
#pragma GCC unroll 6
    for (std::size_t i = 0; i < products.size(); ++i) {
      const bool new_a = i == 0 || products[i].a != products[i - 1].a;
      const bool new_b = i == 0 || products[i].b != products[i - 1].b;
      const Cell* const left = a + products[i].a * rows * s.a_stride;
      const Cell* const right = b + products[i].b * s.cells * width;
      if (new_a) _tile_loadd(4, left, a_bytes);
      if (new_b) _tile_loadd(6, right, b_bytes);
      _tile_dpbf16ps(0, 4, 6);
      if (new_b) _tile_loadd(7, right + side, b_bytes);
      _tile_dpbf16ps(1, 4, 7);
      before.finish_some();
      if (new_a) _tile_loadd(5, left + side * s.a_stride, a_bytes);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    a += side;
    b += side * width;
  }
  before.finish_the_rest();
  _tile_stored(0, s.sums, sums_bytes);
  _tile_stored(1, s.sums + side, sums_bytes);
  _tile_stored(2, s.sums + side * s.sums_stride, sums_bytes);
  _tile_stored(3, s.sums + side * s.sums_stride + side, sums_bytes);
  asm volatile("" ::: "memory");
}

// The registers of this thread are tiles as long as this lives.
struct Registers {
  [[gnu::noinline]] REEL_AMX Registers() { _tile_loadconfig(&eight_whole_tiles); }
  [[gnu::noinline]] REEL_AMX ~Registers() { _tile_release(); }
  Registers(const Registers&) = delete;
  Registers& operator=(const Registers&) = delete;
};

// What a task needs, all of it in cells.
template <class Pieces>
struct TaskMemory {
  static constexpr std::int64_t most_cells = most_depth<Pieces> / 2;
  static constexpr std::int64_t most_panels = 16;  // of full depth that are packed at a time: half a MiB
  // One tile longer than the longest block, so that rows do not compete for sets of the first cache.
  static constexpr std::int64_t a_stride = most_cells + side;
  static constexpr std::int64_t a_piece = rows * a_stride;
  static constexpr std::int64_t turning_piece = most_cells * rows;
  static constexpr std::int64_t b_cells = Pieces::count * most_panels * most_cells * width;

  Cell* b;        // [panels, pieces, cells, width]
  Cell* a;        // [pieces, rows, a_stride]
  Cell* turning;  // [pieces, cells, rows], for A stored turned over
  float* sums;    // [rows, width]

  explicit TaskMemory(Cell* piece)
      : b(piece),
        a(b + b_cells),
        turning(a + Pieces::count * a_piece),
        sums(reinterpret_cast<float*>(turning + Pieces::count * turning_piece)) {}
  static constexpr std::int64_t cells = b_cells + Pieces::count * (a_piece + turning_piece) + rows * width;
};

// Panels of B [depth, columns], which stands at `b`, with zeros behind the last k.
template <class Pieces>
void pack_panels_of_b(const Matmul<float>& p, const float* b, std::int64_t depth, std::int64_t columns,
                      Cell* to) {
  const std::int64_t piece = padded_cells(depth) * width, panel = Pieces::count * piece;
  if (!p.transpose_b) pack_pairs_of_rows<Pieces>(b, p.ldb, depth, columns, to, width, panel, piece);
  for (std::int64_t j = 0; j < columns; j += width, to += panel) {
    if (p.transpose_b) {
      pack_turned<Pieces>(b + j * p.ldb, p.ldb, depth, std::min(width, columns - j), to, piece);
    } else {
      for (int i = 0; i < Pieces::count; ++i)
        std::fill(to + i * piece + divide_up(depth, 2) * width, to + (i + 1) * piece, Cell{0});
    }
  }
}

// `count` rows of A [count, depth], which stands at `a`. Rows behind them are left as they are: those of C
// that come of them are not stored.
template <class Pieces>
void pack_rows_of_a(const Matmul<float>& p, const float* a, std::int64_t depth, std::int64_t count,
                    const TaskMemory<Pieces>& memory) {
  using Memory = TaskMemory<Pieces>;
  const std::int64_t cells = padded_cells(depth);
  if (!p.transpose_a) {
    for (std::int64_t i = 0; i < count; ++i)
      pack_row<Pieces>(a + i * p.lda, depth, memory.a + i * Memory::a_stride, Memory::a_piece);
    return;
  }
  pack_pairs_of_rows<Pieces>(a, p.lda, depth, count, memory.turning, rows, 0, Memory::turning_piece);
  for (int piece = 0; piece < Pieces::count; ++piece) {
    const Cell* const from = memory.turning + piece * Memory::turning_piece;
    Cell* const to = memory.a + piece * Memory::a_piece;
    for (std::int64_t k = 0; k < cells; k += side) {
      const auto filled = static_cast<int>(std::min(side, divide_up(depth, 2) - k));
      for (std::int64_t i = 0; i < count; i += side) {
        detail::transpose_square(reinterpret_cast<const float*>(from + k * rows + i), rows, filled,
                                 reinterpret_cast<float*>(to + i * Memory::a_stride + k),
                                 static_cast<int>(Memory::a_stride));
      }
    }
  }
}

// Parts for several threads, of which results see nothing. Each packs its rows of A and its panels of B,
// which may take longer than multiplying them: no more parts than leaves each some microseconds, cut where
// that costs less; two for each thread, and none for a single one.
template <class Pieces>
Plan<float> plan_of(const Matmul<float>& p) {
  using Memory = TaskMemory<Pieces>;
  Plan<float> plan(p);
  if (plan.depth > most_depth<Pieces>) plan.depth = block_depth(p.k, most_depth<Pieces>, 2 * side);
  const double rows_cost = static_cast<double>(p.m * p.k) * (p.transpose_a ? 2 : 1);
  const double columns_cost = static_cast<double>(p.n * p.k) * (p.transpose_b ? 2 : 1);
  const double products = static_cast<double>(p.m * p.n) * static_cast<double>(p.k * p.batch);
  const int workers = threads();
  const double wanted = std::min(workers == 1 ? 1.0 : 2.0 * workers, std::sqrt(products / (1 << 22)));
  const std::int64_t most = Memory::b_cells / (Pieces::count * padded_cells(plan.depth) * width);
  plan.parts = 1;
  plan.groups = divide_up(plan.panels, std::max<std::int64_t>(1, most));
  const auto tasks = [&] { return static_cast<double>(plan.parts * plan.groups * p.batch); };
  while (tasks() < wanted) {
    const bool rows_can = plan.parts * 2 * rows <= p.m;
    const bool columns_can = plan.groups * 2 <= plan.panels;
    if (!rows_can && !columns_can) break;
    const bool cut_rows = rows_can && (!columns_can || static_cast<double>(plan.parts) * columns_cost <=
                                                           static_cast<double>(plan.groups) * rows_cost);
    (cut_rows ? plan.parts : plan.groups) *= 2;
  }
  return plan;
}

// Rows [first, last) and panels [panel, last_panel) of one product of the batch.
template <class Pieces>
void compute_part(const Matmul<float>& p, const Plan<float>& plan, const TaskMemory<Pieces>& memory,
                  std::int64_t batch, std::int64_t first, std::int64_t last, std::int64_t panel,
                  std::int64_t last_panel) {
  const Registers registers;
  const float* const a = p.a + batch * p.stride_a;
  const float* const b = p.b + batch * p.stride_b;
  Tile<float> t;
  t.a_stride = p.lda;
  t.b_stride = p.ldb;
  Square<Pieces> square;
  square.a = memory.a;
  square.a_stride = TaskMemory<Pieces>::a_stride;
  Finishing<Pieces> before;
  for (std::int64_t k = 0; k < std::max<std::int64_t>(1, p.k); k += plan.depth) {
    t.depth = std::min(plan.depth, p.k - k);
    square.cells = padded_cells(t.depth);
    pack_panels_of_b<Pieces>(p, panel_of_b(p, b, k, panel), t.depth,
                             std::min(last_panel * width, p.n) - panel * width, memory.b);
    for (std::int64_t row = first; row < last; row += rows) {
      const std::int64_t count = std::min(rows, last - row);
      t.a = a + (p.transpose_a ? k * p.lda + row : row * p.lda + k);
      pack_rows_of_a(p, t.a, t.depth, count, memory);
      for (std::int64_t j = panel; j < last_panel; ++j) {
        t.b = panel_of_b(p, b, k, j);
        set_destination(p, plan, k, batch, row, j * width, t);
        square.b = memory.b + (j - panel) * Pieces::count * square.cells * width;
        const bool direct = Pieces::count == 1 && t.takes_plain_sums() && count == rows && t.columns == width;
        square.sums = direct ? t.c : memory.sums;
        square.sums_stride = direct ? t.c_stride : width;
        multiply(square, before);
        if (!direct) before = Finishing<Pieces>(p, t, count, memory.sums);
        // The next square of so few cells would be computed before this one is finished beside it.
        if (Pieces::count == 1 && square.cells < 8 * side) before.finish_the_rest();
      }
    }
  }
  before.finish_the_rest();
}

template <class Pieces>
void multiply_in(const Matmul<float>& p) {
  const Plan<float> plan = plan_of<Pieces>(p);
  using Memory = TaskMemory<Pieces>;
  Workspace<Cell> workspace(Memory::cells);
  // Packing and C take longer than the multiply-adds, of which the unit does 512 in a cycle, or
  // a sixth of that in pieces.
  for_each_part(p, plan, plan.cycles(p) / 6, workspace.workers(), [&](int worker, auto... part) {
    compute_part(p, plan, Memory(workspace.of(worker)), part...);
  });
}

// Linux gives the registers, 8 KiB that every switch of threads has to save, to those who ask.
bool ask_for_tiles() {
#if defined(__linux__)
  constexpr unsigned has_bf16 = 1U << 22, has_registers = 1U << 24;
  constexpr long request = 0x1023, registers = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & has_bf16) != 0 &&
         (edx & has_registers) != 0 && ::syscall(SYS_arch_prctl, request, registers) == 0;
#else
  return false;
#endif
}

}  // namespace

bool has_tiles() {
  static const bool has = ask_for_tiles();
  return has;
}

void multiply_in_tiles(const Matmul<float>& p) { multiply_in<OnePiece>(p); }

void multiply_pieces_in_tiles(const Matmul<float>& p) { multiply_in<ThreePieces>(p); }

double multiply_nothing_but_tiles() {
  constexpr std::int64_t cells = 256, products = 16;
  alignas(64) static constexpr Cell zeros_in_cells[cells * width] = {};
  alignas(64) float c[rows * width];
  const Registers registers;
  const Square<OnePiece> square{zeros_in_cells, side, zeros_in_cells, cells, c, width};
  Finishing<OnePiece> nothing;
  for (std::int64_t i = 0; i < products; ++i) multiply(square, nothing);
  return 2.0 * rows * width * 2 * cells * products;
}

}  // namespace reel::kernels::bf16
#endif
