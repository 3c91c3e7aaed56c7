#pragma once

#include <cstdint>

#include "kernels/into.h"

// Reductions. Matrices are [rows, cols], row-major; a row kernel gives one number per row, y [rows].
// All run in an order that follows from the shape alone.

namespace reel::kernels {

/// The sum of x [n].
template <class T>
T sum(const T* x, std::int64_t n);

/// y [outer, inner] (+)= sum of x [outer, size, inner] over the middle.
template <class T>
void sum_axis(const T* x, std::int64_t outer, std::int64_t size, std::int64_t inner, Into<T> y);

/// The largest element of every row; NaN if the row has one. Rows must not be empty.
template <class T>
void row_max(const T* x, std::int64_t rows, std::int64_t cols, T* y);
template <class T>
void row_min(const T* x, std::int64_t rows, std::int64_t cols, T* y);
/// dx (+)= dy at the first element that equals y, 0 elsewhere.
template <class T>
void row_extreme_grad(const T* x, const T* y, const T* dy, std::int64_t rows, std::int64_t cols, Into<T> dx);

/// y = sum (x - m)^2 / (cols - correction) with m the mean of the row. Two passes (Chan, Golub, LeVeque
/// 1983).
template <class T>
void row_var(const T* x, std::int64_t rows, std::int64_t cols, std::int64_t correction, T* y);
template <class T>
void row_var_grad(const T* x, const T* dy, std::int64_t rows, std::int64_t cols, std::int64_t correction,
                  Into<T> dx);

/// y = sqrt(sum x^2). The squares cannot overflow: they are summed in a wider type or scaled.
template <class T>
void row_norm(const T* x, std::int64_t rows, std::int64_t cols, T* y);
/// dx (+)= dy x / y, and 0 where y is 0.
template <class T>
void row_norm_grad(const T* x, const T* y, const T* dy, std::int64_t rows, std::int64_t cols, Into<T> dx);

/// y [rows, cols]: y_i = x_0 + ... + x_i.
template <class T>
void row_cumsum(const T* x, std::int64_t rows, std::int64_t cols, T* y);
/// dx_i (+)= dy_i + ... + dy_(cols-1).
template <class T>
void row_cumsum_grad(const T* dy, std::int64_t rows, std::int64_t cols, Into<T> dx);

}  // namespace reel::kernels
