#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

// Functions of one float, written without branches, tables or calls, so that a compiler turns a loop over
// them into vector code; the same bits come out of a vector and of a single element. The polynomials are
// near-minimax fits (Lawson's iteration) made for these intervals. Errors are in units of the last place,
// measured over the whole range by tests/kernels/math_test.cpp where fused multiply-add is available.

namespace reel::kernels {

/// a b + c, rounded once where the processor can. The same choice holds for the whole program.
inline float fma(float a, float b, float c) {
#ifdef __FMA__
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
inline double fma(double a, double b, double c) {
#ifdef __FMA__
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

namespace detail {

// 1.5 2^23: adding it to a float of moderate size rounds to a whole number, which then stands in the low
// bits.
inline constexpr float round_magic = 12582912.0f;
inline constexpr float log2_e = 1.44269504088896341f;
inline constexpr float ln2_high = 0.693359375f;  // few bits: its products with whole numbers are exact
inline constexpr float ln2_low = -2.12194440e-4f;

// x = n ln 2 + r with |r| <= ln(2) / 2; n as a float and as an integer.
struct Reduced {
  float n, r;
  std::int32_t whole;
};
inline Reduced reduce_by_ln2(float x) {
  const float shifted = fma(x, log2_e, round_magic);
  const float n = shifted - round_magic;
  const float r = fma(n, -ln2_low, fma(n, -ln2_high, x));
  return {n, r, std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(round_magic)};
}

// e^r - 1 for |r| <= ln(2) / 2.
inline float expm1_small(float r) {
  float q = 1.99089084e-4f;
  q = fma(q, r, 1.39345443e-3f);
  q = fma(q, r, 8.33328410e-3f);
  q = fma(q, r, 4.16664568e-2f);
  q = fma(q, r, 1.66666668e-1f);
  q = fma(q, r, 0.5f);
  return fma(r * r, q, r);
}

// 2^n for n in [-126, 127].
inline float power_of_two(std::int32_t n) { return std::bit_cast<float>((n + 127) << 23); }

}  // namespace detail

/// e^x; at most 1 ulp (subnormal results are rounded twice: 1 unit).
inline float exp(float x) {
  // Beyond these bounds the result is inf, or 0; a NaN is neither and goes through.
  float bounded = x > 89.0f ? 89.0f : x;
  bounded = bounded < -104.0f ? -104.0f : bounded;
  const detail::Reduced part = detail::reduce_by_ln2(bounded);
  const float y = detail::expm1_small(part.r) + 1.0f;
  // Two factors, since 2^n itself may be too large or too small.
  const std::int32_t half = part.whole >> 1;
  return y * detail::power_of_two(half) * detail::power_of_two(part.whole - half);
}

/// e^x - 1; at most 2 ulp.
inline float expm1(float x) {
  float bounded = x > 89.0f ? 89.0f : x;
  bounded = bounded < -26.0f ? -26.0f : bounded;
  const detail::Reduced part = detail::reduce_by_ln2(bounded);
  const float p = detail::expm1_small(part.r);
  const float half_power = detail::power_of_two(part.whole - 1);
  const float y = fma(half_power, p, half_power - 0.5f);
  return part.whole == 0 ? (x == 0.0f ? x : p) : y + y;
}

/// log x; at most 1 ulp. NaN below 0, -inf at 0.
inline float log(float x) {
  const bool tiny = x < std::numeric_limits<float>::min();
  const float scaled = tiny ? x * 8388608.0f : x;  // 2^23 makes a subnormal number normal
  const std::int32_t bits = std::bit_cast<std::int32_t>(scaled);
  const std::int32_t offset = bits - std::bit_cast<std::int32_t>(0.70710677f);  // m in [sqrt(1/2), sqrt(2))
  const std::int32_t exponent = offset >> 23;
  const float f = std::bit_cast<float>(bits - (exponent << 23)) - 1.0f;
  const float e = static_cast<float>(exponent) - (tiny ? 23.0f : 0.0f);
  float p = 7.33252920e-2f;
  p = fma(p, f, -1.16599294e-1f);
  p = fma(p, f, 1.16346627e-1f);
  p = fma(p, f, -1.23967004e-1f);
  p = fma(p, f, 1.42511556e-1f);
  p = fma(p, f, -1.66691510e-1f);
  p = fma(p, f, 2.00006881e-1f);
  p = fma(p, f, -2.49999812e-1f);
  p = fma(p, f, 3.33333313e-1f);
  const float f2 = f * f;
  const float low = fma(e, detail::ln2_low, fma(f2 * f, p, -0.5f * f2));
  float y = fma(e, detail::ln2_high, f + low);
  y = x == std::numeric_limits<float>::infinity() ? x : y;
  y = x == 0.0f ? -std::numeric_limits<float>::infinity() : y;
  return x < 0.0f || x != x ? std::numeric_limits<float>::quiet_NaN() : y;
}

/// log(1 + x); at most 2 ulp.
inline float log1p(float x) {
  const float u = 1.0f + x;
  // What was lost in the sum, to first order (Kahan).
  const float lost = (x - (u - 1.0f)) / u;
  const float y = log(u) + lost;
  const bool exact = !(u > 0.0f) || u == std::numeric_limits<float>::infinity();
  return x == 0.0f ? x : exact ? log(u) : y;
}

/// tanh x = (e^2x - 1) / (e^2x - 1 + 2); at most 2.5 ulp.
inline float tanh(float x) {
  const float size = std::fabs(x);
  const float bounded = size > 10.0f ? 10.0f : size;
  const float e = expm1(bounded + bounded);
  return std::copysign(e / (e + 2.0f), x);
}

/// 1 / (1 + e^-x); at most 2.5 ulp.
inline float sigmoid(float x) {
  const float e = exp(-std::fabs(x));
  return (x >= 0.0f ? 1.0f : e) / (1.0f + e);
}

/// log(1 + e^x); at most 2 ulp.
inline float softplus(float x) { return (x < 0.0f ? 0.0f : x) + log1p(exp(-std::fabs(x))); }

/// The error function; at most 2 ulp.
inline float erf(float x) {
  const float size = std::fabs(x);
  const float u = x * x;
  // |x| < 1: an odd polynomial.
  float small = -9.68013923e-6f;
  small = fma(small, u, 1.12705455e-4f);
  small = fma(small, u, -8.48471159e-4f);
  small = fma(small, u, 5.22107489e-3f);
  small = fma(small, u, -2.68654458e-2f);
  small = fma(small, u, 1.12837827e-1f);
  small = fma(small, u, -3.76126385e-1f);
  small = fma(small * size, u, 1.28379167e-1f * size) + size;  // 2/sqrt(pi) in two parts
  // Else 1 - e^p(x), where p fits log(1 - erf).
  const float t = size > 4.0f ? 4.0f : size;
  float p = -1.69784868e-7f;
  p = fma(p, t, -1.92621979e-5f);
  p = fma(p, t, 4.26502252e-4f);
  p = fma(p, t, -4.15376583e-3f);
  p = fma(p, t, 2.51017407e-2f);
  p = fma(p, t, -1.08278459e-1f);
  p = fma(p, t, -6.33332868e-1f);
  p = fma(p, t, -1.12952735f);
  p = fma(p, t, 1.78122559e-4f);
  const float large = 1.0f - exp(p);
  return std::copysign(size < 1.0f ? small : large, x) + (x != x ? x : 0.0f);
}

}  // namespace reel::kernels
