#pragma once

#include "autograd/arena.h"
#include "autograd/shape.h"
#include "kernels/into.h"
#include "kernels/map.h"

namespace reel {

/// The common shape of two by NumPy's rules: aligned at the last dimension, a size of 1 stretches to the
/// other's size. Returns false if they do not fit.
bool broadcast(const Shape& a, const Shape& b, Shape& result);

/// Whether the common shape of both is `large`.
bool stretches_to(const Shape& small, const Shape& large);

/// How `small` is stretched over `large`; rank 0 in the result if they are the same.
kernels::Stretch stretch_over(const Shape& small, const Shape& large);

/// Sums a gradient of the large shape over everything that was stretched, into one of the small shape. This
/// is the only place where broadcasting is undone.
template <class T>
void unstretch(const T* large_gradient, const Shape& small, const Shape& large, kernels::Into<T> into,
               Arena& scratch);

}  // namespace reel
