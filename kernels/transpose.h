#pragma once

#include <cstdint>
#include <utility>

#include "kernels/simd.h"

// A square of as many rows as a register has lanes, turned over on its way through registers.

namespace reel::kernels {

/// How many numbers are 16 bytes, within which shuffles are cheap, and how many 16 bytes a register has.
template <class T>
inline constexpr int lanes_in_16 = 16 / static_cast<int>(sizeof(T));
template <class T>
inline constexpr int times_16 = Simd<T>::lanes / lanes_in_16<T>;

namespace detail {

// Within every 16 bytes, the lower (or upper) half of a and of b: of both in turn, in pieces of `piece`
// lanes.
template <int piece, bool upper, int within, class V, int... lane>
inline void zip(const V& a, const V& b, V& to, std::integer_sequence<int, lane...>) {
  constexpr int lanes = static_cast<int>(sizeof...(lane));
  to = __builtin_shufflevector(
      a, b,
      (lane / within * within + (upper ? within / 2 : 0) + lane % within / (2 * piece) * piece +
       lane % piece + (lane / piece % 2 == 1 ? lanes : 0))...);
}

// 16 bytes of each of times_16 rows, side by side.
template <class T, class Row>
inline typename Simd<T>::Vector side_by_side(Row row) {
#if defined(__AVX512F__)
  const auto load = [&](int i) { return _mm_loadu_ps(reinterpret_cast<const float*>(row(i))); };
  // Halves: to put 16 bytes into a register twice as long takes a shuffling unit twice as long (Zen 4).
  const auto half = [&](int i) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(load(i)), load(i + 1), 1);
  };
  const __m512 v = _mm512_insertf32x8(_mm512_castps256_ps512(half(0)), half(2), 1);
  return reinterpret_cast<typename Simd<T>::Vector>(v);
#elif defined(__AVX2__) && defined(__FMA__)
  const auto load = [&](int i) { return _mm_loadu_ps(reinterpret_cast<const float*>(row(i))); };
  const __m256 v = _mm256_insertf128_ps(_mm256_castps128_ps256(load(0)), load(1), 1);
  return reinterpret_cast<typename Simd<T>::Vector>(v);
#else
  return Simd<T>::load(row(0));
#endif
}

}  // namespace detail

/// columns[k] = number k of each of as many rows as a register has lanes, for the numbers in the first 16
/// bytes of a row; row(i) is the beginning of row i. They are loaded straight to their place in a register;
/// what is left to do is a transposition within 16 bytes.
template <class T, class Row>
inline void turn_columns(Row row, typename Simd<T>::Vector (&columns)[lanes_in_16<T>]) {
  using V = typename Simd<T>::Vector;
  using All = std::make_integer_sequence<int, Simd<T>::lanes>;
  constexpr int within = lanes_in_16<T>;
  V x[within];
#pragma GCC unroll 4
  for (int j = 0; j < within; ++j)
    x[j] = detail::side_by_side<T>([&](int piece) { return row(within * piece + j); });
  const auto zip = [](auto piece, auto upper, const V& a, const V& b, V& to) {
    detail::zip<piece.value, upper.value, within>(a, b, to, All{});
  };
  constexpr std::integral_constant<int, 1> singles;
  constexpr std::false_type lower;
  constexpr std::true_type upper;
  if constexpr (within == 2) {
    zip(singles, lower, x[0], x[1], columns[0]);
    zip(singles, upper, x[0], x[1], columns[1]);
  } else {
    constexpr std::integral_constant<int, 2> pairs;
    V low01, high01, low23, high23;
    zip(singles, lower, x[0], x[1], low01);
    zip(singles, upper, x[0], x[1], high01);
    zip(singles, lower, x[2], x[3], low23);
    zip(singles, upper, x[2], x[3], high23);
    zip(pairs, lower, low01, low23, columns[0]);
    zip(pairs, upper, low01, low23, columns[1]);
    zip(pairs, lower, high01, high23, columns[2]);
    zip(pairs, upper, high01, high23, columns[3]);
  }
}

/// Calls take(k, column) with number k of each row of a square, for each k; row(i) is the beginning of row i.
template <class T, class Row, class Take>
inline void turn_square(Row row, Take take) {
  constexpr int within = lanes_in_16<T>;
#pragma GCC unroll 8
  for (int k = 0; k < Simd<T>::lanes; k += within) {
    typename Simd<T>::Vector columns[within];
    turn_columns<T>([&](int i) { return row(i) + k; }, columns);
#pragma GCC unroll 4
    for (int i = 0; i < within; ++i) take(k + i, columns[i]);
  }
}

/// The rows of a square that lie `stride` apart, with a pointer for the rows of each 16 bytes of a register:
/// so all their addresses fit into registers.
template <class T>
class SquareRows {
 public:
  SquareRows(const T* first, std::int64_t stride) : stride_(stride) {
    for (int piece = 0; piece < times_16<T>; ++piece)
      starts_[piece] = first + piece * lanes_in_16<T> * stride;
  }
  const T* operator()(int i) const { return starts_[i / lanes_in_16<T>] + i % lanes_in_16<T> * stride_; }

 private:
  std::int64_t stride_;
  const T* starts_[times_16<T>];
};

}  // namespace reel::kernels
