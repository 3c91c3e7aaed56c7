#pragma once

#include "kernels/matmul.h"

namespace reel::kernels {

// What this machine can do at most, measured now: the yardsticks of `reel bench`. A number of threads
// is taken as set_threads takes it.

/// Floating-point operations per second of fused multiply-adds on float registers, on this many threads. For
/// `Products::bf16`, of products of bfloat16, and for `bf16x6` a sixth of that, as a product of floats takes
/// six: where the processor is faster so.
double measure_peak(int threads, Products products = Products::full);

/// Bytes per second that this many threads read and write together in a long copy.
double measure_bandwidth(int threads);

}  // namespace reel::kernels
