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

}  // namespace reel::kernels
