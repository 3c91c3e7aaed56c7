#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/bf16_cells.h"
#include "kernels/matmul.h"
#include "kernels/matmul_pack.h"
#include "kernels/matmul_plan.h"
#include "kernels/matmul_tile.h"

#if defined(__AVX512F__)
namespace reel::kernels::bf16 {

/// Sums of a square of C on their way there, while the matrix unit computes the next square.
template <class Pieces>
class Finishing {
 public:
  Finishing() = default;  // nothing to do
  Finishing(const Matmul<float>& p, const Tile<float>& tile, std::int64_t count, float* sums)
      : p_(&p), tile_(tile), count_(count), sums_(sums) {}

  /// How many calls there will be at least.
  void spread_over(std::int64_t calls) {
    if (row_ < count_) rows_at_a_time_ = divide_up(count_, std::max<std::int64_t>(1, calls));
  }

  /// The next rows of C [count, columns] from their sums, as a tile has it.
  void finish_some() {
    const Tile<float> t = tile_;  // which stores might change, for all that the compiler knows
    static_assert(tile_vectors == 2);
    const std::int64_t end = std::min(count_, row_ + rows_at_a_time_);
    for (std::int64_t row = row_; row < end; ++row) {
      finish(t, row, 0);
      if (t.columns > lanes) finish(t, row, 1);
    }
    row_ = end;
  }

  void finish_the_rest() {
    rows_at_a_time_ = count_;
    finish_some();
  }

 private:
  void finish(const Tile<float>& t, std::int64_t row, int v) {
    using S = Simd<float>;
    const int some = std::min(lanes, t.columns - v * lanes);
    const float* const sums = sums_ + row * width + v * lanes;
    float* const c = t.c + row * t.c_stride + v * lanes;
    auto sum = S::load(sums);
    if constexpr (Pieces::count > 1) {
      if (!multiplied_again_ && !all_finite(sum)) [[unlikely]] {
        multiply_again_as_floats();
        sum = S::load(sums);
      }
    }
    if (t.bias != nullptr) sum = sum + S::load(t.bias + v * lanes, some);
    if (t.add) sum = S::load(c, some) + sum;
    if (t.addend != nullptr) sum = S::load(t.addend + (c - t.c), some) + sum;
    if (t.relu) sum = S::relu(sum);
    S::store(c, sum, some);
  }

  static bool all_finite(Simd<float>::Vector x) {
    const auto zero_or_nan = reinterpret_cast<__m512>(x - x);
    return _mm512_cmp_ps_mask(zero_or_nan, zero_or_nan, _CMP_UNORD_Q) == 0;
  }

  // Pieces of an infinity make NaN of sums that are infinite, and those of the largest numbers may make
  // infinities of sums that are none: what is not finite becomes what floats make of it.
  [[gnu::noinline]] void multiply_again_as_floats() {
    multiplied_again_ = true;  // what is not finite now is not so as floats, either
    alignas(64) float turned[most_depth<Pieces> * width], again[tile_rows * width];
    Tile<float> t = tile_;
    static_cast<Destination<float>&>(t) = {.c = again, .c_stride = width, .columns = tile_.columns};
    if (p_->transpose_b) {
      pack_transposed(t.b, t.b_stride, t.depth, t.columns, turned);
      t.b = turned;
      t.b_stride = width;
    }
    for (std::int64_t row = 0; row < count_; row += tile_rows) {
      const std::int64_t some = std::min<std::int64_t>(tile_rows, count_ - row);
      compute_tile(t, static_cast<int>(some), p_->transpose_a);
      for (std::int64_t i = 0; i < some * width; ++i) {
        float& sum = sums_[row * width + i];
        if (i % width < t.columns && !std::isfinite(sum)) sum = again[i];
      }
      t.a += tile_rows * (p_->transpose_a ? 1 : t.a_stride);
    }
  }

  const Matmul<float>* p_ = nullptr;
  Tile<float> tile_;  // the square, of numbers that are not packed
  std::int64_t count_ = 0, row_ = 0, rows_at_a_time_ = 0;
  bool multiplied_again_ = false;
  float* sums_ = nullptr;  // [rows, width]
};

}  // namespace reel::kernels::bf16
#endif
