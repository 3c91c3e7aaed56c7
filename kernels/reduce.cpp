#include "kernels/reduce.h"

#include "kernels/dual.h"
#include "kernels/parallel.h"

namespace reel::kernels {
namespace {

// Halving until a chunk is short keeps the rounding error growing with the logarithm of the length.
template <class T>
T pairwise(const T* x, std::int64_t count, std::int64_t stride) {
  if (count <= 64) {
    T sum(0);
    for (std::int64_t i = 0; i < count; ++i) sum += x[i * stride];
    return sum;
  }
  const std::int64_t half = (count / 2 + 63) / 64 * 64;
  return pairwise(x, half, stride) + pairwise(x + half * stride, count - half, stride);
}

}  // namespace

template <class T>
void sum_axis(const T* x, std::int64_t outer, std::int64_t size, std::int64_t inner, Into<T> y) {
  if (!y) return;
  parallel_for(outer, static_cast<double>(outer * size * inner), [&](std::int64_t o) {
    for (std::int64_t i = 0; i < inner; ++i) y.store(o * inner + i, pairwise(x + o * size * inner + i, size, inner));
  });
}

#define REEL_INSTANTIATE(T) \
  template void sum_axis(const T*, std::int64_t, std::int64_t, std::int64_t, Into<T>)
REEL_INSTANTIATE(float);
REEL_INSTANTIATE(double);
REEL_INSTANTIATE(Dual);
#undef REEL_INSTANTIATE

}  // namespace reel::kernels
