#pragma once

#include <cstdint>

#include "kernels/into.h"

// Normalisation of rows. Matrices are [rows, cols], row-major. Rows like 40000..40003 or 1e30 come out right.

namespace reel::kernels {

/// Numbers per row that layer_norm leaves for its gradient: the mean in two parts, and the reciprocal
/// deviation.
inline constexpr std::int64_t layer_norm_saved = 3;

/// y = (x - m) / sqrt(v + epsilon) w + b with m, v the row's mean and variance (Ba, Kiros, Hinton 2016).
/// w, b [cols]; saved [rows, 3]. Floats are summed as floats, the mean in two passes (Chan, Golub, LeVeque
/// 1983); as doubles only where their squares could vanish or overflow.
template <class T>
void layer_norm(const T* x, const T* w, const T* b, std::int64_t rows, std::int64_t cols, double epsilon,
                T* y, T* saved);
/// With h = (x - m) / sqrt(v + epsilon) and g = dy w:  dx (+)= (g - mean g - h mean(g h)) / sqrt(v +
/// epsilon), dw (+)= sum of dy h over the rows, db (+)= sum of dy.
template <class T>
void layer_norm_grad(const T* x, const T* w, const T* saved, const T* dy, std::int64_t rows,
                     std::int64_t cols, Into<T> dx, Into<T> dw, Into<T> db);

/// y = x / sqrt(mean x^2 + epsilon) w (Zhang, Sennrich 2019). w [cols]; saved [rows], the reciprocal root.
template <class T>
void rms_norm(const T* x, const T* w, std::int64_t rows, std::int64_t cols, double epsilon, T* y, T* saved);
template <class T>
void rms_norm_grad(const T* x, const T* w, const T* saved, const T* dy, std::int64_t rows, std::int64_t cols,
                   Into<T> dx, Into<T> dw);

}  // namespace reel::kernels
