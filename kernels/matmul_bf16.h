#pragma once

#include "kernels/matmul.h"

namespace reel::kernels {

/// x rounded to bfloat16: to nearest, ties to even; subnormals to 0, as the processor's instructions do.
float round_to_bf16(float x);

/// A way to multiply bfloat16.
enum class Bf16Way {
  floats,  ///< as floats, rounded beforehand: everywhere
  pairs,   ///< with dot products of pairs: AVX512-BF16
  tiles,   ///< with the matrix unit of Intel's processors, AMX-BF16, which has its own order of sums
};
/// Whether this processor can. The first question about `tiles` asks Linux for their registers, for the whole
/// process and for good: from then on sigaltstack refuses stacks of less than getauxval(AT_MINSIGSTKSZ), some
/// 12 KB, and where a thread has such a stack already, the answer is no.
bool has_way(Bf16Way way);
/// The fastest here, which `matmul` takes. Bits depend on whether it is `tiles`.
Bf16Way fastest_way();

/// The product with A and B rounded to bfloat16, whose products are exact in a float. As floats and in pairs
/// it has the bits of `matmul` of the rounded matrices, where no sum is subnormal. In tiles, the even k and
/// the odd ones of every 32 are two chains of fused multiply-adds that begin at 0; their sum is added to
/// those before. A `way` that this processor does not have is taken as `floats`. The product must not be
/// empty: that is for `matmul` to see to. Throws std::bad_alloc.
void matmul_bf16(const Matmul<float>& p, Bf16Way way = fastest_way());

/// Whether `matmul` takes floats in pieces for `Products::bf16x6`: if the processor has AMX, C at least 64
/// rows and 64 columns, so that packed pieces are used often enough, and k is at least 32, a tile's.
bool is_faster_in_pieces(const Matmul<float>& p);

/// The product of floats that are each the sum of three bfloat16, x = x0 + x1 + x2, the nearest to x, to x -
/// x0, and what is left:
///     a b = a0 b0 + a0 b1 + a1 b1 + a1 b0 + a2 b0 + a0 b2 + e,   |e| < 2^-24 |a b|.
/// Sums begin anew after at most 128 k. Every 32 k add six sums of 32 products to an element, in the order
/// above, each of them as matmul_bf16 adds up in tiles: so there are fewer roundings than in a product of
/// floats. Pieces below 2^-126, which only numbers below 2^-103 have, are taken as 0, and so are products of
/// pieces that are as small, so that products below some 2^-105 lose digits.
/// Where such a sum is not finite, because a number is not, or is so large that it has no nearest bfloat16,
/// or for the size of the sum, it is instead what `matmul` makes of these k as floats. Without AMX the whole
/// product is. The product must not be empty. Throws std::bad_alloc.
/// (Henry, Tang, Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision
/// Computations", 2019.)
void matmul_bf16x6(const Matmul<float>& p);

}  // namespace reel::kernels
