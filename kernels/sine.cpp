#include "kernels/sine.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <type_traits>

#include "kernels/map.h"
#include "kernels/math.h"

namespace reel::kernels {
namespace {

// sin(x + quarters pi/2) by the C library.
template <class T>
T sine_by_call(T x, int quarters) {
  const T size = (quarters & 1) != 0 ? kernels::cos(x) : kernels::sin(x);
  return (quarters & 2) != 0 ? -size : size;
}
float sine_by_call(float x, int quarters) {
  return static_cast<float>(sine_by_call(static_cast<double>(x), quarters));
}

constexpr float moderate = 0x1p20F;

// The same for |x| < 2^20, without branches or calls, for vector code. In double, where x = n pi/2 + r needs
// no more than two parts of pi/2: the first has so few bits that its products with n are exact (Cody, Waite
// 1980). The polynomials are near-minimax fits for |r| <= pi/4, to 2^-37 and 2^-33.
[[gnu::always_inline]] inline float sine_of_moderate(float x, int quarters) {
  constexpr double two_over_pi = 0.6366197723675814;
  constexpr double half_pi_high = 0x1.921fb544p0;
  constexpr double half_pi_low = 0x1.0b4611a626331p-34;
  constexpr double magic = 0x1.8p52;  // added, it rounds to a whole number, which then stands in the low bits
  const auto wide = static_cast<double>(x);
  const double shifted = fma(wide, two_over_pi, magic);
  const double n = shifted - magic;
  const double r = fma(n, -half_pi_low, fma(n, -half_pi_high, wide));
  const auto quarter = std::bit_cast<std::uint64_t>(shifted) + static_cast<std::uint64_t>(quarters);
  const double z = r * r;
  double p = fma(z, 2.7183042233356284e-06, -0.00019839334082296818);
  p = fma(z, p, 0.00833332938357923);
  p = fma(z, p, -0.16666666641606956);
  const double sine = r * fma(z, p, 1.0);  // keeps the sign of a zero
  double q = fma(z, 2.4438379300239423e-05, -0.001388736690825256);
  q = fma(z, q, 0.04166664685456081);
  const double cosine = fma(z * z, q, fma(z, -0.5, 1.0));
  const double size = (quarter & 1) != 0 ? cosine : sine;
  return static_cast<float>(std::bit_cast<double>(std::bit_cast<std::uint64_t>(size) ^ (quarter & 2) << 62));
}

template <class T>
void sines(const T* x, int quarters, std::int64_t count, T* y) {
  if constexpr (std::is_same_v<T, float>) {
    for (std::int64_t i = 0; i < count; ++i) y[i] = sine_of_moderate(x[i], quarters);
    int others = 0;
    for (std::int64_t i = 0; i < count; ++i) others |= abs(x[i]) < moderate ? 0 : 1;
    if (others == 0) return;
    for (std::int64_t i = 0; i < count; ++i) {
      if (!(abs(x[i]) < moderate)) y[i] = sine_by_call(x[i], quarters);
    }
  } else {
    for (std::int64_t i = 0; i < count; ++i) y[i] = sine_by_call(x[i], quarters);
  }
}

}  // namespace

template <class T>
void sine(const T* x, int quarters, const T* factor, std::int64_t count, Into<T> y) {
  if (!y) return;
  detail::for_tiles<T, Work::polynomial>(
      count,
      [&](std::int64_t first, std::int64_t n, const T* tile) {
        T sizes[detail::map_tile<T>];
        sines(tile, quarters, n, sizes);
        if (factor == nullptr) {
          detail::map_tile_loop(
              y, first, n, [](T size) { return size; }, sizes);
        } else {
          detail::map_tile_loop(
              y, first, n, [](T size, T times) { return times * size; }, sizes, factor + first);
        }
      },
      Source<T>{x, nullptr});
}

template void sine(const float*, int, const float*, std::int64_t, Into<float>);
template void sine(const double*, int, const double*, std::int64_t, Into<double>);
template void sine(const Dual*, int, const Dual*, std::int64_t, Into<Dual>);

}  // namespace reel::kernels
