#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "kernels/simd.h"

// The inner loop of the matrix product: a tile of C that lives in registers while k runs.

namespace reel::kernels {

/// Most rows and vectors of a tile: with 32 registers 24 sums, 2 vectors of B and a few numbers of A fit;
/// with 16 of them 12 sums, 2 and 1.
inline constexpr int tile_rows = vector_registers == 32 ? 12 : 6;
inline constexpr int tile_vectors = 2;
template <class T>
inline constexpr int tile_columns = tile_vectors* Simd<T>::lanes;
/// Numbers from one row of packed A to the next: those of a tile, in whole vectors.
template <class T>
inline constexpr int packed_rows = (tile_rows + Simd<T>::lanes - 1) / Simd<T>::lanes* Simd<T>::lanes;

/// C [rows, columns] = base + A [rows, depth] B [depth, columns], where base is C itself, a bias, or 0; then
/// max(C, 0) if `relu`.
template <class T>
struct Tile {
  std::int64_t depth = 0;
  const T* a = nullptr;
  std::int64_t a_stride = 0;  // between rows if A is row-major, between columns if it is stored transposed
  const T* b = nullptr;
  std::int64_t b_stride = 0;
  T* packed_a = nullptr;  // [depth, packed_rows], where A stored transposed is copied to on the way, or null
  T* packed_b = nullptr;  // [depth, tile_columns], where B is copied to on the way, or null
  T* c = nullptr;
  std::int64_t c_stride = 0;
  int columns = 0;  // 1 .. tile_columns
  bool add = false;
  const T* bias = nullptr;  // [columns]; only without add
  bool relu = false;
};

namespace detail {

// Rows to ask for ahead while they are packed: too far apart for the hardware to see which comes next.
inline constexpr std::int64_t pack_a_ahead = 8, pack_b_ahead = 16;
// Eight rows do not bridge the way to the third cache, or to the second one of another thread. Columns of the
// tile after the next, in the row that is packed now, have longer to come.
inline constexpr std::int64_t pack_a_tiles_ahead = 2;

// Every element is one chain of fma in ascending k that starts at 0, in every variant of the tile: that is
// why the bits of an element depend neither on the tile it falls into nor on its neighbours.
template <class T, int rows, int vectors, bool transposed, bool whole, bool pack_a, bool pack_b>
void tile(const Tile<T>& t) {
  using S = Simd<T>;
  using Vector = typename S::Vector;
  constexpr int lanes = S::lanes;
  const int last = t.columns - (vectors - 1) * lanes;  // columns of the last vector
  const auto load = [last](const T* x, int v) {
    return whole || v + 1 < vectors ? S::load(x + v * lanes) : S::load(x + v * lanes, last);
  };

  Vector sums[rows][vectors];
#pragma GCC unroll 12
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v) sums[r][v] = S::zero();
  }
  // Row-major rows hang on a pointer for every three: so all their addresses fit into registers.
  constexpr int groups = (rows + 2) / 3;
  const T* a[groups];
#pragma GCC unroll 4
  for (int g = 0; g < groups; ++g) a[g] = t.a + (transposed ? 3 * g : 3 * g * t.a_stride);
  const std::int64_t stride = t.a_stride;
  const T* b = t.b;
  const std::int64_t b_stride = t.b_stride;
  T* packed_a = t.packed_a;
  T* packed_b = t.packed_b;
  const auto step = [&](int ahead) __attribute__((always_inline)) {
    Vector right[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      if constexpr (pack_b) __builtin_prefetch(b + pack_b_ahead * b_stride + v * lanes);
      right[v] = load(b, v);
      keep(right[v]);
      if constexpr (pack_b) S::store(packed_b + v * lanes, right[v]);
    }
    b += b_stride;
    if constexpr (pack_b) packed_b += tile_columns<T>;
    if constexpr (pack_a) {
      __builtin_prefetch(a[0] + pack_a_ahead * stride + rows - 1);
      __builtin_prefetch(a[0] + pack_a_tiles_ahead * rows + rows - 1, 0, 2);
#pragma GCC unroll 12
      for (int r = 0; r < rows; r += lanes) {
        S::store(packed_a + r, rows - r < lanes ? S::load(a[0] + r, rows - r) : S::load(a[0] + r));
      }
      packed_a += packed_rows<T>;
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
      const Vector left =
          S::all(transposed ? a[0][r] : a[r / 3][static_cast<std::int64_t>(r % 3) * stride + ahead]);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sums[r][v] = S::fma(left, right[v], sums[r][v]);
    }
    if constexpr (transposed) a[0] += stride;
  };
  std::int64_t k = t.depth;
  for (; k >= 4; k -= 4) {
    step(0);
    step(1);
    step(2);
    step(3);
    if constexpr (!transposed) {
#pragma GCC unroll 4
      for (int g = 0; g < groups; ++g) a[g] += 4;
    }
  }
  for (; k > 0; --k) {
    step(0);
    if constexpr (!transposed) {
#pragma GCC unroll 4
      for (int g = 0; g < groups; ++g) a[g] += 1;
    }
  }
  if (t.bias != nullptr) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      const Vector bias = load(t.bias, v);
#pragma GCC unroll 12
      for (int r = 0; r < rows; ++r) sums[r][v] = sums[r][v] + bias;
    }
  }
  T* c = t.c;
#pragma GCC unroll 12
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      if (t.add) sums[r][v] = load(c, v) + sums[r][v];
      if (t.relu) sums[r][v] = S::relu(sums[r][v]);
      if (whole || v + 1 < vectors) {
        S::store(c + v * lanes, sums[r][v]);
      } else {
        S::store(c + v * lanes, sums[r][v], last);
      }
    }
    c += t.c_stride;
  }
}

// What a tile is compiled for, but for its rows: the sum of those that hold.
inline constexpr std::size_t is_whole = 1, has_two_vectors = 2, is_transposed = 4, packs_a = 8, packs_b = 16;

template <class T, std::size_t kind, int... r>
constexpr auto tiles_of(std::integer_sequence<int, r...>) {
  constexpr auto is = [](std::size_t which) { return (kind & which) != 0; };
  constexpr int vectors = is(has_two_vectors) ? 2 : 1;
  constexpr bool pack_a = is(is_transposed) && is(packs_a);
  return std::array<void (*)(const Tile<T>&), sizeof...(r)>{
      &tile<T, r + 1, vectors, is(is_transposed), is(is_whole), pack_a, is(packs_b)>...};
}

template <class T, std::size_t... kind>
constexpr auto tiles_of_all_kinds(std::index_sequence<kind...>) {
  return std::array{tiles_of<T, kind>(std::make_integer_sequence<int, tile_rows>{})...};
}

}  // namespace detail

/// Computes a tile of `rows` rows, 1 .. tile_rows; A is stored [depth, rows] if `transposed`.
template <class T>
inline void compute_tile(const Tile<T>& t, int rows, bool transposed) {
  static constexpr std::array tiles = detail::tiles_of_all_kinds<T>(std::make_index_sequence<32>{});
  const int vectors = t.columns > Simd<T>::lanes ? 2 : 1;
  std::size_t kind = 0;
  if (t.columns == vectors * Simd<T>::lanes) kind += detail::is_whole;
  if (vectors == 2) kind += detail::has_two_vectors;
  if (transposed) kind += detail::is_transposed;
  if (t.packed_a != nullptr) kind += detail::packs_a;
  if (t.packed_b != nullptr) kind += detail::packs_b;
  tiles[kind][static_cast<std::size_t>(rows - 1)](t);
}

}  // namespace reel::kernels
