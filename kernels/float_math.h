#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

// Functions of one float, written without branches, tables or calls, so that a compiler turns a loop over
// them into vector code; the same bits come out of a vector and of a single element. The polynomials are
// near-minimax fits (Lawson's iteration) made for these intervals. Errors are in units of the last place,
// found by trying every float of magnitude 1/128 to 128 and every 97th of the others, where fused
// multiply-add is available; without it they are up to three times as large. tests/kernels/math_test.cpp
// holds them.

// A call in a loop keeps it from becoming vector code, and in large functions compilers stop inlining.
#define REEL_INLINE [[gnu::always_inline]] inline

namespace reel::kernels {

/// a b + c, rounded once where the processor can. The same choice holds for the whole program.
REEL_INLINE float fma(float a, float b, float c) {
#ifdef __FMA__
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
REEL_INLINE double fma(double a, double b, double c) {
#ifdef __FMA__
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

namespace detail {

inline constexpr float log2_e = 1.44269504088896341f;
inline constexpr float ln2_high = 0.693359375f;  // few bits: its products with whole numbers are exact
inline constexpr float ln2_low = -2.12194440e-4f;

// Adding 1.5 2^23 to a float of moderate size rounds it to a whole number n, which then stands in the low
// bits. With `bias` added as well they hold n + bias, ready to be shifted to where an exponent belongs.
inline constexpr float round_magic(int bias) { return static_cast<float>(12582912 + bias); }

// The float whose exponent bits are the low 8 bits of `biased`: 2^(biased - 127).
REEL_INLINE float power_of_two(std::uint32_t biased) { return std::bit_cast<float>(biased << 23); }

// x = n ln 2 + r with |r| <= ln(2) / 2; the low bits of `biased` are n + bias.
struct Reduced {
  float n, r;
  std::uint32_t biased;
};
template <int bias>
REEL_INLINE Reduced reduce_by_ln2(float x) {
  const float shifted = fma(x, log2_e, round_magic(bias));
  const float n = shifted - round_magic(bias);
  return {n, fma(n, -ln2_low, fma(n, -ln2_high, x)), std::bit_cast<std::uint32_t>(shifted)};
}

// (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2, as exact as e^r needs it.
REEL_INLINE float exp_tail(float r) {
  float q = 1.38145289e-3f;
  q = fma(q, r, 8.36875103e-3f);
  q = fma(q, r, 4.16683927e-2f);
  q = fma(q, r, 1.66665196e-1f);
  return fma(q, r, 0.49999994f);
}
REEL_INLINE float exp_small(float r) { return fma(fma(exp_tail(r), r, 1.0f), r, 1.0f); }

// e^r - 1, which near 0 needs one term more.
REEL_INLINE float expm1_small(float r) {
  float q = 1.99142407e-4f;
  q = fma(q, r, 1.39410584e-3f);
  q = fma(q, r, 8.33327323e-3f);
  q = fma(q, r, 4.1666355e-2f);
  q = fma(q, r, 1.66666672e-1f);
  q = fma(q, r, 0.5f);
  return fma(r * r, q, r);
}

// Below -103.98, e^x rounds to 0; at -191 ln 2 the factor with the exponent is 0. Any bound between them
// would do, but there the product would underflow, for which Intel's processors stop for 150 cycles and more.
inline constexpr float where_exp_is_zero = -132.391113f;

// e^x for x in [where_exp_is_zero, 44], or NaN.
REEL_INLINE float exp_moderate(float x) {
  const Reduced part = reduce_by_ln2<127 + 64>(x);
  return exp_small(part.r) * power_of_two(part.biased) *
         0x1p-64f;  // rounded once, at the end, where subnormal
}

}  // namespace detail

/// e^x; at most 0.91 ulp.
REEL_INLINE float exp(float x) {
  // At these bounds the result is inf, or 0; a NaN goes through. Two bounds one after the other would do, but
  // g++ makes five comparisons of them.
  const float size = std::fabs(x);
  const float bounded = std::copysign(size > 176.059387f ? 176.059387f : size, x);  // 254 ln 2
  const detail::Reduced part = detail::reduce_by_ln2<254>(bounded);
  // Two factors, since 2^n itself may be too large or too small; half of n + 254 is half of n with its bias.
  const std::uint32_t half = part.biased >> 1;
  return detail::exp_small(part.r) * detail::power_of_two(half) * detail::power_of_two(part.biased - half);
}

/// e^x to the same digits where x is not above 0, as in a softmax; for a third less. Above 44 it is no longer
/// e^x.
REEL_INLINE float exp_of_negative(float x) {
  return detail::exp_moderate(x < detail::where_exp_is_zero ? detail::where_exp_is_zero : x);
}

/// e^x - 1; at most 1.45 ulp.
REEL_INLINE float expm1(float x) {
  float bounded = x > 89.0f ? 89.0f : x;
  bounded = bounded < -26.0f ? -26.0f : bounded;
  const detail::Reduced part = detail::reduce_by_ln2<126>(bounded);
  const float p = detail::expm1_small(part.r);
  const float half_power = detail::power_of_two(part.biased);  // 2^n / 2, since 2^128 is no float
  const float y = fma(half_power, p, half_power - 0.5f);
  return part.n == 0.0f ? (x == 0.0f ? x : p) : y + y;
}

namespace detail {

// log of a positive normal number times 2^power, plus `more`, which is small.
REEL_INLINE float log_normal(float x, float power, float more) {
  // Unsigned, since for what is not positive and normal the difference may wrap.
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t offset = bits - std::bit_cast<std::uint32_t>(0.70710677f);  // m in [sqrt(1/2), sqrt(2))
  const std::int32_t exponent = static_cast<std::int32_t>(offset) >> 23;
  const float f = std::bit_cast<float>(bits - (static_cast<std::uint32_t>(exponent) << 23)) - 1.0f;
  const float e = static_cast<float>(exponent) + power;
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
  const float low = fma(e, ln2_low, fma(f2 * f, p, fma(-0.5f, f2, more)));
  return fma(e, ln2_high, f + low);
}

}  // namespace detail

/// log x; at most 0.87 ulp. NaN below 0, -inf at 0.
REEL_INLINE float log(float x) {
  const bool tiny = x < std::numeric_limits<float>::min();
  // 2^23 makes a subnormal number normal.
  float y = detail::log_normal(tiny ? x * 8388608.0f : x, tiny ? -23.0f : 0.0f, 0.0f);
  y = x == std::numeric_limits<float>::infinity() ? x : y;
  y = x == 0.0f ? -std::numeric_limits<float>::infinity() : y;
  return x < 0.0f || x != x ? std::numeric_limits<float>::quiet_NaN() : y;
}

/// log(1 + x); at most 1.45 ulp.
REEL_INLINE float log1p(float x) {
  const float u = 1.0f + x;
  // What was lost in the sum, to first order (Kahan).
  const float lost = (x - (u - 1.0f)) / u;
  const float y = log(u) + lost;
  const bool exact = !(u > 0.0f) || u == std::numeric_limits<float>::infinity();
  return x == 0.0f ? x : exact ? log(u) : y;
}

/// tanh x = q / (2 - q), q = 1 - e^-2|x|; at most 2.01 ulp.
REEL_INLINE float tanh(float x) {
  const float size = std::fabs(x);
  const float bounded = size > 10.0f ? 10.0f : size;
  const detail::Reduced part = detail::reduce_by_ln2<127>(-(bounded + bounded));
  const float power = detail::power_of_two(part.biased);
  const float q = fma(-power, detail::expm1_small(part.r), 1.0f - power);
  // The quotient again from q: then its own error counts half at most.
  const float half = 0.5f * q;
  return std::copysign(fma(half, q / (2.0f - q), half), x);
}

/// 1 / (1 + e^-x); at most 1.65 ulp.
REEL_INLINE float sigmoid(float x) {
  const float size = std::fabs(x);
  const float e = exp_of_negative(-size);
  const float smaller = e / (1.0f + e);
  // For x < 0 the quotient again from e: its own error counts less then.
  const float top = x >= 0.0f ? 1.0f : e;
  return fma(-top, smaller, top);
}

/// sigmoid4(x) for |x| <= 64, or NaN.
REEL_INLINE float sigmoid4_of_moderate(float x) {
  // -x = n + r with |r| <= 1/2; the low bits of `shifted` are n + 127.
  const float shifted = detail::round_magic(127) - x;
  const float r = (detail::round_magic(127) - shifted) - x;
  float q = 1.53243149e-4f;
  q = fma(q, r, 1.33909588e-3f);
  q = fma(q, r, 9.61851794e-3f);
  q = fma(q, r, 5.55035956e-2f);
  q = fma(q, r, 2.40226477e-1f);
  q = fma(q, r, 6.93147182e-1f);
  const float root = fma(q, r, 1.0f) * detail::power_of_two(std::bit_cast<std::uint32_t>(shifted));
  return 1.0f / fma(root, root, 1.0f);
}

/// sigmoid(x ln 4) = 1 / (1 + 4^-x); at most 3.53 ulp, and 0 from -64 down. For callers who can have their
/// argument in powers of 4 at no cost: in three quarters of sigmoid's time.
REEL_INLINE float sigmoid4(float x) {
  // At these bounds 4^-x is inf, or vanishes beside 1; a NaN goes through.
  const float size = std::fabs(x);
  return sigmoid4_of_moderate(std::copysign(size > 65.0f ? 65.0f : size, x));
}

/// log(1 + e^x); at most 1.71 ulp.
REEL_INLINE float softplus(float x) {
  const float size = std::fabs(x);
  const float e = exp_of_negative(-size);
  const float u = 1.0f + e;
  const float lost = e - (u - 1.0f);
  // A NaN is lost in log_normal; x brings it back.
  return (x < 0.0f ? 0.0f : x) + detail::log_normal(u, 0.0f, lost / u);
}

/// The error function; at most 1.43 ulp.
REEL_INLINE float erf(float x) {
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
  // Else 1 - e^-p(x), where p fits -log(1 - erf).
  const float t = size > 4.0f ? 4.0f : size;
  float p = 1.69784868e-7f;
  p = fma(p, t, 1.92621979e-5f);
  p = fma(p, t, -4.26502252e-4f);
  p = fma(p, t, 4.15376583e-3f);
  p = fma(p, t, -2.51017407e-2f);
  p = fma(p, t, 1.08278459e-1f);
  p = fma(p, t, 6.33332868e-1f);
  p = fma(p, t, 1.12952735f);
  p = fma(p, t, -1.78122559e-4f);
  const float large = 1.0f - detail::exp_moderate(-p);
  const float y = std::copysign(size < 1.0f ? small : large, x);
  return x != x ? x : y;
}

/// The share of a standard normal distribution that lies below x, (1 + erf(x / sqrt 2)) / 2, but with all its
/// digits also where that sum has none. At most 67 ulp: far out on the left the rounding of x^2 / 2 counts.
REEL_INLINE float normal_cdf(float x) {
  // Beyond |x| lies e^(-x^2 / 2) t p(t).
  const float t = 1.0f / fma(0.27f, std::fabs(x), 1.0f);
  float p = 2.89611127e-2f;
  p = fma(p, t, -1.26485914e-1f);
  p = fma(p, t, 1.6978626e-1f);
  p = fma(p, t, -6.92108721e-2f);
  p = fma(p, t, 1.07825696e-1f);
  p = fma(p, t, 7.20495805e-2f);
  p = fma(p, t, 1.01810612e-1f);
  p = fma(p, t, 1.07542872e-1f);
  p = fma(p, t, 1.07720658e-1f);
  const float beyond = exp_of_negative(-(0.5f * x * x)) * (t * p);
  return x > 0.0f ? 1.0f - beyond : beyond;
}

}  // namespace reel::kernels

#undef REEL_INLINE
