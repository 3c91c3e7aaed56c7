#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/matmul.h"
#include "kernels/matmul_pack.h"
#include "kernels/matmul_plan.h"
#include "kernels/parallel.h"
#include "kernels/transpose.h"

// A few rows times a matrix that is stored turned over, as a key-value cache asks for token by token. B is
// used once, so that packing it costs more than the product: it is turned over in registers instead.

namespace reel::kernels {

namespace detail {

inline constexpr int few_rows = 4;
// A chain of sums waits for each of its own, so that several have to be under way.
inline constexpr int few_columns = 16;

// C [rows, few_columns] with the same chains of fma as in a tile.
template <int rows>
void turned_rows(const Tile<float>& t) {
  using S = Simd<float>;
  constexpr int vectors = few_columns / S::lanes;
  S::Vector sums[rows][vectors];
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v) sums[r][v] = S::zero();
  }
  const auto rows_of_b = [&]<int... v>(std::integer_sequence<int, v...>) {
    return std::array{SquareRows<float>(t.b + v * S::lanes * t.b_stride, t.b_stride)...};
  }
  (std::make_integer_sequence<int, vectors>{});
  for (std::int64_t k = 0; k < t.depth; k += 4) {
    // The next columns, each line of a row of them once: 16 short rows are more than the hardware foresees.
    // To the second cache: in the first they may push out the lines that are read now, which share its sets.
    const float* const next =
        t.b + (few_columns + k % few_columns) * t.b_stride + k / few_columns * few_columns;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) __builtin_prefetch(next + i * t.b_stride, 0, 2);
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      S::Vector b[4];
      turn_columns<float>([&](int i) { return rows_of_b[static_cast<std::size_t>(v)](i) + k; }, b);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
#pragma GCC unroll 4
        for (int r = 0; r < rows; ++r)
          sums[r][v] = S::fma(S::all(t.a[r * t.a_stride + k + i]), b[i], sums[r][v]);
      }
    }
  }
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v) {
      float* const c = t.c + r * t.c_stride + v * S::lanes;
      if (t.bias != nullptr) sums[r][v] = sums[r][v] + S::load(t.bias + v * S::lanes);
      if (t.add) sums[r][v] = S::load(c) + sums[r][v];
      if (t.addend != nullptr) sums[r][v] = S::load(t.addend + (c - t.c)) + sums[r][v];
      if (t.relu) sums[r][v] = S::relu(sums[r][v]);
      S::store(c, sums[r][v]);
    }
  }
}

}  // namespace detail

/// Computes the first columns of a product with few rows and B stored turned over, bit for bit as `matmul`
/// does in general, and returns how many: the others, fewer than 16, are left to the caller, and all of them
/// if the product is not of that kind.
inline std::int64_t multiply_few_rows(const Matmul<float>& p) {
  if (p.m > detail::few_rows || p.batch != 1 || !p.transpose_b || p.transpose_a || p.k == 0 || p.k % 4 != 0)
    return 0;
  constexpr std::int64_t width = detail::few_columns;
  constexpr std::int64_t together = 8;  // groups of columns of a task
  static constexpr std::array rows{&detail::turned_rows<1>, &detail::turned_rows<2>, &detail::turned_rows<3>,
                                   &detail::turned_rows<4>};
  const Plan<float> plan(p);
  const std::int64_t groups = p.n / width;
  parallel_for(divide_up(groups, together), 4 * plan.cycles(p), [&](std::int64_t task) {
    Tile<float> t;
    t.a_stride = p.lda;
    t.b_stride = p.ldb;
    for (std::int64_t g = task * together; g < std::min(groups, (task + 1) * together); ++g) {
      for (std::int64_t k = 0; k < p.k; k += plan.depth) {
        t.depth = std::min(plan.depth, p.k - k);
        set_destination(p, plan, k, 0, 0, g * width, t);
        t.a = p.a + k;
        t.b = p.b + g * width * p.ldb + k;
        rows[static_cast<std::size_t>(p.m - 1)](t);
      }
    }
  });
  return groups * width;
}

}  // namespace reel::kernels
