#pragma once

#include <cstdint>

#include "kernels/simd.h"

// Floats as bfloat16, and bfloat16 as the processor's instructions want them: in cells, 32 bits with the
// numbers of k and k + 1. The even k stands in the high half, which the dot product of pairs adds first.

#if defined(__AVX512F__)
#include <immintrin.h>
#define REEL_BF16 __attribute__((target("avx512f,avx512bw,avx512bf16")))

namespace reel::kernels::bf16 {

using Cell = std::uint32_t;
typedef Cell Cells __attribute__((vector_size(64)));
inline constexpr int lanes = Simd<float>::lanes;

// Which of the 32 halves of cells in each of two vectors stand in each half of a third.
struct alignas(64) Order {
  std::uint16_t from[2 * lanes] = {};

  template <class From>
  constexpr explicit Order(From of) {
    for (int i = 0; i < 2 * lanes; ++i) from[i] = static_cast<std::uint16_t>(of(i));
  }
  REEL_BF16 __m512i load() const { return _mm512_load_si512(from); }
};

/// Every number rounded to one bfloat16: to nearest, ties to even, subnormals to 0.
struct OnePiece {
  static constexpr int count = 1;

  /// to [lanes] = the cells of 32 numbers in a row.
  [[gnu::always_inline]] REEL_BF16 static void store_row(__m512 low, __m512 high, Cell* to,
                                                         std::int64_t /*piece_step*/) {
    const auto x = reinterpret_cast<Cells>(_mm512_cvtne2ps_pbh(high, low));
    _mm512_storeu_si512(to, reinterpret_cast<__m512i>(x << 16 | x >> 16));
  }

  /// to [lanes] = the cells of 16 columns of two rows.
  [[gnu::always_inline]] REEL_BF16 static void store_rows(__m512 even, __m512 odd, Cell* to,
                                                          std::int64_t /*piece_step*/) {
    static constexpr Order side_by_side([](int i) { return i / 2 + i % 2 * lanes; });
    const auto rows = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(even, odd));
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(side_by_side.load(), rows));
  }
};

/// Every number as the sum of three bfloat16, each the nearest one to what those before leave, away from 0
/// where two are as near. The sum is exact where the third is no subnormal, as for numbers above 2^-103. An
/// infinity, a NaN, and a number that rounds to infinity have a NaN among their pieces.
struct ThreePieces {
  static constexpr int count = 3;

  /// As above, of each piece; they are stored piece_step apart.
  [[gnu::always_inline]] REEL_BF16 static void store_row(__m512 low, __m512 high, Cell* to,
                                                         std::int64_t piece_step) {
    static constexpr Order upper_halves([](int i) { return 4 * (i / 2) + (i % 2 == 0 ? 3 : 1); });
    const Upper a(low), b(high);
    for (int i = 0; i < count; ++i, to += piece_step) {
      const auto rows = _mm512_permutex2var_epi16(reinterpret_cast<__m512i>(a.pieces[i]), upper_halves.load(),
                                                  reinterpret_cast<__m512i>(b.pieces[i]));
      _mm512_storeu_si512(to, rows);
    }
  }

  [[gnu::always_inline]] REEL_BF16 static void store_rows(__m512 even, __m512 odd, Cell* to,
                                                          std::int64_t piece_step) {
    const Upper a(even), b(odd);
    for (int i = 0; i < count; ++i, to += piece_step) {
      const Cells rows = a.pieces[i] | b.pieces[i] >> 16;
      _mm512_storeu_si512(to, reinterpret_cast<__m512i>(rows));
    }
  }

 private:
  // The pieces in the upper halves of cells. What is left is exact each time: it has at most 15 bits, then 7,
  // which only in a subnormal reach into the lower half.
  struct Upper {
    static constexpr Cell upper = 0xffff0000U;
    Cells pieces[count];

    REEL_BF16 explicit Upper(__m512 x) {
      pieces[0] = nearest(x);
      x -= reinterpret_cast<__m512>(pieces[0]);
      pieces[1] = nearest(x);
      x -= reinterpret_cast<__m512>(pieces[1]);
      pieces[2] = reinterpret_cast<Cells>(x) & upper;
    }
    REEL_BF16 static Cells nearest(__m512 x) { return (reinterpret_cast<Cells>(x) + 0x8000U) & upper; }
  };
};

}  // namespace reel::kernels::bf16
#endif
