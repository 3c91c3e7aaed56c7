#pragma once

#include <cstdint>

#include "kernels/into.h"

namespace reel::kernels {

/// y[i] (+)= sin(x[i] + quarters pi/2) factor[i] for i < count: the sine for 0 quarters, the cosine for 1,
/// and their derivatives for one more each. Without a factor (a null pointer) it is 1. Of floats at most 0.51
/// ulp before the factor; x is as exact as it is given, however large.
template <class T>
void sine(const T* x, int quarters, const T* factor, std::int64_t count, Into<T> y);

}  // namespace reel::kernels
