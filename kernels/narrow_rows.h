#pragma once

#include <cstdint>

#include "kernels/lanes.h"

// Blocks of short rows, turned over so that a loop over the rows is vector code. What comes out has the bits
// that the loops of lanes.h give for each row alone.

namespace reel::kernels {

/// Rows that are worth turning over; sum_columns adds up no longer ones.
template <class T>
inline constexpr std::int64_t narrow = detail::lanes<T>;

/// turned [cols, rows] = the transpose of x [rows, cols].
template <class T>
inline void turn(const T* x, std::int64_t rows, std::int64_t cols, T* turned) {
  for (std::int64_t c = 0; c < cols; ++c) {
    for (std::int64_t r = 0; r < rows; ++r) turned[c * rows + r] = x[r * cols + c];
  }
}

/// x [rows, cols] (+)= the transpose of turned [cols, rows].
template <class T>
inline void turn_back(const T* turned, std::int64_t rows, std::int64_t cols, Into<T> x) {
  for (std::int64_t r = 0; r < rows; ++r) {
    write(x, r * cols, cols, [=](std::int64_t c) { return turned[c * rows + r]; });
  }
}

/// most [rows] = the largest of each column of turned [cols, rows], as largest() finds it.
template <class T>
inline void largest_of_columns(const T* turned, std::int64_t rows, std::int64_t cols, T* most) {
  std::fill_n(most, rows, T(-std::numeric_limits<double>::infinity()));
  for (std::int64_t c = 0; c < cols; ++c) {
    const T* x = turned + c * rows;
    for (std::int64_t r = 0; r < rows; ++r) most[r] = x[r] > most[r] ? x[r] : most[r];
  }
}

/// sums [rows] = the sum of each column of turned [cols, rows], added in the order of sum_of(). Overwrites
/// turned.
template <class T>
inline void sum_columns(T* turned, std::int64_t rows, std::int64_t cols, T* sums) {
  for (std::int64_t half = narrow<T> / 2; half > 0; half /= 2) {
    for (std::int64_t c = 0; c < half && c + half < cols; ++c) {
      T* to = turned + c * rows;
      const T* from = turned + (c + half) * rows;
      for (std::int64_t r = 0; r < rows; ++r) to[r] += from[r];
    }
  }
  std::copy_n(turned, rows, sums);
}

}  // namespace reel::kernels
