#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/dual.h"
#include "kernels/into.h"
#include "kernels/parallel.h"

namespace reel::kernels {

/// How a smaller array is stretched over a larger one (NumPy's broadcasting): sizes of the large one's
/// dimensions, outermost first, and the element stride of the small one along each; 0 where it is repeated.
struct Stretch {
  int rank = 0;  // 0: not stretched, the array has the large one's shape
  std::int64_t sizes[6] = {};
  std::int64_t strides[6] = {};

  /// Writes elements [first, first + count) of the stretched array.
  template <class T>
  void copy(const T* small, std::int64_t first, std::int64_t count, T* to) const {
    std::int64_t index[6] = {};
    std::int64_t from = 0;
    std::int64_t rest = first;
    for (int d = rank - 1; d >= 0; --d) {
      index[d] = rest % sizes[d];
      rest /= sizes[d];
      from += index[d] * strides[d];
    }
    const int last = rank - 1;
    while (count > 0) {
      const std::int64_t run = std::min(count, sizes[last] - index[last]);
      if (strides[last] == 0) {
        std::fill_n(to, run, small[from]);
      } else {
        std::copy_n(small + from, run, to);
      }
      to += run;
      count -= run;
      if (count == 0) return;
      from -= index[last] * strides[last];
      index[last] = 0;
      for (int d = last - 1; d >= 0; --d) {
        from += strides[d];
        if (++index[d] < sizes[d]) break;
        from -= index[d] * strides[d];
        index[d] = 0;
      }
    }
  }
};

/// An argument of map: an array, stretched or not.
template <class T>
struct Source {
  const T* data;
  const Stretch* stretch;

  const T* tile(std::int64_t first, std::int64_t count, T* buffer) const {
    if (stretch == nullptr || stretch->rank == 0) return data + first;
    stretch->copy(data, first, count, buffer);
    return buffer;
  }
};

/// Where map writes to: `size` elements.
template <class T>
struct Sink {
  Into<T> into;
  std::int64_t size;
};

namespace detail {

// What a tile of stretched inputs occupies must stay in the first-level cache.
template <class T>
inline constexpr std::int64_t map_tile = sizeof(T) > 8 ? 256 : 1024;

template <class T, class F, class... P>
inline void map_tile_loop(Into<T> out, std::int64_t first, std::int64_t count, F f, const P*... in) {
  T* __restrict__ y = out.data + first;
  if (out.add) {
    for (std::int64_t i = 0; i < count; ++i) y[i] += f(in[i]...);
  } else {
    for (std::int64_t i = 0; i < count; ++i) y[i] = f(in[i]...);
  }
}

template <class T, class F, class... P>
inline void change_tile_loop(T* __restrict__ x, std::int64_t count, F f, const P*... in) {
  for (std::int64_t i = 0; i < count; ++i) x[i] = f(x[i], in[i]...);
}

}  // namespace detail

/// How long a function of map takes for an element, in the unit of parallel_for's cost: so that also an array
/// of moderate size is handed to several threads where that pays.
enum class Work : int {
  light = 4,        ///< sums, products, comparisons: about as long as the memory takes
  polynomial = 16,  ///< exp, log, tanh, erf and the like, as vector code
  call = 200,       ///< into the C library, for every element: pow, and all functions of doubles
};

namespace detail {

// Calls loop(first, count, pointer to the tile of each source) for tiles of the elements, on several threads.
template <class T, Work work, class Loop, class... S>
void for_tiles(std::int64_t size, Loop loop, S... in) {
  constexpr std::int64_t tile = map_tile<T>;
  // Outside float all functions are calls.
  constexpr int unit = static_cast<int>(work == Work::light || std::is_same_v<T, float> ? work : Work::call);
  constexpr std::int64_t task_size = std::max(1024, 65536 / unit);
  const std::int64_t tasks = (size + task_size - 1) / task_size;
  const double cost = static_cast<double>(size) * unit;
  parallel_for(tasks, cost, [&](std::int64_t task) {
    const std::int64_t end = std::min(size, (task + 1) * task_size);
    for (std::int64_t first = task * task_size; first < end; first += tile) {
      const std::int64_t count = std::min(tile, end - first);
      [&]<std::size_t... I>(std::index_sequence<I...>) {
        [[maybe_unused]] T buffers[sizeof...(S) + 1][static_cast<std::size_t>(tile)];
        loop(first, count, in.tile(first, count, buffers[I])...);
      }
      (std::index_sequence_for<S...>{});
    }
  });
}

}  // namespace detail

/// out[i] (+)= f(in[i]...) for all i, vectorised and threaded. `f` takes and returns the scalar; it must have
/// no branches that depend on values if it is to be vectorised. The result overlaps no argument. Does nothing
/// if nobody wants it.
template <Work work = Work::light, class T, class F, class... S>
void map(Sink<T> out, F f, S... in) {
  if (!out.into) return;
  detail::for_tiles<T, work>(
      out.size,
      [&](std::int64_t first, std::int64_t count, const auto*... tiles) {
        detail::map_tile_loop(out.into, first, count, f, tiles...);
      },
      in...);
}

/// x[i] = f(x[i], in[i]...) for all i < size, likewise; x overlaps none of the others.
template <Work work = Work::light, class T, class F, class... S>
void map_in_place(T* x, std::int64_t size, F f, S... in) {
  detail::for_tiles<T, work>(
      size,
      [&](std::int64_t first, std::int64_t count, const auto*... tiles) {
        detail::change_tile_loop(x + first, count, f, tiles...);
      },
      in...);
}

}  // namespace reel::kernels
