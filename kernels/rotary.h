#pragma once

#include <cstdint>

#include "kernels/into.h"

namespace reel::kernels {

/// Rotary position embedding (Su et al. 2021, section 3.2) of heads side by side: x [rows, time, turned *
/// channels + kept].
///
/// In each of the first `turned` heads the pair (x_i, x_{i + channels/2}) at time t turns by the angle
/// (first_position + t) base^(-2i / channels); what is kept is copied. A gradient turns `backwards`.
struct Rotary {
  std::int64_t rows = 0;
  std::int64_t time = 0;
  std::int64_t channels = 0;  ///< of a head; even
  std::int64_t turned = 1;    ///< heads
  std::int64_t kept = 0;      ///< channels behind them
  double base = 10000;
  std::int64_t first_position = 0;
  bool backwards = false;
};

template <class T>
void rotary(const Rotary& p, const T* x, Into<T> y);

}  // namespace reel::kernels
