#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "kernels/dual.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

// Products of small matrices in which every element is one chain of fused multiply-adds in ascending order of
// the inner index: its bits do not depend on what stands beside it.

namespace reel::kernels::tile {

/// A vector of 64 bytes whatever the machine, so that no bit depends on the machine's vectors. Duals go one
/// by one.
template <class T>
struct Vector;
template <>
struct Vector<float> {
  typedef float Type __attribute__((vector_size(64)));
  static constexpr std::int64_t lanes = 16;
};
template <>
struct Vector<double> {
  typedef double Type __attribute__((vector_size(64)));
  static constexpr std::int64_t lanes = 8;
};
template <>
struct Vector<Dual> {
  using Type = Dual;
  static constexpr std::int64_t lanes = 1;
};

inline void multiply_add(float a, const Vector<float>::Type& b, Vector<float>::Type& c) {
#if defined(__AVX512F__)
  c = _mm512_fmadd_ps(_mm512_set1_ps(a), b, c);
#else
  for (int l = 0; l < 16; ++l) c[l] = std::fma(a, b[l], c[l]);
#endif
}
inline void multiply_add(double a, const Vector<double>::Type& b, Vector<double>::Type& c) {
#if defined(__AVX512F__)
  c = _mm512_fmadd_pd(_mm512_set1_pd(a), b, c);
#else
  for (int l = 0; l < 8; ++l) c[l] = std::fma(a, b[l], c[l]);
#endif
}
inline void multiply_add(Dual a, const Dual& b, Dual& c) { c += a * b; }

/// Keeps a vector in a register: compilers like to load it again for each of its uses, and there is one load
/// for every product already.
template <class V>
inline void hold([[maybe_unused]] V& x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64) asm("" : "+v"(x));
#endif
}

template <class T>
inline constexpr std::int64_t padded(std::int64_t n) {
  constexpr std::int64_t lanes = Vector<T>::lanes;
  return (n + lanes - 1) / lanes * lanes;
}

/// The weight of a key that a query does not see, where the other factor may be NaN: a product leaves it out.
/// No other weight is the negative zero.
template <class T>
inline T unseen() {
  return T(-0.0);
}
template <class T>
inline bool is_unseen(T weight) {
  const double w = static_cast<double>(weight);
  return w == 0 && std::signbit(w);
}

/// A matrix in memory, read or written as rows.
template <class T>
struct Matrix {
  T* data = nullptr;
  std::int64_t stride = 0;  // from row to row
  T* row(std::int64_t i) const { return data + i * stride; }
};

/// The part of the inner index that a group of rows needs, and the vectors of columns.
struct Extent {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t vectors = 0;
};

/// Rows go in groups of at most this many.
inline constexpr std::int64_t most_rows = 8;

// How many vectors of a row are held at once: 4 rows of 4 fill half of 32 registers, 4 rows of 1 suit 16
// smaller ones.
#if defined(__AVX512F__)
inline constexpr int most_vectors = 4;
#else
inline constexpr int most_vectors = 1;
#endif

/// How a product treats what stands in c, and what it reads of a.
struct Mode {
  bool fresh = false;  ///< c counts as 0
  bool careful =
      false;  ///< elements of a that are unseen() are left out, so that NaN on the other side does not matter
};

// c [R, V vectors] += a [R, depth] b [depth, V vectors]; a is read as its transpose [depth, R] if
// `transposed`.
template <class T, bool transposed, int R, int V>
inline void block(Matrix<const T> a, Matrix<const T> b, Matrix<T> c, std::int64_t first, std::int64_t last,
                  bool fresh) {
  using Type = typename Vector<T>::Type;
  constexpr std::int64_t lanes = Vector<T>::lanes;
  Type sums[R][V];
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) {
      if (fresh) {
        sums[r][v] = Type{};
      } else {
        std::memcpy(&sums[r][v], c.row(r) + v * lanes, sizeof(Type));
      }
    }
  }
  for (std::int64_t k = first; k < last; ++k) {
    Type right[V];
    for (int v = 0; v < V; ++v) {
      std::memcpy(&right[v], b.row(k) + v * lanes, sizeof(Type));
      hold(right[v]);
    }
    for (int r = 0; r < R; ++r) {
      const T left = transposed ? a.row(k)[r] : a.row(r)[k];
      for (int v = 0; v < V; ++v) multiply_add(left, right[v], sums[r][v]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) std::memcpy(c.row(r) + v * lanes, &sums[r][v], sizeof(Type));
  }
}

// The same for one row and one vector, leaving out what is marked unseen.
template <class T, bool transposed>
inline void careful_block(Matrix<const T> a, Matrix<const T> b, Matrix<T> c, const Extent& e, bool fresh) {
  if (fresh) block<T, transposed, 1, 1>(a, b, c, 0, 0, true);
  for (std::int64_t k = e.first; k < e.last; ++k) {
    const T left = transposed ? a.row(k)[0] : a.row(0)[k];
    if (!is_unseen(left)) block<T, transposed, 1, 1>(a, b, c, k, k + 1, false);
  }
}

template <class T, bool transposed, int R>
inline void rows_block(Matrix<const T> a, Matrix<const T> b, Matrix<T> c, const Extent& e, bool fresh) {
  constexpr std::int64_t lanes = Vector<T>::lanes;
  std::int64_t v = 0;
  const auto next = [&]<int V>(std::integral_constant<int, V>) {
    const Matrix<const T> right{b.data + v * lanes, b.stride};
    const Matrix<T> to{c.data + v * lanes, c.stride};
    if constexpr (R * V > 24) {  // more sums than there are registers
      const Matrix<const T> lower{transposed ? a.data + R / 2 : a.row(R / 2), a.stride};
      block<T, transposed, R / 2, V>(a, right, to, e.first, e.last, fresh);
      block<T, transposed, R / 2, V>(lower, right, {to.row(R / 2), c.stride}, e.first, e.last, fresh);
    } else {
      block<T, transposed, R, V>(a, right, to, e.first, e.last, fresh);
    }
    v += V;
  };
  if constexpr (most_vectors == 4) {
    while (e.vectors - v >= 4) next(std::integral_constant<int, 4>{});
    if (e.vectors - v == 3) next(std::integral_constant<int, 3>{});
    if (e.vectors - v == 2) next(std::integral_constant<int, 2>{});
  }
  while (v < e.vectors) next(std::integral_constant<int, 1>{});
}

/// c [rows, vectors] += a b, where extent(first_row, last_row) says what a group of rows needs.
template <class T, bool transposed, class ExtentOf>
inline void product(std::int64_t rows, Matrix<const T> a, Matrix<const T> b, Matrix<T> c, Mode mode,
                    ExtentOf extent) {
  constexpr std::int64_t lanes = Vector<T>::lanes;
  const auto at = [&](std::int64_t r) {
    return Matrix<const T>{transposed ? a.data + r : a.row(r), a.stride};
  };
  std::int64_t r = 0;
  if (mode.careful) {
    for (; r < rows; ++r) {
      const Extent e = extent(r, r + 1);
      for (std::int64_t v = 0; v < e.vectors; ++v) {
        careful_block<T, transposed>(at(r), {b.data + v * lanes, b.stride}, {c.row(r) + v * lanes, c.stride},
                                     e, mode.fresh);
      }
    }
    return;
  }
  const auto group = [&]<int R>(std::integral_constant<int, R>) {
    rows_block<T, transposed, R>(at(r), b, {c.row(r), c.stride}, extent(r, r + R), mode.fresh);
    r += R;
  };
  while (rows - r >= 8) group(std::integral_constant<int, 8>{});
  if (rows - r >= 4) group(std::integral_constant<int, 4>{});
  if (rows - r >= 2) group(std::integral_constant<int, 2>{});
  if (rows - r >= 1) group(std::integral_constant<int, 1>{});
}

// ---- lanes of one vector ----

template <int distance, class V, int... lane>
inline V from_neighbours(const V& x, std::integer_sequence<int, lane...>) {
  return __builtin_shufflevector(x, x, (lane ^ distance)...);
}

/// The sum of all lanes, joined two by two: far neighbours first.
template <class T>
inline T sum_of_lanes(const typename Vector<T>::Type& x) {
  constexpr int lanes = static_cast<int>(Vector<T>::lanes);
  if constexpr (lanes == 1) {
    return x;
  } else {
    using All = std::make_integer_sequence<int, lanes>;
    auto sum = x;
    if constexpr (lanes >= 16) sum += from_neighbours<8>(sum, All{});
    sum += from_neighbours<4>(sum, All{});
    sum += from_neighbours<2>(sum, All{});
    sum += from_neighbours<1>(sum, All{});
    return sum[0];
  }
}
/// The largest of all lanes; where a NaN stands, any of them.
template <class T>
inline T largest_of_lanes(const typename Vector<T>::Type& x) {
  constexpr int lanes = static_cast<int>(Vector<T>::lanes);
  if constexpr (lanes == 1) {
    return x;
  } else {
    using All = std::make_integer_sequence<int, lanes>;
    auto best = x;
    const auto join = [&](const auto& other) { best = other > best ? other : best; };
    if constexpr (lanes >= 16) join(from_neighbours<8>(best, All{}));
    join(from_neighbours<4>(best, All{}));
    join(from_neighbours<2>(best, All{}));
    join(from_neighbours<1>(best, All{}));
    return best[0];
  }
}

template <class Index, int... lane>
inline Index lane_numbers(std::integer_sequence<int, lane...>) {
  return Index{lane...};
}

/// row[j] = value for j from n to the end of n's vector.
template <class T>
inline void fill_tail(T* row, std::int64_t n, T value) {
  constexpr std::int64_t lanes = Vector<T>::lanes;
  if constexpr (lanes > 1) {
    using Type = typename Vector<T>::Type;
    using Index = decltype(Type{} < Type{});
    using Number = std::remove_reference_t<decltype(Index{}[0])>;
    const std::int64_t first = n / lanes * lanes;
    if (first == n) return;
    Type x;
    std::memcpy(&x, row + first, sizeof(Type));
    x = lane_numbers<Index>(std::make_integer_sequence<int, lanes>{}) < static_cast<Number>(n - first)
            ? x
            : Type{} + value;
    std::memcpy(row + first, &x, sizeof(Type));
  }
}

/// row[j] = value for as many j as a group has rows, from the end of n's vector on, but not beyond `width`.
template <class T>
inline void fill_after(T* row, std::int64_t n, std::int64_t width, T value) {
  constexpr std::int64_t reach = padded<T>(most_rows);
  T* from = row + padded<T>(n);
  if (padded<T>(n) + reach <= width) {
    for (std::int64_t j = 0; j < reach; ++j) from[j] = value;
  } else {
    for (; from < row + width; ++from) *from = value;
  }
}

// ---- copies ----

/// Whether all numbers seen so far are finite: keeps sums of x - x, which is 0 or NaN.
template <class T>
class Finite {
 public:
  void see(const typename Vector<T>::Type& x) { sum_ += x - x; }
  explicit operator bool() const {
    const T sum = sum_of_lanes<T>(sum_);
    if constexpr (Vector<T>::lanes == 1)
      return sum.value == 0 && sum.tangent == 0;
    else
      return sum == T(0);
  }

 private:
  typename Vector<T>::Type sum_ = {};
};

/// Rows [count, columns] side by side, each up to a whole vector, the additional columns 0.
template <class T>
inline Matrix<const T> packed_rows(Matrix<const T> rows, std::int64_t count, std::int64_t columns, T* room,
                                   Finite<T>& finite) {
  using Type = typename Vector<T>::Type;
  constexpr std::int64_t lanes = Vector<T>::lanes;
  const std::int64_t width = padded<T>(columns);
  for (std::int64_t i = 0; i < count; ++i) {
    const T* from = rows.row(i);
    T* to = room + i * width;
    std::int64_t c = 0;
    Type x;
    for (; c + lanes <= columns; c += lanes) {
      std::memcpy(&x, from + c, sizeof(Type));
      std::memcpy(to + c, &x, sizeof(Type));
      finite.see(x);
    }
    if (c == columns) continue;
    for (; c < columns; ++c) to[c] = from[c];
    for (; c < width; ++c) to[c] = T(0);
    std::memcpy(&x, to + width - lanes, sizeof(Type));
    finite.see(x);
  }
  return {room, width};
}

// Of two vectors, blocks of `distance` lanes: the even ones of both, or the odd ones.
template <int distance, bool odd, class V, int... lane>
inline V exchanged(const V& a, const V& b, std::integer_sequence<int, lane...>) {
  constexpr int lanes = static_cast<int>(sizeof...(lane));
  return __builtin_shufflevector(
      a, b,
      ((lane & distance) == 0 ? (odd ? lane + distance : lane) : lanes + (odd ? lane : lane - distance))...);
}

template <int distance, class V, int lanes>
inline void exchange(V (&rows)[lanes]) {
  using All = std::make_integer_sequence<int, lanes>;
  for (int i = 0; i < lanes; ++i) {
    if ((i & distance) != 0) continue;
    const V upper = exchanged<distance, false>(rows[i], rows[i + distance], All{});
    rows[i + distance] = exchanged<distance, true>(rows[i], rows[i + distance], All{});
    rows[i] = upper;
  }
}

// A square of one vector's lanes, turned over by exchanging halves, quarters, ...
template <class T>
inline void transpose_square(Matrix<const T> from, T scale, Matrix<T> to) {
  using Type = typename Vector<T>::Type;
  constexpr int lanes = static_cast<int>(Vector<T>::lanes);
  Type rows[lanes];
  for (int i = 0; i < lanes; ++i) {
    std::memcpy(&rows[i], from.row(i), sizeof(Type));
    rows[i] *= scale;
  }
  if constexpr (lanes >= 16) exchange<8>(rows);
  exchange<4>(rows);
  exchange<2>(rows);
  exchange<1>(rows);
  for (int i = 0; i < lanes; ++i) std::memcpy(to.row(i), &rows[i], sizeof(Type));
}

/// scale times the transpose [columns, count], with count up to a whole vector, the additional ones 0.
template <class T>
inline Matrix<const T> transposed(Matrix<const T> rows, std::int64_t count, std::int64_t columns, T scale,
                                  T* room) {
  constexpr std::int64_t lanes = Vector<T>::lanes;
  const Matrix<T> to{room, padded<T>(count)};
  for (std::int64_t i = 0; i < count; i += lanes) {
    const std::int64_t some = count - i < lanes ? count - i : lanes;
    std::int64_t c = 0;
    if constexpr (most_vectors == 4 && lanes > 1) {
      for (; some == lanes && c + lanes <= columns; c += lanes) {
        transpose_square<T>({rows.row(i) + c, rows.stride}, scale, {to.row(c) + i, to.stride});
      }
    }
    for (; c < columns; ++c) {
      for (std::int64_t l = 0; l < some; ++l) to.row(c)[i + l] = rows.row(i + l)[c] * scale;
      for (std::int64_t l = some; l < lanes; ++l) to.row(c)[i + l] = T(0);
    }
  }
  return {to.data, to.stride};
}

}  // namespace reel::kernels::tile
