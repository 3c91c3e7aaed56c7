#include "kernels/gather.h"

#include <algorithm>

#include "kernels/dual.h"
#include "kernels/parallel.h"

namespace reel::kernels {

template <class T>
void gather(const T* x, std::int64_t outer, std::int64_t size, std::int64_t inner, const std::int32_t* index,
            std::int64_t count, Into<T> y) {
  if (!y) return;
  constexpr std::int64_t group = 32;
  const std::int64_t groups = (count + group - 1) / group;
  parallel_for(outer * groups, static_cast<double>(outer * count * inner), [&](std::int64_t task) {
    const std::int64_t o = task / groups;
    const std::int64_t first = task % groups * group;
    const std::int64_t last = std::min(count, first + group);
    if (inner == 1 && !y.add) {  // copy_n of one number is a call
      for (std::int64_t i = first; i < last; ++i) y.data[o * count + i] = x[o * size + index[i]];
      return;
    }
    for (std::int64_t i = first; i < last; ++i) {
      const T* from = x + (o * size + index[i]) * inner;
      T* to = y.data + (o * count + i) * inner;
      if (y.add) {
        for (std::int64_t c = 0; c < inner; ++c) to[c] += from[c];
      } else {
        std::copy_n(from, inner, to);
      }
    }
  });
}

template <class T>
void scatter_add(const T* dy, std::int64_t outer, std::int64_t size, std::int64_t inner,
                 const std::int32_t* index, std::int64_t count, Into<T> dx) {
  if (!dx) return;
  constexpr std::int64_t tile = 64;  // columns with one owner
  const std::int64_t tiles = (inner + tile - 1) / tile;
  const double cost = static_cast<double>(outer) * static_cast<double>(inner) * static_cast<double>(count);
  if (!dx.add) {
    constexpr std::int64_t part = 1 << 16;
    const std::int64_t all = outer * size * inner;
    parallel_for((all + part - 1) / part, static_cast<double>(all), [&](std::int64_t p) {
      std::fill(dx.data + p * part, dx.data + std::min(all, (p + 1) * part), T(0));
    });
  }
  parallel_for(outer * tiles, cost, [&](std::int64_t task) {
    const std::int64_t o = task / tiles;
    const std::int64_t column = task % tiles * tile;
    const std::int64_t width = std::min(tile, inner - column);
    for (std::int64_t i = 0; i < count; ++i) {
      const T* from = dy + (o * count + i) * inner + column;
      T* to = dx.data + (o * size + index[i]) * inner + column;
      for (std::int64_t c = 0; c < width; ++c) to[c] += from[c];
    }
  });
}

#define REEL_INSTANTIATE(T)                                                                          \
  template void gather(const T*, std::int64_t, std::int64_t, std::int64_t, const std::int32_t*,      \
                       std::int64_t, Into<T>);                                                       \
  template void scatter_add(const T*, std::int64_t, std::int64_t, std::int64_t, const std::int32_t*, \
                            std::int64_t, Into<T>)
REEL_INSTANTIATE(float);
REEL_INSTANTIATE(double);
REEL_INSTANTIATE(Dual);
#undef REEL_INSTANTIATE

}  // namespace reel::kernels
