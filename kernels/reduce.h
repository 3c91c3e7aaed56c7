#pragma once

#include <cstdint>

#include "kernels/into.h"

namespace reel::kernels {

/// y [outer, inner] (+)= sum of x [outer, size, inner] over the middle: fixed chunks of 64, combined in a fixed order.
template <class T>
void sum_axis(const T* x, std::int64_t outer, std::int64_t size, std::int64_t inner, Into<T> y);

}  // namespace reel::kernels
