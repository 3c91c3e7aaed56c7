#pragma once

#include <cstdint>

#include "kernels/into.h"

namespace reel::kernels {

/// A view into an array: element (i0, i1, ...) lies at start + sum of i_d * strides[d]. Strides may be
/// negative or 0.
struct Strided {
  int rank = 0;
  std::int64_t sizes[6] = {};
  std::int64_t strides[6] = {};
  std::int64_t start = 0;
};

/// to (contiguous, in the view's shape) (+)= the elements of the view: permute, slice, flip, expand.
template <class T>
void gather_strided(const T* from, const Strided& view, Into<T> to);

/// The elements of the view of `to` (+)= from (contiguous, in the view's shape): the way back, and concat.
/// Elements outside the view stay as they are. No element of the view may be named twice.
template <class T>
void scatter_strided(const T* from, const Strided& view, Into<T> to);

}  // namespace reel::kernels
