#include "kernels/matmul_bf16_tiles.h"

#if defined(__AVX512F__)
#include <cpuid.h>
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/bf16_cells.h"
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

constexpr std::int64_t side = 16;         // rows of a tile, cells of A and columns of B in them
constexpr std::int64_t rows = 2 * side;   // of C that are computed at a time, as many as columns
constexpr std::int64_t most_panels = 16;  // of full depth that are packed at a time: half a MiB
static_assert(rows == width && side == lanes);

// What the registers hold. Constant memory: compilers do not know that the instruction reads all of it.
struct alignas(64) Configuration {
  std::uint8_t palette = 1, start = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {side, side, side, side, side, side, side, side};
};
constexpr Configuration eight_whole_tiles;

// C [32, 32] = A [32, 16 steps] B [16 steps, 32]: two by two tiles in registers. The compiler must neither
// move nor drop what is written to memory before and read after: it does not see that the instructions use
// it.
[[gnu::noinline]] REEL_AMX void multiply(const Cell* a, std::int64_t a_stride, const Cell* b,
                                         std::int64_t steps, float* c, std::int64_t c_stride) {
  asm volatile("" ::: "memory");
  const std::int64_t a_bytes = a_stride * 4, b_bytes = width * 4, c_bytes = c_stride * 4;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t s = 0; s < steps; ++s) {
    _tile_loadd(4, a, a_bytes);
    _tile_loadd(6, b, b_bytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + side, b_bytes);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + side * a_stride, a_bytes);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    a += side;
    b += side * width;
  }
  _tile_stored(0, c, c_bytes);
  _tile_stored(1, c + side, c_bytes);
  _tile_stored(2, c + side * c_stride, c_bytes);
  _tile_stored(3, c + side * c_stride + side, c_bytes);
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
struct TaskMemory {
  // One tile longer than the longest block, so that rows do not compete for sets of the first cache.
  static constexpr std::int64_t a_stride = most_cells + side;
  static constexpr std::int64_t b_cells = most_panels * most_cells * width;

  Cell* b;        // [panels, cells, width]
  Cell* a;        // [rows, a_stride]
  Cell* turning;  // [cells, rows], for A stored turned over
  float* c;       // [rows, width]

  explicit TaskMemory(Cell* piece)
      : b(piece),
        a(b + b_cells),
        turning(a + rows * a_stride),
        c(reinterpret_cast<float*>(turning + most_cells * rows)) {}
  static constexpr std::int64_t cells = b_cells + rows * a_stride + most_cells * rows + rows * width;
};

// Panels of B [depth, columns], which stands at `b`, with zeros behind the last k.
void pack_panels_of_b(const Matmul<float>& p, const float* b, std::int64_t depth, std::int64_t columns,
                      Cell* to, std::int64_t step) {
  if (!p.transpose_b) pack_pairs_of_rows(b, p.ldb, depth, columns, to, width, step);
  for (std::int64_t j = 0; j < columns; j += width, to += step) {
    if (p.transpose_b) {
      pack_turned(b + j * p.ldb, p.ldb, depth, std::min(width, columns - j), to);
    } else {
      std::fill(to + divide_up(depth, 2) * width, to + padded_cells(depth) * width, Cell{0});
    }
  }
}

// `count` rows of A [count, depth], which stands at `a`. Rows behind them are left as they are: those of C
// that come of them are not stored.
void pack_rows_of_a(const Matmul<float>& p, const float* a, std::int64_t depth, std::int64_t count,
                    const TaskMemory& memory) {
  const std::int64_t cells = padded_cells(depth);
  if (p.transpose_a) {
    pack_pairs_of_rows(a, p.lda, depth, count, memory.turning, rows, 0);
    for (std::int64_t k = 0; k < cells; k += side) {
      const auto filled = static_cast<int>(std::min(side, divide_up(depth, 2) - k));
      for (std::int64_t i = 0; i < count; i += side) {
        detail::transpose_square(reinterpret_cast<const float*>(memory.turning + k * rows + i), rows, filled,
                                 reinterpret_cast<float*>(memory.a + i * TaskMemory::a_stride + k),
                                 static_cast<int>(TaskMemory::a_stride));
      }
    }
  } else {
    for (std::int64_t i = 0; i < count; ++i)
      pack_row(a + i * p.lda, depth, memory.a + i * TaskMemory::a_stride);
  }
}

// C [count, columns] = base + sums [count, width], where base is C itself, a bias, or 0.
void finish(const float* sums, std::int64_t count, std::int64_t columns, bool add, const float* bias,
            float* c, std::int64_t c_stride) {
  using S = Simd<float>;
  for (std::int64_t i = 0; i < count; ++i, sums += width, c += c_stride) {
    for (std::int64_t v = 0; v < columns; v += lanes) {
      const int some = static_cast<int>(std::min<std::int64_t>(lanes, columns - v));
      auto sum = S::load(sums + v);
      if (bias != nullptr) sum = sum + S::load(bias + v, some);
      if (add) sum = S::load(c + v, some) + sum;
      S::store(c + v, sum, some);
    }
  }
}

// Parts for several threads, of which results see nothing. Each packs its rows of A and its panels of B,
// which may take longer than multiplying them: no more parts than leaves each some microseconds, cut where
// that costs less, and none for one thread.
Plan<float> plan_of(const Matmul<float>& p) {
  Plan<float> plan(p);
  const double rows_cost = static_cast<double>(p.m * p.k) * (p.transpose_a ? 2 : 1);
  const double columns_cost = static_cast<double>(p.n * p.k) * (p.transpose_b ? 2 : 1);
  const double products = static_cast<double>(p.m * p.n) * static_cast<double>(p.k * p.batch);
  const double wanted = threads() == 1 ? 1 : std::min(8.0, std::sqrt(products / (1 << 22)));
  const std::int64_t most = TaskMemory::b_cells / (padded_cells(plan.depth) * width);
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
void compute_part(const Matmul<float>& p, const Plan<float>& plan, const TaskMemory& memory,
                  std::int64_t batch, std::int64_t first, std::int64_t last, std::int64_t panel,
                  std::int64_t last_panel) {
  const Registers registers;
  const float* const a = p.a + batch * p.stride_a;
  const float* const b = p.b + batch * p.stride_b;
  const std::int64_t step = padded_cells(plan.depth) * width;
  for (std::int64_t k = 0; k < std::max<std::int64_t>(1, p.k); k += plan.depth) {
    const std::int64_t depth = std::min(plan.depth, p.k - k);
    const bool add = p.c.add || k > 0;
    pack_panels_of_b(p, panel_of_b(p, b, k, panel), depth, std::min(last_panel * width, p.n) - panel * width,
                     memory.b, step);
    for (std::int64_t row = first; row < last; row += rows) {
      const std::int64_t count = std::min(rows, last - row);
      pack_rows_of_a(p, a + (p.transpose_a ? k * p.lda + row : row * p.lda + k), depth, count, memory);
      for (std::int64_t j = panel; j < last_panel; ++j) {
        const std::int64_t columns = std::min(width, p.n - j * width);
        const float* const bias = add || p.bias == nullptr ? nullptr : p.bias + j * width;
        const bool direct = !add && bias == nullptr && count == rows && columns == width;
        float* const c = p.c.data + batch * p.stride_c + row * p.ldc + j * width;
        multiply(memory.a, TaskMemory::a_stride, memory.b + (j - panel) * step, padded_cells(depth) / side,
                 direct ? c : memory.c, direct ? p.ldc : width);
        if (!direct) finish(memory.c, count, columns, add, bias, c, p.ldc);
      }
    }
  }
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

void multiply_in_tiles(const Matmul<float>& p) {
  const Plan<float> plan = plan_of(p);
  Workspace<Cell> workspace(TaskMemory::cells);
  // Packing and C take longer than the multiply-adds, of which the unit does 512 in a cycle.
  for_each_part(p, plan, plan.cycles(p) / 6, workspace.workers(), [&](int worker, auto... part) {
    compute_part(p, plan, TaskMemory(workspace.of(worker)), part...);
  });
}

double multiply_nothing_but_tiles() {
  constexpr std::int64_t steps = 16, products = 16;
  alignas(64) static constexpr Cell zeros_in_cells[steps * side * width] = {};
  alignas(64) float c[rows * width];
  const Registers registers;
  for (std::int64_t i = 0; i < products; ++i) multiply(zeros_in_cells, side, zeros_in_cells, steps, c, width);
  return 2.0 * rows * width * 2 * side * steps * products;
}

}  // namespace reel::kernels::bf16
#endif
