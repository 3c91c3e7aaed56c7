#pragma once

#include "kernels/matmul.h"

namespace reel::kernels {

/// x rounded to bfloat16: to nearest, ties to even; subnormals to 0, as the processor's instructions do.
float round_to_bf16(float x);

/// True if this processor multiplies pairs of bfloat16 (AVX512-BF16). Without it the product is as right, and
/// as slow as that of floats.
bool has_bf16_instructions();

/// The product with A and B rounded to bfloat16. The same bits as `matmul` of the rounded matrices (where no
/// sum is subnormal), with or without the instructions: products of bfloat16 are exact in a float.
void matmul_bf16(const Matmul<float>& p);
/// The same, without the instructions.
void matmul_bf16_portable(const Matmul<float>& p);

}  // namespace reel::kernels
