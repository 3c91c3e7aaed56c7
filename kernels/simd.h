#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kernels/dual.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// One vector register of numbers, as wide as the machine has it, and the few things that products do with it.
// A Dual is its own vector of one lane.

namespace reel::kernels {

#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
inline constexpr int vector_registers = 32;
#elif defined(__AVX2__) && defined(__FMA__)
inline constexpr int vector_bytes = 32;
inline constexpr int vector_registers = 16;
#else
inline constexpr int vector_bytes = 16;
inline constexpr int vector_registers = 16;
#endif

template <class T>
struct Simd {
  typedef T Vector __attribute__((vector_size(vector_bytes)));
  static constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));

  static Vector zero() { return Vector{}; }
  static Vector load(const T* x) {
    Vector v;
    std::memcpy(&v, x, sizeof v);
    return v;
  }
  static void store(T* y, Vector v) { std::memcpy(y, &v, sizeof v); }
  /// x[0 .. count) with zeros behind; nothing else is read.
  static Vector load(const T* x, int count);
  /// Writes the first `count` lanes and nothing else.
  static void store(T* y, Vector v, int count);
  /// a b + c, rounded once where the machine can, the same in every lane.
  static Vector fma(Vector a, Vector b, Vector c);
  /// sum = fma(a in every lane, b, sum), where AVX-512 takes a from memory on its way.
  static void add_product(const T& a, Vector b, Vector& sum) { sum = fma(all(a), b, sum); }
  /// v where it is above 0, else 0; NaN stays.
  static Vector relu(Vector v) { return v <= zero() ? zero() : v; }
  static Vector sqrt(Vector v);
  /// x in every lane. Without the zero, or with lane after lane, compilers do not see that it is a broadcast.
  static Vector all(T x) { return x - zero(); }
  /// Lane i of v in every lane.
  static Vector all(Vector v, int i) { return all(v[i]); }
};

#if defined(__AVX512F__)
template <>
inline Simd<float>::Vector Simd<float>::all(float x) {
  return _mm512_set1_ps(x);
}
template <>
inline Simd<float>::Vector Simd<float>::all(Vector v, int i) {
  // The masked one: g++ 12 warns of an undefined operand inside the other.
  return _mm512_mask_permutexvar_ps(v, 0xFFFF, _mm512_set1_epi32(i), v);
}
template <>
inline Simd<double>::Vector Simd<double>::all(double x) {
  return _mm512_set1_pd(x);
}
template <>
inline Simd<float>::Vector Simd<float>::load(const float* x, int count) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << count) - 1), x);
}
template <>
inline Simd<double>::Vector Simd<double>::load(const double* x, int count) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1U << count) - 1), x);
}
template <>
inline void Simd<float>::store(float* y, Vector v, int count) {
  _mm512_mask_storeu_ps(y, static_cast<__mmask16>((1U << count) - 1), v);
}
template <>
inline void Simd<double>::store(double* y, Vector v, int count) {
  _mm512_mask_storeu_pd(y, static_cast<__mmask8>((1U << count) - 1), v);
}
template <>
inline Simd<float>::Vector Simd<float>::fma(Vector a, Vector b, Vector c) {
  return _mm512_fmadd_ps(a, b, c);
}
template <>
inline Simd<double>::Vector Simd<double>::fma(Vector a, Vector b, Vector c) {
  return _mm512_fmadd_pd(a, b, c);
}
template <>
inline void Simd<float>::add_product(const float& a, Vector b, Vector& sum) {
  // Compilers load an `a` that has two uses into a register first.
  asm("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(b), "m"(a));
}
template <>
inline Simd<float>::Vector Simd<float>::sqrt(Vector v) {
  return _mm512_mask_sqrt_ps(v, 0xFFFF, v);  // the masked one: as above
}
#elif defined(__AVX2__) && defined(__FMA__)
namespace detail {
// As a mask from element n on: 8 - n words that are on, and then none.
inline constexpr std::int32_t words_on[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
inline __m256i first_words(int count) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words_on + 8 - count));
}
}  // namespace detail
template <>
inline Simd<float>::Vector Simd<float>::load(const float* x, int count) {
  return _mm256_maskload_ps(x, detail::first_words(count));
}
template <>
inline Simd<double>::Vector Simd<double>::load(const double* x, int count) {
  return _mm256_maskload_pd(x, detail::first_words(2 * count));
}
template <>
inline void Simd<float>::store(float* y, Vector v, int count) {
  _mm256_maskstore_ps(y, detail::first_words(count), v);
}
template <>
inline void Simd<double>::store(double* y, Vector v, int count) {
  _mm256_maskstore_pd(y, detail::first_words(2 * count), v);
}
template <>
inline Simd<float>::Vector Simd<float>::fma(Vector a, Vector b, Vector c) {
  return _mm256_fmadd_ps(a, b, c);
}
template <>
inline Simd<double>::Vector Simd<double>::fma(Vector a, Vector b, Vector c) {
  return _mm256_fmadd_pd(a, b, c);
}
template <>
inline Simd<float>::Vector Simd<float>::sqrt(Vector v) {
  return _mm256_sqrt_ps(v);
}
#else
template <class T>
inline typename Simd<T>::Vector Simd<T>::load(const T* x, int count) {
  Vector v = {};
  for (int i = 0; i < count; ++i) v[i] = x[i];
  return v;
}
template <class T>
inline void Simd<T>::store(T* y, Vector v, int count) {
  for (int i = 0; i < count; ++i) y[i] = v[i];
}
template <class T>
inline typename Simd<T>::Vector Simd<T>::fma(Vector a, Vector b, Vector c) {
  return a * b + c;
}
template <class T>
inline typename Simd<T>::Vector Simd<T>::sqrt(Vector v) {
  for (int i = 0; i < lanes; ++i) v[i] = std::sqrt(v[i]);
  return v;
}
#endif

template <>
struct Simd<Dual> {
  using Vector = Dual;
  static constexpr int lanes = 1;

  static Dual zero() { return {}; }
  static Dual load(const Dual* x) { return *x; }
  static void store(Dual* y, Dual v) { *y = v; }
  static Dual load(const Dual* x, int count) { return count > 0 ? *x : Dual(); }
  static void store(Dual* y, Dual v, int count) {
    if (count > 0) *y = v;
  }
  static Dual fma(Dual a, Dual b, Dual c) { return c + a * b; }
  static void add_product(const Dual& a, Dual b, Dual& sum) { sum = fma(a, b, sum); }
  static Dual relu(Dual v) { return v <= zero() ? zero() : v; }
  static Dual all(Dual x) { return x; }
};

/// Keeps a loaded vector in its register: compilers like to load it again for each of its uses.
template <class V>
inline void keep([[maybe_unused]] V& v) {
#if defined(__x86_64__)
  if constexpr (sizeof(V) == vector_bytes && vector_bytes >= 32) asm("" : "+v"(v));
#endif
}

// Vectors are passed by reference throughout: by value, the calling convention would depend on the machine.
namespace detail {

template <int first, class V, class Half, int... lane>
inline void take_half(const V& x, Half& to, std::integer_sequence<int, lane...>) {
  to = __builtin_shufflevector(x, x, (first + lane)...);
}

template <class T, int lanes, class V, class Join>
inline T join_halves(const V& x, Join join) {
  if constexpr (lanes == 1) {
    return x;
  } else if constexpr (lanes == 2) {
    return join(x[0], x[1]);
  } else {
    constexpr int half = lanes / 2;
    using Half [[gnu::vector_size(half * sizeof(T))]] = T;
    Half low, high;
    take_half<0>(x, low, std::make_integer_sequence<int, half>{});
    take_half<half>(x, high, std::make_integer_sequence<int, half>{});
    const Half both = join(low, high);
    return join_halves<T, half>(both, join);
  }
}

}  // namespace detail

/// All lanes of x joined two by two: those half a vector apart, then those a quarter apart, ... in ever
/// shorter vectors, which take less time.
template <class T, class Join>
inline T join_lanes(const typename Simd<T>::Vector& x, Join join) {
  return detail::join_halves<T, Simd<T>::lanes>(x, join);
}

}  // namespace reel::kernels
