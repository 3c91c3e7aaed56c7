#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "kernels/attention.h"
#include "kernels/dual.h"
#include "kernels/philox.h"

#if defined(__AVX512F__) || defined(__FMA__)
#include <immintrin.h>
#endif

// What the way forward and the way back of attention are made of: products of small tiles in which every
// element is one chain of fused multiply-adds in ascending order of the inner index, and copies of a head
// with rows or columns side by side.

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

template <class T>
inline std::int64_t padded(std::int64_t n) {
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

// How many vectors of a row are held at once: 4 rows of 4 fill half of 32 registers, 4 rows of 1 suit 16
// smaller ones.
#if defined(__AVX512F__)
inline constexpr int most_vectors = 4;
#else
inline constexpr int most_vectors = 1;
#endif

// c [R, V vectors] += a [R, depth] b [depth, V vectors]; a is read as its transpose [depth, R] if
// `transposed`.
template <class T, bool transposed, int R, int V>
inline void block(Matrix<const T> a, Matrix<const T> b, Matrix<T> c, std::int64_t first, std::int64_t last) {
  using Type = typename Vector<T>::Type;
  constexpr std::int64_t lanes = Vector<T>::lanes;
  Type sums[R][V];
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) std::memcpy(&sums[r][v], c.row(r) + v * lanes, sizeof(Type));
  }
  for (std::int64_t k = first; k < last; ++k) {
    Type right[V];
    for (int v = 0; v < V; ++v) std::memcpy(&right[v], b.row(k) + v * lanes, sizeof(Type));
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
inline void careful_block(Matrix<const T> a, Matrix<const T> b, Matrix<T> c, std::int64_t first,
                          std::int64_t last) {
  for (std::int64_t k = first; k < last; ++k) {
    const T left = transposed ? a.row(k)[0] : a.row(0)[k];
    if (is_unseen(left)) continue;
    block<T, transposed, 1, 1>(a, b, c, k, k + 1);
  }
}

template <class T, bool transposed, int R>
inline void rows_block(Matrix<const T> a, Matrix<const T> b, Matrix<T> c, const Extent& e) {
  constexpr std::int64_t lanes = Vector<T>::lanes;
  for (std::int64_t v = 0; v < e.vectors;) {
    const Matrix<const T> bv{b.data + v * lanes, b.stride};
    const Matrix<T> cv{c.data + v * lanes, c.stride};
    const std::int64_t left = e.vectors - v;
    if constexpr (most_vectors == 4) {
      if (left >= 3) {
        if constexpr (R == 8) {  // as many sums as registers hold
          const Matrix<const T> lower{transposed ? a.data + 4 : a.row(4), a.stride};
          if (left >= 4) {
            block<T, transposed, 4, 4>(a, bv, cv, e.first, e.last);
            block<T, transposed, 4, 4>(lower, bv, {cv.row(4), c.stride}, e.first, e.last);
          } else {
            block<T, transposed, 8, 3>(a, bv, cv, e.first, e.last);
          }
        } else if (left >= 4) {
          block<T, transposed, R, 4>(a, bv, cv, e.first, e.last);
        } else {
          block<T, transposed, R, 3>(a, bv, cv, e.first, e.last);
        }
        v += left >= 4 ? 4 : 3;
        continue;
      }
      if (left == 2) {
        block<T, transposed, R, 2>(a, bv, cv, e.first, e.last);
        v += 2;
        continue;
      }
    }
    block<T, transposed, R, 1>(a, bv, cv, e.first, e.last);
    v += 1;
  }
}

/// c [rows, vectors] += a b, where extent(first_row, last_row) says what a group of rows needs. With
/// `careful`, elements of a that are unseen() are left out, so that NaN on the other side does not matter.
template <class T, bool transposed, class ExtentOf>
inline void product(std::int64_t rows, Matrix<const T> a, Matrix<const T> b, Matrix<T> c, bool careful,
                    ExtentOf extent) {
  constexpr std::int64_t lanes = Vector<T>::lanes;
  const auto at = [&](std::int64_t r) {
    return Matrix<const T>{transposed ? a.data + r : a.row(r), a.stride};
  };
  if (careful) {
    for (std::int64_t r = 0; r < rows; ++r) {
      const Extent e = extent(r, r + 1);
      for (std::int64_t v = 0; v < e.vectors; ++v) {
        careful_block<T, transposed>(at(r), {b.data + v * lanes, b.stride}, {c.row(r) + v * lanes, c.stride},
                                     e.first, e.last);
      }
    }
    return;
  }
  std::int64_t r = 0;
  for (; r + 8 <= rows; r += 8)
    rows_block<T, transposed, 8>(at(r), b, {c.row(r), c.stride}, extent(r, r + 8));
  if (r + 4 <= rows) rows_block<T, transposed, 4>(at(r), b, {c.row(r), c.stride}, extent(r, r + 4)), r += 4;
  if (r + 2 <= rows) rows_block<T, transposed, 2>(at(r), b, {c.row(r), c.stride}, extent(r, r + 2)), r += 2;
  if (r < rows) rows_block<T, transposed, 1>(at(r), b, {c.row(r), c.stride}, extent(r, r + 1));
}

/// Memory of one thread that grows to what was ever asked for and is then used again.
template <class T>
class Workspace {
 public:
  /// Room for `count` elements in all, each piece rounded up to whole vectors.
  explicit Workspace(std::int64_t count) {
    if (count > held().count) {
      held().memory.reset(
          static_cast<T*>(::operator new(static_cast<std::size_t>(count) * sizeof(T), alignment)));
      held().count = count;
    }
    next_ = held().memory.get();
  }
  T* take(std::int64_t count) {
    T* piece = next_;
    next_ += padded<T>(count);
    return piece;
  }

 private:
  static constexpr std::align_val_t alignment{64};
  struct Free {
    void operator()(T* memory) const { ::operator delete(memory, alignment); }
  };
  struct Held {
    std::unique_ptr<T, Free> memory;
    std::int64_t count = 0;
  };
  static Held& held() {
    thread_local Held memory;
    return memory;
  }
  T* next_;
};

template <class T>
inline bool is_finite(T x) {
  return x - x == T(0);
}
template <>
inline bool is_finite(Dual x) {
  return x.value - x.value == 0 && x.tangent - x.tangent == 0;
}

/// Whether every element of rows [rows, columns] is a number.
template <class T>
inline bool all_finite(Matrix<const T> rows, std::int64_t count, std::int64_t columns) {
  bool good = true;
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t c = 0; c < columns; ++c) good &= is_finite(rows.row(i)[c]);
  }
  return good;
}

/// The rows with columns up to a whole vector, the additional ones 0: in place where they are so already.
template <class T>
inline Matrix<const T> whole_rows(Matrix<const T> rows, std::int64_t count, std::int64_t columns, T* room) {
  const std::int64_t width = padded<T>(columns);
  if (width == columns) return rows;
  for (std::int64_t i = 0; i < count; ++i) {
    T* to = room + i * width;
    for (std::int64_t c = 0; c < columns; ++c) to[c] = rows.row(i)[c];
    for (std::int64_t c = columns; c < width; ++c) to[c] = T(0);
  }
  return {room, width};
}

/// The transpose [columns, count], with count up to a whole vector, the additional ones 0.
template <class T>
inline Matrix<const T> transposed(Matrix<const T> rows, std::int64_t count, std::int64_t columns, T* room) {
  const std::int64_t width = padded<T>(count);
  constexpr std::int64_t lanes = Vector<T>::lanes;
  for (std::int64_t i = 0; i < count; i += lanes) {
    const std::int64_t some = count - i < lanes ? count - i : lanes;
    for (std::int64_t c = 0; c < columns; ++c) {
      T* to = room + c * width + i;
      for (std::int64_t l = 0; l < some; ++l) to[l] = rows.row(i + l)[c];
      for (std::int64_t l = some; l < lanes; ++l) to[l] = T(0);
    }
  }
  return {room, width};
}

/// What query i of head (b, h) may see.
template <class T>
struct Sight {
  Sight(const Attention<T>& p, std::int64_t b, std::int64_t h)
      : causal(p.causal),
        keys(p.keys),
        offset(p.keys - p.queries),
        mask(p.mask.data == nullptr ? nullptr : p.mask.data + b * p.mask.batch + h * p.mask.head),
        query_stride(p.mask.query),
        key_stride(p.mask.key) {}

  /// Keys from this one on are hidden from query i by the order of time.
  std::int64_t limit(std::int64_t i) const {
    if (!causal) return keys;
    const std::int64_t n = i + offset + 1;
    return n < 0 ? 0 : n < keys ? n : keys;
  }
  /// The first query that sees key j, if the order of time is all that hides.
  std::int64_t first_query(std::int64_t j) const { return causal ? j - offset : 0; }
  bool hides() const { return causal || mask != nullptr; }
  bool sees(std::int64_t i, std::int64_t j) const {
    return j < limit(i) && (mask == nullptr || mask[i * query_stride + j * key_stride] != 0);
  }
  /// row[j] = value for every j in [first, last) that query i does not see.
  void hide(std::int64_t i, std::int64_t first, std::int64_t last, T value, T* row) const {
    const std::int64_t end = limit(i) < first ? first : limit(i) < last ? limit(i) : last;
    if (mask != nullptr) {
      const std::uint8_t* m = mask + i * query_stride;
      for (std::int64_t j = first; j < end; ++j)
        row[j - first] = m[j * key_stride] != 0 ? row[j - first] : value;
    }
    for (std::int64_t j = end; j < last; ++j) row[j - first] = value;
  }

  bool causal;
  std::int64_t keys;
  std::int64_t offset;
  const std::uint8_t* mask;
  std::int64_t query_stride;
  std::int64_t key_stride;
};

/// factors[j - first] = 0 for the weights (i, j) that dropout takes away, 1 / (1 - dropout) for the others; j
/// in [first, first + n), `first` a multiple of 4. Four weights share a block of random words; the index of a
/// block depends on (b, h, i, j) alone.
template <class T>
inline void dropout_factors(const Attention<T>& p, std::int64_t b, std::int64_t h, std::int64_t i,
                            std::int64_t first, std::int64_t n, T* factors) {
  const Philox random(p.seed, p.stream);
  const auto threshold = static_cast<std::uint64_t>(p.dropout * 0x1p32);
  const T kept = T(1 / (1 - p.dropout));
  const std::int64_t start = ((b * p.heads + h) * p.queries + i) * ((p.keys + 3) / 4) + first / 4;
  for (std::int64_t j = 0; j < n; j += 4) {
    const auto words = random.block(static_cast<std::uint64_t>(start + j / 4), p.step);
    for (std::int64_t l = 0; l < 4 && j + l < n; ++l) {
      factors[j + l] = words[static_cast<std::size_t>(l)] < threshold ? T(0) : kept;
    }
  }
}

template <class T>
inline Matrix<T> head_of(const Heads<T>& x, std::int64_t b, std::int64_t h) {
  return {x.data + b * x.batch + h * x.head, x.time};
}

}  // namespace reel::kernels::tile
