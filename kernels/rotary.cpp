#include "kernels/rotary.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/dual.h"
#include "kernels/parallel.h"

namespace reel::kernels {
namespace {

// Cosines and sines of all angles, [time, 2, channels / 2]. Kept from call to call: every layer of a model
// asks for the same.
template <class T>
class Angles {
 public:
  const T* get(std::int64_t time, std::int64_t channels, double base, std::int64_t first_position) {
    if (time > time_ || channels != channels_ || base != base_ || first_position != first_position_) {
      fill(time, channels, base, first_position);
    }
    return table_.data();
  }

 private:
  void fill(std::int64_t time, std::int64_t channels, double base, std::int64_t first_position) {
    const std::int64_t half = channels / 2;
    table_.resize(static_cast<std::size_t>(time * channels));
    for (std::int64_t i = 0; i < half; ++i) {
      const double speed = std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(channels));
      for (std::int64_t t = 0; t < time; ++t) {
        const double angle = static_cast<double>(first_position + t) * speed;
        table_[static_cast<std::size_t>(t * channels + i)] = T(std::cos(angle));
        table_[static_cast<std::size_t>(t * channels + half + i)] = T(std::sin(angle));
      }
    }
    time_ = time, channels_ = channels, base_ = base, first_position_ = first_position;
  }

  std::int64_t time_ = -1, channels_ = -1, first_position_ = -1;
  double base_ = 0;
  std::vector<T> table_;
};

// One row of channels: (low, high) becomes (low cos - high sin, high cos + low sin) pair by pair.
template <bool add, class T>
void turn(const T* __restrict x, const T* __restrict cosines, T sign, std::int64_t half, T* __restrict y) {
  const T* sines = cosines + half;
  for (std::int64_t i = 0; i < half; ++i) {
    const T low = x[i] * cosines[i] - x[half + i] * (sign * sines[i]);
    const T high = x[half + i] * cosines[i] + x[i] * (sign * sines[i]);
    y[i] = add ? y[i] + low : low;
    y[half + i] = add ? y[half + i] + high : high;
  }
}

}  // namespace

template <class T>
void rotary(const Rotary& p, const T* x, Into<T> y) {
  thread_local Angles<T> angles;
  const T* table = angles.get(p.time, p.channels, p.base, p.first_position);
  const T sign = T(p.backwards ? -1 : 1);
  const std::int64_t width = p.turned * p.channels + p.kept;
  constexpr std::int64_t piece = 64;  // times of a task
  const std::int64_t pieces = (p.time + piece - 1) / piece;
  const double cost =
      3.0 * static_cast<double>(p.rows) * static_cast<double>(p.time) * static_cast<double>(width);
  parallel_for(p.rows * pieces, cost, [&](std::int64_t task) {
    const std::int64_t row = task / pieces;
    const std::int64_t first = task % pieces * piece;
    for (std::int64_t t = first; t < std::min(p.time, first + piece); ++t) {
      const T* from = x + (row * p.time + t) * width;
      T* to = y.data + (row * p.time + t) * width;
      for (std::int64_t h = 0; h < p.turned; ++h, from += p.channels, to += p.channels) {
        if (y.add) {
          turn<true>(from, table + t * p.channels, sign, p.channels / 2, to);
        } else {
          turn<false>(from, table + t * p.channels, sign, p.channels / 2, to);
        }
      }
      for (std::int64_t i = 0; i < p.kept; ++i) to[i] = y.add ? to[i] + from[i] : from[i];
    }
  });
}

#define REEL_INSTANTIATE(T) template void rotary(const Rotary&, const T*, Into<T>)
REEL_INSTANTIATE(float);
REEL_INSTANTIATE(double);
REEL_INSTANTIATE(Dual);
#undef REEL_INSTANTIATE

}  // namespace reel::kernels
