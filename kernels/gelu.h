#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "kernels/map.h"
#include "kernels/math.h"

// x/2 (1 + tanh u) with u = sqrt(2/pi) (x + 0.044715 x^3): the tanh form of Hendrycks and Gimpel (2016),
// section 2, which GPT-2 uses.

namespace reel::kernels {

template <class T>
struct ValueAndSlope {
  T value, slope;
};

namespace detail {

/// Numbers smaller than this have a moderate gelu: 2u is less than 64 ln 4, and nothing overflows.
inline constexpr float moderate = 10;

template <bool is_moderate, class T>
[[gnu::always_inline]] inline ValueAndSlope<T> gelu(T x) {
  constexpr double root = 0.79788456080286535588;      // sqrt(2/pi)
  constexpr double log2_of_e = 1.4426950408889634074;  // 2u in powers of 4
  const T one(1), zero(0);
  const T x2 = x * x;
  // (1 + tanh u) / 2 is sigmoid(2u), which needs one exponential and loses no digits where tanh u is near -1.
  const T power = x * fma(static_cast<T>(log2_of_e * root * 0.044715), x2, static_cast<T>(log2_of_e * root));
  const T twice_du = fma(static_cast<T>(2 * root * 3 * 0.044715), x2, static_cast<T>(2 * root));
  if constexpr (is_moderate) {
    const T s = sigmoid4_of_moderate(power);
    const T value = x * s;
    return {value, fma(value * (one - s), twice_du, s)};
  } else {
    const T s = sigmoid4(power);
    const T value = x * s;
    // Far out u' overflows while s or 1 - s is 0; their product counts as 0.
    return {value, s * (one - s) == zero ? s : fma(value * (one - s), twice_du, s)};
  }
}

// Whether all of x [n] are moderate. By their bits, of which the larger number has the larger, and NaN the
// largest.
inline bool are_moderate(const float* x, std::int64_t n) {
  std::uint32_t largest = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint32_t size = std::bit_cast<std::uint32_t>(x[i]) & 0x7FFFFFFFU;
    largest = size > largest ? size : largest;
  }
  return largest < std::bit_cast<std::uint32_t>(moderate);
}

template <bool is_moderate, class T>
inline void split_into_gelu_and_slope(T* __restrict__ x, T* __restrict__ y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const auto [value, slope] = gelu<is_moderate>(x[i]);
    y[i] = value;
    x[i] = slope;
  }
}

}  // namespace detail

/// gelu(x) and its derivative. Each costs nothing where it is not used.
template <class T>
[[gnu::always_inline]] inline ValueAndSlope<T> gelu(T x) {
  return detail::gelu<false>(x);
}

/// y [n] = gelu(x), and x = its derivative: the bits of gelu(), on several threads. Where no number of a
/// stretch is large, as is usual, in a fifth less time.
template <class T>
void gelu_and_slope(T* x, T* y, std::int64_t n) {
  detail::for_tiles<T, Work::polynomial>(n, [&](std::int64_t first, std::int64_t count) {
    if constexpr (std::is_same_v<T, float>) {
      if (detail::are_moderate(x + first, count))
        return detail::split_into_gelu_and_slope<true>(x + first, y + first, count);
    }
    detail::split_into_gelu_and_slope<false>(x + first, y + first, count);
  });
}

}  // namespace reel::kernels
