#include "autograd/broadcast.h"

#include <algorithm>

#include "kernels/reduce.h"

namespace reel {

bool broadcast(const Shape& a, const Shape& b, Shape& result) {
  if (a == b) {
    result = a;
    return true;
  }
  const int rank = std::max(a.rank(), b.rank());
  Shape common;
  for (int i = 0; i < rank; ++i) {
    const int ia = i - (rank - a.rank());
    const int ib = i - (rank - b.rank());
    const std::int64_t na = ia < 0 ? 1 : a[ia];
    const std::int64_t nb = ib < 0 ? 1 : b[ib];
    if (na != nb && na != 1 && nb != 1) return false;
    common.append(na == 1 ? nb : na);
  }
  result = common;
  return true;
}

bool stretches_to(const Shape& small, const Shape& large) {
  const int lead = large.rank() - small.rank();
  if (lead < 0) return false;
  for (int d = 0; d < small.rank(); ++d) {
    if (small[d] != large[lead + d] && small[d] != 1) return false;
  }
  return true;
}

kernels::Stretch stretch_over(const Shape& small, const Shape& large) {
  kernels::Stretch stretch;
  if (small == large) return stretch;
  stretch.rank = large.rank();
  const int lead = large.rank() - small.rank();
  const auto strides = small.strides();
  for (int d = 0; d < large.rank(); ++d) {
    const bool stretched = d < lead || small[d - lead] == 1;
    stretch.sizes[d] = large[d];
    stretch.strides[d] = stretched ? 0 : strides[static_cast<std::size_t>(d - lead)];
  }
  return stretch;
}

template <class T>
void unstretch(const T* gradient, const Shape& small, const Shape& large, kernels::Into<T> into,
               Arena& scratch) {
  // Without elements, the sizes of a run may be more together than integers hold.
  if (large.size() == 0) return kernels::sum_axis(gradient, small.size(), 0, 1, into);
  // Neighbouring dimensions that are stretched together are summed in one go, the outermost first: that makes
  // what is left to sum as small as possible, early.
  struct Run {
    int first, last;  // dimensions [first, last)
  };
  Run runs[Shape::max_rank];
  int count = 0;
  const int lead = large.rank() - small.rank();
  for (int d = 0; d < large.rank(); ++d) {
    const bool stretched = (d < lead ? 1 : small[d - lead]) != large[d] || d < lead;
    if (!stretched) continue;
    if (count > 0 && runs[count - 1].last == d) {
      runs[count - 1].last = d + 1;
    } else {
      runs[count++] = {d, d + 1};
    }
  }
  const T* from = gradient;
  std::int64_t outer = 1;  // what is left of the dimensions before the run
  int done = 0;
  for (int r = 0; r < count; ++r) {
    outer *= large.product(done, runs[r].first);
    const std::int64_t size = large.product(runs[r].first, runs[r].last);
    const std::int64_t inner = large.product(runs[r].last, large.rank());
    done = runs[r].last;
    if (r + 1 == count) {
      kernels::sum_axis(from, outer, size, inner, into);
    } else {
      T* next = scratch.allocate<T>(outer * inner);
      kernels::sum_axis(from, outer, size, inner, kernels::Into<T>{next, false});
      from = next;
    }
  }
}

template void unstretch(const float*, const Shape&, const Shape&, kernels::Into<float>, Arena&);
template void unstretch(const double*, const Shape&, const Shape&, kernels::Into<double>, Arena&);
template void unstretch(const Dual*, const Shape&, const Shape&, kernels::Into<Dual>, Arena&);

}  // namespace reel
