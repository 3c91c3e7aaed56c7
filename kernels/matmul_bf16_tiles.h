#pragma once

#include "kernels/matmul.h"

#if defined(__AVX512F__)
namespace reel::kernels::bf16 {

/// True if this processor has AMX-BF16 and the system lets this program use it, for which it is asked once.
bool has_tiles();

/// The product of factors rounded to bfloat16, in the order of sums that matmul_bf16 tells. Only if
/// has_tiles(). Throws std::bad_alloc.
void multiply_in_tiles(const Matmul<float>& p);

/// The product of floats in pieces, as matmul_bf16x6 tells. Only if has_tiles(). Throws std::bad_alloc.
void multiply_pieces_in_tiles(const Matmul<float>& p);

/// Floating-point operations per call of a loop that does nothing but multiply tiles, which this runs: what
/// the matrix unit can do at most.
double multiply_nothing_but_tiles();

}  // namespace reel::kernels::bf16
#endif
