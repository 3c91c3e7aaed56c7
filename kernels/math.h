#pragma once

#include <cmath>

#include "kernels/dual.h"

// Functions of one number for float, double and Dual.

namespace reel::kernels {

#define REEL_REAL(T)                                                                     \
  inline T exp(T x) { return std::exp(x); }                                              \
  inline T expm1(T x) { return std::expm1(x); }                                          \
  inline T log(T x) { return std::log(x); }                                              \
  inline T log1p(T x) { return std::log1p(x); }                                          \
  inline T tanh(T x) { return std::tanh(x); }                                            \
  inline T erf(T x) { return std::erf(x); }                                              \
  inline T sin(T x) { return std::sin(x); }                                              \
  inline T cos(T x) { return std::cos(x); }                                              \
  inline T sqrt(T x) { return std::sqrt(x); }                                            \
  inline T rsqrt(T x) { return T(1) / std::sqrt(x); }                                    \
  inline T pow(T x, T y) { return std::pow(x, y); }                                      \
  inline T abs(T x) { return std::fabs(x); }                                             \
  inline T sign(T x) { return x > 0 ? T(1) : x < 0 ? T(-1) : x; }                        \
  inline T maximum(T x, T y) { return x >= y || x != x ? x : y; }                        \
  inline T minimum(T x, T y) { return x <= y || x != x ? x : y; }                        \
  inline T sigmoid(T x) {                                                                \
    const T e = std::exp(-std::fabs(x));                                                 \
    return (x >= 0 ? T(1) : e) / (T(1) + e);                                             \
  }                                                                                      \
  inline T softplus(T x) { return (x > 0 ? x : T(0)) + std::log1p(std::exp(-std::fabs(x))); }
REEL_REAL(float)
REEL_REAL(double)
#undef REEL_REAL

inline Dual exp(Dual x) { const double y = std::exp(x.value); return {y, x.tangent * y}; }
inline Dual expm1(Dual x) { return {std::expm1(x.value), x.tangent * std::exp(x.value)}; }
inline Dual log(Dual x) { return {std::log(x.value), x.tangent / x.value}; }
inline Dual log1p(Dual x) { return {std::log1p(x.value), x.tangent / (1 + x.value)}; }
inline Dual tanh(Dual x) { const double y = std::tanh(x.value); return {y, x.tangent * (1 - y * y)}; }
inline Dual erf(Dual x) {
  return {std::erf(x.value), x.tangent * 1.1283791670955125739 * std::exp(-x.value * x.value)};
}
inline Dual sin(Dual x) { return {std::sin(x.value), x.tangent * std::cos(x.value)}; }
inline Dual cos(Dual x) { return {std::cos(x.value), -x.tangent * std::sin(x.value)}; }
inline Dual sqrt(Dual x) { const double y = std::sqrt(x.value); return {y, x.tangent == 0 ? 0 : x.tangent / (2 * y)}; }
inline Dual rsqrt(Dual x) { const double y = 1 / std::sqrt(x.value); return {y, -x.tangent * y / (2 * x.value)}; }
inline Dual abs(Dual x) { return x.value < 0 ? -x : x.value > 0 ? x : Dual(0); }
inline Dual sign(Dual x) { return sign(x.value); }
inline Dual maximum(Dual x, Dual y) { return x >= y || x.value != x.value ? x : y; }
inline Dual minimum(Dual x, Dual y) { return x <= y || x.value != x.value ? x : y; }
inline Dual sigmoid(Dual x) { const double y = sigmoid(x.value); return {y, x.tangent * y * (1 - y)}; }
inline Dual softplus(Dual x) { return {softplus(x.value), x.tangent * sigmoid(x.value)}; }
/// No product of an infinite and a zero factor: x^0 has derivative 0, and 0^y has none in y.
inline Dual pow(Dual x, Dual y) {
  const double z = std::pow(x.value, y.value);
  const double dx = y.value == 0 || x.tangent == 0 ? 0 : x.tangent * y.value * std::pow(x.value, y.value - 1);
  const double dy = x.value == 0 || y.tangent == 0 ? 0 : y.tangent * z * std::log(x.value);
  return {z, dx + dy};
}

}  // namespace reel::kernels
