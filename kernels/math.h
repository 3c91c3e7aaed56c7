#pragma once

#include <cmath>
#include <type_traits>

#include "kernels/dual.h"
#include "kernels/float_math.h"

// Functions of one number for float, double and Dual. The float ones are our own, in float_math.h; for double
// and Dual, which prove and do not race, those of the C library serve.

namespace reel::kernels {

inline double exp(double x) { return std::exp(x); }
inline double exp_of_negative(double x) { return exp(x); }
inline double expm1(double x) { return std::expm1(x); }
inline double log(double x) { return std::log(x); }
inline double log1p(double x) { return std::log1p(x); }
inline double tanh(double x) { return std::tanh(x); }
inline double erf(double x) { return std::erf(x); }
inline double normal_cdf(double x) { return std::erfc(x * -0.70710678118654752440) / 2; }  // -1 / sqrt 2
inline double sigmoid(double x) {
  const double e = std::exp(-std::fabs(x));
  return (x >= 0 ? 1 : e) / (1 + e);
}
inline double sigmoid4(double x) { return sigmoid(x * 1.3862943611198906188); }  // ln 4
inline double softplus(double x) { return (x < 0 ? 0 : x) + std::log1p(std::exp(-std::fabs(x))); }

inline double sin(double x) { return std::sin(x); }  // of floats: sine.h
inline double cos(double x) { return std::cos(x); }

// What needs no polynomial, or is too rare to race.
template <class T>
concept Real = std::is_same_v<T, float> || std::is_same_v<T, double>;
template <Real T>
T sqrt(T x) {
  return std::sqrt(x);
}
template <Real T>
T rsqrt(T x) {
  return T(1) / std::sqrt(x);
}
template <Real T>
T pow(T x, T y) {
  return std::pow(x, y);
}
template <Real T>
T abs(T x) {
  return std::fabs(x);
}
template <Real T>
T sign(T x) {
  return x > 0 ? T(1) : x < 0 ? T(-1) : x;
}
/// The larger; NaN if one of them is.
template <Real T>
T maximum(T x, T y) {
  return x >= y || x != x ? x : y;
}
template <Real T>
T minimum(T x, T y) {
  return x <= y || x != x ? x : y;
}

template <class T>
T sigmoid_slope(T x);

inline Dual fma(Dual a, Dual b, Dual c) { return a * b + c; }
inline Dual exp(Dual x) {
  const double y = std::exp(x.value);
  return {y, Dual::chain(x.tangent, y)};
}
inline Dual exp_of_negative(Dual x) { return exp(x); }
inline Dual expm1(Dual x) { return {std::expm1(x.value), Dual::chain(x.tangent, std::exp(x.value))}; }
inline Dual log(Dual x) { return {std::log(x.value), Dual::chain(x.tangent, 1 / x.value)}; }
inline Dual log1p(Dual x) { return {std::log1p(x.value), Dual::chain(x.tangent, 1 / (1 + x.value))}; }
inline Dual tanh(Dual x) {
  // 1 / cosh^2: 1 - tanh^2 has no digits where tanh is near 1.
  return {std::tanh(x.value), x.tangent * 4 * sigmoid_slope(2 * x.value)};
}
inline Dual erf(Dual x) {
  return {std::erf(x.value), x.tangent * 1.1283791670955125739 * std::exp(-x.value * x.value)};
}
inline Dual normal_cdf(Dual x) {
  return {normal_cdf(x.value), x.tangent * 0.39894228040143267794 * std::exp(-x.value * x.value / 2)};
}
inline Dual sin(Dual x) { return {std::sin(x.value), x.tangent * std::cos(x.value)}; }
inline Dual cos(Dual x) { return {std::cos(x.value), -x.tangent * std::sin(x.value)}; }
inline Dual sqrt(Dual x) {
  const double y = std::sqrt(x.value);
  return {y, Dual::chain(x.tangent, 1 / (2 * y))};
}
inline Dual rsqrt(Dual x) {
  const double y = 1 / std::sqrt(x.value);
  return {y, Dual::chain(x.tangent, -y / (2 * x.value))};
}
inline Dual abs(Dual x) { return x.value < 0 ? -x : x.value > 0 ? x : Dual(0); }
inline Dual sign(Dual x) { return sign(x.value); }
inline Dual maximum(Dual x, Dual y) { return x >= y || x.value != x.value ? x : y; }
inline Dual minimum(Dual x, Dual y) { return x <= y || x.value != x.value ? x : y; }
inline Dual sigmoid(Dual x) { return {sigmoid(x.value), x.tangent * sigmoid_slope(x.value)}; }
inline Dual sigmoid4(Dual x) {
  const double y = sigmoid4(x.value);
  return {y, x.tangent * 1.3862943611198906188 * y * (1 - y)};
}
inline Dual softplus(Dual x) { return {softplus(x.value), x.tangent * sigmoid(x.value)}; }
/// The derivative of sigmoid, e^-|x| / (1 + e^-|x|)^2: s (1 - s) has no digits where s is near 1. Inlined by
/// force: with a call for every number there is no vector code.
template <class T>
[[gnu::always_inline]] inline T sigmoid_slope(T x) {
  const T e = exp_of_negative(-abs(x));
  const T whole = T(1) + e;
  return e / (whole * whole);
}

/// No product of an infinite and a zero factor: x^0 has derivative 0, and so has 0^y in y for y >= 0.
inline Dual pow(Dual x, Dual y) {
  const double z = std::pow(x.value, y.value);
  const double dx = y.value == 0 || x.tangent == 0 ? 0 : x.tangent * y.value * std::pow(x.value, y.value - 1);
  const double dy = (x.value == 0 && y.value >= 0) || y.tangent == 0 ? 0 : y.tangent * z * std::log(x.value);
  return {z, dx + dy};
}

}  // namespace reel::kernels
