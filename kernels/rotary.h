#pragma once

#include <cstdint>

#include "kernels/into.h"

namespace reel::kernels {

/// Rotary position embedding (Su et al. 2021, section 3.2) of x [rows, time, channels], channels even.
///
/// The pair (x_i, x_{i + channels/2}) at time t turns by the angle (first_position + t) base^(-2i /
/// channels). The way back turns the gradient back: `backwards`.
template <class T>
void rotary(const T* x, std::int64_t rows, std::int64_t time, std::int64_t channels, double base,
            std::int64_t first_position, bool backwards, Into<T> y);

}  // namespace reel::kernels
