#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "kernels/dual.h"
#include "kernels/simd.h"
#include "kernels/transpose.h"

// Products of small matrices in which every element is one chain of multiply-adds, fused where the processor
// can, in ascending order of the inner index: its bits do not depend on what stands beside it.

namespace reel::kernels::tile {

/// Numbers in 64 bytes, which is what rows are filled up to and what is summed across lanes: as many whatever
/// the machine, so that no order of a sum depends on it. Duals go one by one.
template <class T>
inline constexpr std::int64_t lanes_in_64 = 64 / static_cast<std::int64_t>(sizeof(T));
template <>
inline constexpr std::int64_t lanes_in_64<Dual> = 1;

template <class T>
inline constexpr std::int64_t padded(std::int64_t n) {
  constexpr std::int64_t lanes = lanes_in_64<T>;
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

/// The part of the inner index that a group of rows needs, and how many times 64 bytes of columns.
struct Extent {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t vectors = 0;
};

/// Rows go in groups of at most this many.
inline constexpr std::int64_t most_rows = 8;

/// How a product treats what stands in c, and what it reads of a.
struct Mode {
  bool fresh = false;    ///< c counts as 0
  bool careful = false;  ///< what is unseen() in a is left out: NaN on the other side does not matter
};

/// Keeps the sums of a product: in c, where the product adds to them.
template <class T>
struct Keep {
  Matrix<T> c;
  void operator()(std::int64_t row, std::int64_t column, const typename Simd<T>::Vector& sum) const {
    Simd<T>::store(c.row(row) + column, sum);
  }
};

/// Writes to [rows, columns] (+)= factor(row) sums, where sums go on to a whole vector.
///
/// Adding 0 makes one zero of two: which of them a sum ends at could depend on what was left out of it.
template <class T, class FactorOf>
struct Give {
  Matrix<T> to;
  std::int64_t columns;
  FactorOf factor;
  bool add;
  void operator()(std::int64_t row, std::int64_t column, const typename Simd<T>::Vector& sum) const {
    using S = Simd<T>;
    const auto x = sum * factor(row) + S::zero();
    T* const y = to.row(row) + column;
    if (const auto rest = columns - column; rest >= S::lanes) {
      S::store(y, add ? S::load(y) + x : x);
    } else if (rest > 0) {
      const auto count = static_cast<int>(rest);
      S::store(y, add ? S::load(y, count) + x : x, count);
    }
  }
};

template <class T, class FactorOf>
Give(Matrix<T>, std::int64_t, FactorOf, bool) -> Give<T, FactorOf>;  // clang 14 does not find it

/// Gives sums of nothing to `rows` rows.
template <class T, class FactorOf>
inline void give_zeros(std::int64_t rows, std::int64_t width, const Give<T, FactorOf>& give) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < width; c += Simd<T>::lanes) give(r, c, Simd<T>::zero());
  }
}

// The sums c [R, V registers] += a [R, depth] b [depth, V registers], of which done(row, column, sum) stores
// each; a is read as its transpose [depth, R] if `transposed`. Calls beside() for every step of the inner
// index. Row 0 and column 0 of c are `row` and `column` to done().
// Not inline: within long functions g++ stored the two vectors of b at every step, a tenth of attention's way
// back.
template <class T, bool transposed, int R, int V, class Beside, class Done>
[[gnu::noinline]] inline void block(Matrix<const T> a, Matrix<const T> b, Matrix<T> c, std::int64_t row,
                                    std::int64_t column, std::int64_t first, std::int64_t last, bool fresh,
                                    const Beside& beside, const Done& done) {
  using S = Simd<T>;
  typename S::Vector sums[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sums[r][v] = fresh ? S::zero() : S::load(c.row(r) + v * S::lanes);
  }
  for (std::int64_t k = first; k < last; ++k) {
    beside();
    typename S::Vector right[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      right[v] = S::load(b.row(k) + v * S::lanes);
      keep(right[v]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const T left = transposed ? a.row(k)[r] : a.row(r)[k];
      // A broadcast, in the one form that compilers see through.
      const typename S::Vector all = left - S::zero();
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sums[r][v] = S::fma(all, right[v], sums[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) done(row + r, column + v * S::lanes, sums[r][v]);
  }
}

// The same for one row and one register, leaving out what is marked unseen.
template <class T, bool transposed, class Beside, class Done>
inline void careful_block(Matrix<const T> a, Matrix<const T> b, Matrix<T> c, std::int64_t row,
                          std::int64_t column, const Extent& e, bool fresh, const Beside& beside,
                          const Done& done) {
  const Keep<T> keep_sum{c};
  if (fresh) block<T, transposed, 1, 1>(a, b, c, 0, 0, 0, 0, true, beside, keep_sum);
  for (std::int64_t k = e.first; k < e.last; ++k) {
    const T left = transposed ? a.row(k)[0] : a.row(0)[k];
    if (!is_unseen(left)) block<T, transposed, 1, 1>(a, b, c, 0, 0, k, k + 1, false, beside, keep_sum);
  }
  done(row, column, Simd<T>::load(c.data));
}

template <class T, bool transposed, int R, class Beside, class Done>
inline void rows_block(Matrix<const T> a, Matrix<const T> b, Matrix<T> c, std::int64_t row, const Extent& e,
                       bool fresh, const Beside& beside, const Done& done) {
  constexpr int most_sums = vector_registers * 3 / 4;  // the others hold what is multiplied
  constexpr std::int64_t lanes = Simd<T>::lanes;
  const std::int64_t registers = e.vectors * (lanes_in_64<T> / lanes);
  std::int64_t v = 0;
  const auto next = [&]<int V>(std::integral_constant<int, V>) {
    const std::int64_t column = v * lanes;
    const Matrix<const T> right{b.data + column, b.stride};
    const Matrix<T> to{c.data + column, c.stride};
    if constexpr (R * V > most_sums) {
      const Matrix<const T> lower{transposed ? a.data + R / 2 : a.row(R / 2), a.stride};
      block<T, transposed, R / 2, V>(a, right, to, row, column, e.first, e.last, fresh, beside, done);
      block<T, transposed, R / 2, V>(lower, right, {to.row(R / 2), c.stride}, row + R / 2, column, e.first,
                                     e.last, fresh, beside, done);
    } else {
      block<T, transposed, R, V>(a, right, to, row, column, e.first, e.last, fresh, beside, done);
    }
    v += V;
  };
  if constexpr (vector_registers == 32) {
    while (registers - v >= 4) next(std::integral_constant<int, 4>{});
    if (registers - v == 3) next(std::integral_constant<int, 3>{});
  }
  while (registers - v >= 2) next(std::integral_constant<int, 2>{});
  if (registers - v == 1) next(std::integral_constant<int, 1>{});
}

/// The sums c [rows, vectors] += a b, where extent(first_row, last_row) says what a group of rows needs;
/// done(row, column, sum) is called for each vector of them, to store it. Calls beside() for every step of
/// the inner index, so that memory can be prefetched beside the multiply-adds.
template <class T, bool transposed, class ExtentOf, class Beside, class Done>
inline void product(std::int64_t rows, Matrix<const T> a, Matrix<const T> b, Matrix<T> c, Mode mode,
                    ExtentOf extent, const Beside& beside, const Done& done) {
  constexpr std::int64_t lanes = Simd<T>::lanes;
  const auto at = [&](std::int64_t r) {
    return Matrix<const T>{transposed ? a.data + r : a.row(r), a.stride};
  };
  std::int64_t r = 0;
  if (mode.careful) {
    for (; r < rows; ++r) {
      const Extent e = extent(r, r + 1);
      for (std::int64_t v = 0; v < e.vectors * (lanes_in_64<T> / lanes); ++v) {
        careful_block<T, transposed>(at(r), {b.data + v * lanes, b.stride}, {c.row(r) + v * lanes, c.stride},
                                     r, v * lanes, e, mode.fresh, beside, done);
      }
    }
    return;
  }
  const auto group = [&]<int R>(std::integral_constant<int, R>) {
    rows_block<T, transposed, R>(at(r), b, {c.row(r), c.stride}, r, extent(r, r + R), mode.fresh, beside,
                                 done);
    r += R;
  };
  while (rows - r >= 8) group(std::integral_constant<int, 8>{});
  if (rows - r >= 4) group(std::integral_constant<int, 4>{});
  if (rows - r >= 2) group(std::integral_constant<int, 2>{});
  if (rows - r >= 1) group(std::integral_constant<int, 1>{});
}

/// The same, with the sums in c.
template <class T, bool transposed, class ExtentOf, class Beside>
inline void product(std::int64_t rows, Matrix<const T> a, Matrix<const T> b, Matrix<T> c, Mode mode,
                    ExtentOf extent, const Beside& beside) {
  product<T, transposed>(rows, a, b, c, mode, extent, beside, Keep<T>{c});
}

// ---- across lanes ----

/// lanes_in_64 sums, in as many registers as they take.
template <class T>
class Sums {
  using S = Simd<T>;

 public:
  /// Adds x [lanes_in_64].
  void add(const T* x) {
    for (int i = 0; i < registers; ++i) sums_[i] = sums_[i] + S::load(x + i * S::lanes);
  }
  /// Adds the products of x [n] and y [n].
  void add_products(const T* x, const T* y, std::int64_t n) {
    for (; n >= lanes_in_64<T>; n -= lanes_in_64<T>, x += lanes_in_64<T>, y += lanes_in_64<T>) {
      for (int i = 0; i < registers; ++i)
        sums_[i] = sums_[i] + S::load(x + i * S::lanes) * S::load(y + i * S::lanes);
    }
    for (int i = 0; i < registers && n > i * S::lanes; ++i) {
      const auto count = static_cast<int>(std::min<std::int64_t>(n - i * S::lanes, S::lanes));
      sums_[i] = sums_[i] + S::load(x + i * S::lanes, count) * S::load(y + i * S::lanes, count);
    }
  }
  /// All of it, joined two by two: far neighbours first.
  T total() const {
    Sums all = *this;
    for (int half = registers / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) all.sums_[i] = all.sums_[i] + all.sums_[i + half];
    }
    return join_lanes<T>(all.sums_[0], [](const auto& a, const auto& b) { return a + b; });
  }

 private:
  static constexpr int registers = static_cast<int>(lanes_in_64<T>) / S::lanes;
  typename S::Vector sums_[registers] = {};
};

/// The largest of x [n], n a multiple of lanes_in_64; -inf if there is none. If one is NaN, any of x.
template <class T>
inline T largest(const T* x, std::int64_t n) {
  using S = Simd<T>;
  auto best = S::all(T(-std::numeric_limits<double>::infinity()));
  for (std::int64_t j = 0; j < n; j += S::lanes) {
    const auto other = S::load(x + j);
    best = other > best ? other : best;
  }
  return join_lanes<T>(best, [](const auto& a, const auto& b) { return b > a ? b : a; });
}

template <class Index, int... lane>
inline void number_lanes(Index& numbers, std::integer_sequence<int, lane...>) {
  numbers = Index{lane...};
}

/// row[j] = value for j from n to the end of n's 64 bytes.
template <class T>
inline void fill_tail(T* row, std::int64_t n, T value) {
  using S = Simd<T>;
  if constexpr (S::lanes > 1) {
    using Index = decltype(S::zero() < S::zero());
    using Number = std::remove_reference_t<decltype(Index{}[0])>;
    Index numbers;
    number_lanes(numbers, std::make_integer_sequence<int, S::lanes>{});
    for (std::int64_t j = n / S::lanes * S::lanes; j < padded<T>(n); j += S::lanes) {
      const auto x = S::load(row + j);
      S::store(row + j, numbers < static_cast<Number>(n - j) ? x : S::all(value));
    }
  }
}

/// row[j] = value from the end of n's 64 bytes on, for at least as many j as a group has rows, but not beyond
/// `width`.
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
  void see(const typename Simd<T>::Vector& x) { sum_ += x - x; }
  explicit operator bool() const {
    if constexpr (std::is_same_v<T, Dual>) {
      return sum_.value == 0 && sum_.tangent == 0;
    } else {
      bool finite = true;
      for (int l = 0; l < Simd<T>::lanes; ++l) finite = finite && sum_[l] == 0;
      return finite;
    }
  }

 private:
  typename Simd<T>::Vector sum_ = Simd<T>::zero();
};

/// Runs body(row, first column, columns) for every register of every row: all rows of the first columns, then
/// of the next. The last register may be in part beyond the columns, which the number says; it is a constant
/// otherwise.
template <class T, class Body>
inline void for_registers(std::int64_t rows, std::int64_t columns, Body body) {
  constexpr int lanes = Simd<T>::lanes;
  std::int64_t c = 0;
  for (; c + lanes <= columns; c += lanes) {
    for (std::int64_t r = 0; r < rows; ++r) body(r, c, std::integral_constant<int, lanes>{});
  }
  for (std::int64_t r = 0; r < rows && c < columns; ++r) body(r, c, static_cast<int>(columns - c));
}

template <class T>
inline typename Simd<T>::Vector load(const T* x, std::integral_constant<int, Simd<T>::lanes>) {
  return Simd<T>::load(x);
}
template <class T>
inline typename Simd<T>::Vector load(const T* x, int count) {
  return Simd<T>::load(x, count);
}
template <class T>
inline void store(T* y, const typename Simd<T>::Vector& x, std::integral_constant<int, Simd<T>::lanes>) {
  Simd<T>::store(y, x);
}
template <class T>
inline void store(T* y, const typename Simd<T>::Vector& x, int count) {
  Simd<T>::store(y, x, count);
}

/// Rows [count, columns] side by side, each up to a whole vector, the additional columns 0.
// Not inline: within a long function g++ kept its pointers in vector registers, at four times the time.
template <class T>
[[gnu::noinline]] inline Matrix<const T> packed_rows(Matrix<const T> rows, std::int64_t count,
                                                     std::int64_t columns, T* room, Finite<T>& all) {
  const Matrix<T> to{room, padded<T>(columns)};
  Finite<T> finite = all;  // of its own, so that it can stay in a register
  for (std::int64_t i = 0; i < count && to.stride > columns; ++i)
    std::fill(to.row(i) + columns, to.row(i) + to.stride, T(0));
  for_registers<T>(count, columns, [&](std::int64_t i, std::int64_t c, auto n) {
    const auto x = load(rows.row(i) + c, n);
    store(to.row(i) + c, x, n);
    finite.see(x);
  });
  all = finite;
  return {to.data, to.stride};
}

/// scale times the transpose [columns, count], with count up to a whole vector, the additional ones 0.
template <class T>
inline Matrix<const T> transposed(Matrix<const T> rows, std::int64_t count, std::int64_t columns, T scale,
                                  T* room) {
  constexpr std::int64_t lanes = Simd<T>::lanes;
  const Matrix<T> to{room, padded<T>(count)};
  for (std::int64_t i = 0; i < to.stride; i += lanes) {
    const std::int64_t some = i >= count ? 0 : count - i < lanes ? count - i : lanes;
    std::int64_t c = 0;
    if constexpr (lanes > 1) {
      for (; some == lanes && c + lanes <= columns; c += lanes) {
        turn_square<T>(SquareRows<T>(rows.row(i) + c, rows.stride),
                       [&](int k, const auto& column) { Simd<T>::store(to.row(c + k) + i, column * scale); });
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
