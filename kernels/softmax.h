#pragma once

#include <cstdint>

#include "kernels/into.h"

// Softmax and what is made of it. Matrices are [rows, cols], row-major. The true maximum of a row is always
// subtracted, so that no exponential overflows (Goodfellow, Bengio, Courville 2016, section 4.1).

namespace reel::kernels {

/// y = e^(scale x) / sum e^(scale x) for every row. Returns the first row that is -inf everywhere, which has
/// no softmax, or -1.
template <class T>
std::int64_t softmax(const T* x, std::int64_t rows, std::int64_t cols, T scale, T* y);
/// dx (+)= scale y (dy - sum dy y).
template <class T>
void softmax_grad(const T* y, const T* dy, std::int64_t rows, std::int64_t cols, T scale, Into<T> dx);

/// y = scale x - log sum e^(scale x). Returns as softmax does.
template <class T>
std::int64_t log_softmax(const T* x, std::int64_t rows, std::int64_t cols, T scale, T* y);
/// dx (+)= scale (dy - e^y sum dy).
template <class T>
void log_softmax_grad(const T* y, const T* dy, std::int64_t rows, std::int64_t cols, T scale, Into<T> dx);

// The gradients below need log sum e^x of each row to the digits that its softmax has, for rows of any size.
// A single number has them not: `kept` [rows, 2] is the largest number m of the row, and log sum e^(x - m).

/// y [rows] = log sum e^x; -inf for a row that is -inf everywhere, inf for one with an inf.
template <class T>
void logsumexp(const T* x, std::int64_t rows, std::int64_t cols, T* y, T* kept);
/// dx (+)= dy e^(x - y); 0 where y is -inf, dy shared by the elements that are inf where y is inf.
template <class T>
void logsumexp_grad(const T* x, const T* kept, const T* dy, std::int64_t rows, std::int64_t cols, Into<T> dx);

/// What the cross-entropy of logits and labels depends on besides the logits.
struct CrossEntropy {
  std::int64_t rows, cols;
  const std::int32_t* labels;  // [rows], in [0, cols) or ignore_index
  std::int32_t ignore_index;
  double label_smoothing;  // how much of a target is spread evenly over all classes (Szegedy et al. 2016)
};

/// loss [rows] = -sum t log softmax(z) with t = (1 - s) one_hot(label) + s / cols; 0 for ignored rows.
/// Returns the first row that counts and is -inf everywhere, or -1.
template <class T>
std::int64_t cross_entropy(const CrossEntropy& ce, const T* logits, T* loss, T* kept);
/// dz (+)= scale_of_row (softmax(z) - t); 0 for ignored rows.
template <class T>
void cross_entropy_grad(const CrossEntropy& ce, const T* logits, const T* kept, const T* scale, Into<T> dz);

/// The same for targets [rows, cols]: loss = -sum t log softmax(z), t smoothed as above.
template <class T>
std::int64_t soft_cross_entropy(const T* logits, const T* targets, std::int64_t rows, std::int64_t cols,
                                double smoothing, T* loss, T* kept);
/// dz (+)= scale (softmax(z) sum t - t);  dt (+)= -(1 - s) scale log softmax(z).
template <class T>
void soft_cross_entropy_grad(const T* logits, const T* targets, std::int64_t rows, std::int64_t cols,
                             double smoothing, const T* kept, const T* scale, Into<T> dz, Into<T> dt);

}  // namespace reel::kernels
