#include "kernels/matmul_bf16.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/bf16_cells.h"
#include "kernels/matmul_bf16_tiles.h"
#include "kernels/matmul_fetch.h"
#include "kernels/matmul_pack.h"
#include "kernels/matmul_plan.h"
#include "kernels/parallel.h"

namespace reel::kernels {
namespace {

// The matrices of a batch as they are stored, `rows` rows of `width` numbers, rounded and without gaps.
class Rounded {
 public:
  Rounded(const float* x, std::int64_t matrices, std::int64_t step, std::int64_t rows, std::int64_t stride,
          std::int64_t width, std::vector<float>& memory) {
    const std::int64_t count = matrices * rows * width;
    if (static_cast<std::int64_t>(memory.size()) < count) memory.resize(static_cast<std::size_t>(count));
    data = memory.data();
    parallel_for(matrices * rows, 4.0 * static_cast<double>(count), [&](std::int64_t i) {
      const float* from = x + i / rows * step + i % rows * stride;
      float* to = data + i * width;
      for (std::int64_t j = 0; j < width; ++j) to[j] = round_to_bf16(from[j]);
    });
  }

  float* data = nullptr;
};

void round_and_multiply(const Matmul<float>& p) {
  thread_local std::vector<float> left, right;
  const std::int64_t rows_a = p.transpose_a ? p.k : p.m;
  const std::int64_t rows_b = p.transpose_b ? p.n : p.k;
  Matmul<float> q = p;
  q.products = Products::full;
  q.lda = p.transpose_a ? p.m : p.k;
  q.ldb = p.transpose_b ? p.k : p.n;
  q.a = Rounded(p.a, p.stride_a == 0 ? 1 : p.batch, p.stride_a, rows_a, p.lda, q.lda, left).data;
  q.b = Rounded(p.b, p.stride_b == 0 ? 1 : p.batch, p.stride_b, rows_b, p.ldb, q.ldb, right).data;
  if (p.stride_a != 0) q.stride_a = p.m * p.k;
  if (p.stride_b != 0) q.stride_b = p.k * p.n;
  matmul(q);
}

}  // namespace

float round_to_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t exponent = bits & 0x7f800000U;
  if (exponent == 0) return std::bit_cast<float>(bits & 0x80000000U);
  if (exponent == 0x7f800000U) {  // a NaN must not become infinite with the bits it loses
    const std::uint32_t quiet = (bits & 0x007fffffU) != 0 ? 0x00400000U : 0U;
    return std::bit_cast<float>((bits | quiet) & 0xffff0000U);
  }
  return std::bit_cast<float>((bits + 0x7fffU + (bits >> 16 & 1U)) & 0xffff0000U);
}

#if defined(__AVX512F__)

// The instruction adds two products to every float: t = c + a.high b.high, then t + a.low b.low, each rounded
// once. So with an even k in the high half of a cell and k + 1 in the low one, an element is the same chain
// of fused multiply-adds in ascending k as in the product of floats. Both operands are packed into cells.
namespace bf16 {
namespace {

constexpr std::int64_t room = Plan<float>::room;  // cells of B that are packed at a time

struct CellTile : Destination<float> {
  std::int64_t cells = 0;   // pairs of k
  const Cell* a = nullptr;  // [rows, a_stride], or [cells, tile_rows] if `transposed`
  std::int64_t a_stride = 0;
  const Cell* b = nullptr;  // [cells, width]
  Walks soon{};             // as in a tile of floats
};

REEL_BF16 inline __m512bh cells_of(const Cell* x) {
  return reinterpret_cast<__m512bh>(_mm512_loadu_si512(x));
}

template <int rows, int vectors, bool transposed>
REEL_BF16 void cell_tile(const CellTile& t) {
  __m512 sums[rows][vectors];
#pragma GCC unroll 12
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v) sums[r][v] = _mm512_setzero_ps();
  }
  constexpr int groups = (rows + 2) / 3;
  const Cell* a[groups];
#pragma GCC unroll 4
  for (int g = 0; g < groups; ++g) a[g] = t.a + (transposed ? 3 * g : 3 * g * t.a_stride);
  const std::int64_t stride = transposed ? 1 : t.a_stride;
  const Cell* b = t.b;
  detail::Asking<float, rows> asking(t, t.soon);
  for (std::int64_t k = 0; k < t.cells; ++k) {
    __m512bh right[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) right[v] = cells_of(b + v * lanes);
    b += width;
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
      const auto left =
          reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(a[r / 3][r % 3 * stride])));
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], left, right[v]);
    }
#pragma GCC unroll 4
    for (int g = 0; g < groups; ++g) a[g] += transposed ? tile_rows : 1;
    asking.ask();
  }
  float* c = t.c;
#pragma GCC unroll 12
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      const int left = t.columns - v * lanes;
      const auto mask = static_cast<__mmask16>(left >= lanes ? 0xffffU : (1U << left) - 1);
      __m512 sum = sums[r][v];
      if (t.bias != nullptr) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, t.bias + v * lanes));
      if (t.add) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, c + v * lanes), sum);
      if (t.addend != nullptr)
        sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, t.addend + (c - t.c) + v * lanes), sum);
      if (t.relu) sum = Simd<float>::relu(sum);
      _mm512_mask_storeu_ps(c + v * lanes, mask, sum);
    }
    c += t.c_stride;
  }
}

template <int vectors, bool transposed, int... r>
constexpr auto cell_tiles_of(std::integer_sequence<int, r...>) {
  return std::array<void (*)(const CellTile&), sizeof...(r)>{&cell_tile<r + 1, vectors, transposed>...};
}

void compute_cell_tile(const CellTile& t, int rows, bool transposed) {
  using Rows = std::make_integer_sequence<int, tile_rows>;
  static constexpr std::array variants{cell_tiles_of<1, false>(Rows{}), cell_tiles_of<2, false>(Rows{}),
                                       cell_tiles_of<1, true>(Rows{}), cell_tiles_of<2, true>(Rows{})};
  variants[(transposed ? 2U : 0U) + (t.columns > lanes ? 1U : 0U)][static_cast<std::size_t>(rows - 1)](t);
}

// Parts for several threads, by shape alone. Every part rounds its rows of A and its panels of B, so parts
// are as large as leaves eight of them, if rows and columns suffice to outweigh that.
Plan<float> plan_of(const Matmul<float>& p) {
  Plan<float> plan(p);
  plan.packed_panels = std::max<std::int64_t>(1, room / (padded_cells(plan.depth) * width));
  const auto split = [](std::int64_t size, std::int64_t least, std::int64_t wanted) {
    return std::clamp<std::int64_t>(size / least, 1, std::max<std::int64_t>(1, wanted));
  };
  plan.groups = divide_up(plan.panels, plan.packed_panels);
  plan.parts = split(p.m, 96, divide_up(8, plan.groups * p.batch));
  plan.groups = std::max(plan.groups, split(plan.panels, 4, divide_up(8, plan.parts * p.batch)));
  if (plan.groups * plan.parts * p.batch == 1) plan.parts = split(p.m, 48, 2);
  if (plan.groups * plan.parts * p.batch == 1) plan.groups = split(plan.panels, 1, 2);
  return plan;
}

// Rows [first_row, last_row) and panels [panel, last_panel) of one product of the batch.
void compute_part(const Matmul<float>& p, const Plan<float>& plan, std::int64_t batch, std::int64_t first_row,
                  std::int64_t last_row, std::int64_t panel, std::int64_t last_panel) {
  alignas(64) Cell packed[room];  // [panels, cells, width]
  alignas(64) Cell left[tile_rows * (most_cells + lanes) + lanes];
  const float* a = p.a + batch * p.stride_a;
  const float* b = p.b + batch * p.stride_b;
  const std::int64_t step = padded_cells(plan.depth) * width;
  const std::int64_t tiles = divide_up(last_row - first_row, tile_rows);
  const std::int64_t columns = std::min(last_panel * width, p.n) - panel * width;
  CellTile t;
  t.a_stride = step / width + lanes;
  for (std::int64_t k = 0; k < std::max<std::int64_t>(1, p.k); k += plan.depth) {
    const std::int64_t depth = std::min(plan.depth, p.k - k);
    t.cells = divide_up(depth, 2);
    if (!p.transpose_b) {
      pack_pairs_of_rows<OnePiece>(b + k * p.ldb + panel * width, p.ldb, depth, columns, packed, width, step);
    } else {
      for (std::int64_t j = 0; j < columns; j += width) {
        pack_turned<OnePiece>(b + (panel * width + j) * p.ldb + k, p.ldb, depth, std::min(width, columns - j),
                              packed + j / width * step);
      }
    }
    const Piece<float> next = block_behind(p, plan, b, k, panel, last_panel, last_panel);
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      const std::int64_t row = first_row + (last_row - first_row) * tile / tiles;
      const std::int64_t end = first_row + (last_row - first_row) * (tile + 1) / tiles;
      if (p.transpose_a) {
        pack_pairs_of_rows<OnePiece>(a + k * p.lda + row, p.lda, depth, end - row, left, tile_rows, 0);
      } else {
        for (std::int64_t i = row; i < end; ++i)
          pack_row<OnePiece>(a + i * p.lda + k, depth, left + (i - row) * t.a_stride);
      }
      t.a = left;
      for (std::int64_t j = panel; j < last_panel; ++j) {
        t.b = packed + (j - panel) * step;
        set_destination(p, plan, k, batch, row, j * width, t);
        t.soon = next.share(tile * (last_panel - panel) + j - panel, tiles * (last_panel - panel)).walks();
        compute_cell_tile(t, static_cast<int>(end - row), p.transpose_a);
      }
    }
  }
}

void multiply_in_pairs(const Matmul<float>& p) {
  const Plan<float> plan = plan_of(p);
  for_each_part(p, plan, plan.cycles(p) / 2, threads(),
                [&](int, auto... part) { compute_part(p, plan, part...); });
}

}  // namespace
}  // namespace bf16

bool has_way(Bf16Way way) {
  switch (way) {
    case Bf16Way::floats:
      return true;
    case Bf16Way::pairs:
      return __builtin_cpu_supports("avx512bf16") != 0;
    case Bf16Way::tiles:
      return bf16::has_tiles();
  }
  return false;
}

Bf16Way fastest_way() {
  static const Bf16Way way = [] {
    if (has_way(Bf16Way::tiles)) return Bf16Way::tiles;
    // AMD's processors multiply pairs at twice the speed of floats, Intel's at half of it.
    return has_way(Bf16Way::pairs) && __builtin_cpu_is("amd") ? Bf16Way::pairs : Bf16Way::floats;
  }();
  return way;
}

void matmul_bf16(const Matmul<float>& p, Bf16Way way) {
  switch (has_way(way) ? way : Bf16Way::floats) {
    case Bf16Way::floats:
      return round_and_multiply(p);
    case Bf16Way::pairs:
      return bf16::multiply_in_pairs(p);
    case Bf16Way::tiles:
      return bf16::multiply_in_tiles(p);
  }
}

#else

bool has_way(Bf16Way way) { return way == Bf16Way::floats; }
Bf16Way fastest_way() { return Bf16Way::floats; }
void matmul_bf16(const Matmul<float>& p, Bf16Way) { round_and_multiply(p); }

#endif

bool is_faster_in_pieces(const Matmul<float>& p) {
  return p.m >= 64 && p.n >= 64 && p.k >= 32 && has_way(Bf16Way::tiles);
}

void matmul_bf16x6(const Matmul<float>& p) {
#if defined(__AVX512F__)
  if (has_way(Bf16Way::tiles)) return bf16::multiply_pieces_in_tiles(p);
#endif
  Matmul<float> q = p;
  q.products = Products::full;
  matmul(q);
}

}  // namespace reel::kernels
