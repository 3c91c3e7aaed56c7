#pragma once

#include <cstdint>

#include "kernels/into.h"

namespace reel::kernels {

/// What floats are multiplied as; sums are always floats. Doubles and duals are always multiplied in full.
enum class Products : std::uint8_t {
  full,
  /// On processors with AMX, in products large enough (is_faster_in_pieces of matmul_bf16.h), each factor is
  /// taken as the sum of three bfloat16, and six of their nine products are added up: as exact as `full`,
  /// mostly more so, but for numbers next to 0 (matmul_bf16x6), and with other bits. Elsewhere it is `full`.
  bf16x6,
  /// Both factors are rounded to bfloat16 first (8 bits, to nearest even, subnormals to 0), which some
  /// processors multiply much faster.
  bf16,
};

/// C = op(A) op(B) + bias + addend, then max(C, 0) if `relu`; or C += op(A) op(B). Batched and row-major; C
/// overlaps none of the others.
template <class T>
struct Matmul {
  std::int64_t m = 0, n = 0, k = 0;  // C is [m, n], op(A) [m, k], op(B) [k, n]
  const T* a = nullptr;
  std::int64_t lda = 0;
  bool transpose_a = false;  // stored [m, k], or [k, m] if transposed
  const T* b = nullptr;
  std::int64_t ldb = 0;
  bool transpose_b = false;  // stored [k, n], or [n, k] if transposed
  Into<T> c = {};
  std::int64_t ldc = 0;
  // Used only when c.add is false:
  const T* bias = nullptr;    // [n], added to every row, or null
  const T* addend = nullptr;  // stored as C is, added last, or null
  bool relu = false;          // max(., 0) of the sum, where NaN stays NaN
  std::int64_t batch = 1, stride_a = 0, stride_b = 0,
               stride_c = 0;  // elements between the matrices of a batch
  Products products = Products::full;
};

/// Each element of C is a chain of fused multiply-adds in ascending k, cut into blocks of at most 512 whose
/// sums are added in order. Where the cuts lie follows from k alone: the bits of an element depend neither on
/// the other rows and columns nor on their number, nor on how the operands are stored, nor on threads. So a
/// row computed alone, as a key-value cache does, is the row that training computes. k = 0 gives the bias, or
/// 0. (`Products::bf16` may add up in another order, see matmul_bf16.h; all else holds. So may
/// `Products::bf16x6`, and whether it does depends on m, n and k.)
/// Throws std::bad_alloc.
template <class T>
void matmul(const Matmul<T>& p);

/// out [n] (+)= sum over the rows of x [rows, n]: the gradient of a bias.
template <class T>
void sum_rows(const T* x, std::int64_t rows, std::int64_t n, Into<T> out);

}  // namespace reel::kernels
