#pragma once

#include <cstdint>

#include "kernels/into.h"

namespace reel::kernels {

/// y [outer, count, inner] (+)= x [outer, size, inner] at the given positions of the middle dimension, which
/// may repeat.
template <class T>
void gather(const T* x, std::int64_t outer, std::int64_t size, std::int64_t inner, const std::int32_t* index,
            std::int64_t count, Into<T> y);

/// dx [outer, size, inner] (+)= dy [outer, count, inner] added up at those positions, in the order of the
/// index; positions that are not named get 0. Every number has one owner, so threads never meet.
template <class T>
void scatter_add(const T* dy, std::int64_t outer, std::int64_t size, std::int64_t inner,
                 const std::int32_t* index, std::int64_t count, Into<T> dx);

}  // namespace reel::kernels
