#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/prefetch.h"
#include "kernels/simd.h"
#include "kernels/transpose.h"

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
/// Whether tiles can turn B over: it takes eight registers beside the sums.
template <class T>
inline constexpr bool tiles_turn_b = vector_registers == 32 && Simd<T>::lanes > 1;
/// Rows of B that a tile turns over at a time, and the fewest that it can.
inline constexpr std::int64_t rows_turned = 4;

/// Where the sums of a tile go, and what is done to them on the way: C = sums + bias + addend, or C += sums +
/// addend; then max(C, 0) if `relu`.
template <class T>
struct Destination {
  T* c = nullptr;
  std::int64_t c_stride = 0;
  int columns = 0;  // 1 .. tile_columns
  bool add = false;
  const T* bias = nullptr;    // [columns], or null; only without add
  const T* addend = nullptr;  // stored as C is, or null
  bool relu = false;

  bool takes_plain_sums() const { return !add && bias == nullptr && addend == nullptr && !relu; }
};

/// A tile of C, whose sums are A [rows, depth] B [depth, columns].
template <class T>
struct Tile : Destination<T> {
  std::int64_t depth = 0;
  const T* a = nullptr;
  std::int64_t a_stride = 0;  // between rows if A is row-major, between columns if it is stored transposed
  const T* b = nullptr;
  std::int64_t b_stride = 0;
  T* packed_a = nullptr;  // [depth, packed_rows], where A stored transposed is copied to on the way, or null
  T* packed_b = nullptr;  // [depth, tile_columns], where B is copied to on the way, or null
  bool turn_b = false;    // B is stored [tile_columns, depth] and is turned over on its way to packed_b
  Walks soon{};           // some of what later tiles read, to be prefetched on the way
};

namespace detail {

// Rows to ask for ahead while they are packed: too far apart for the hardware to see which comes next.
inline constexpr std::int64_t pack_a_ahead = 8, pack_b_ahead = 16;
// Eight rows do not bridge the way to the third cache, or to the second one of another thread. Columns of the
// tile after the next, in the row that is packed now, have longer to come.
inline constexpr std::int64_t pack_a_tiles_ahead = 2;

// B that is stored turned over, on its way to packed B a few rows ahead of the multiply-adds. These leave the
// units that shuffle mostly idle, and what has to come from another cache comes while they go on.
template <class T>
class TurnedB {
 public:
  explicit TurnedB(const Tile<T>& t)
      : stride_(t.b_stride),
        last_(t.depth - rows_turned),
        to_(t.packed_b),
        rows_{SquareRows<T>(t.b, t.b_stride), SquareRows<T>(t.b + Simd<T>::lanes * t.b_stride, t.b_stride)},
        ahead_(t.b + line) {
    // Not in their order, as in Asking.
    for (unsigned i = 0; i < rounds; ++i) columns_[i] = (i ^ i >> 1) * columns * stride_;
  }

  /// On to the next rows; to the last ones, which may overlap those before, where fewer are left.
  [[gnu::always_inline]] void advance() {
    next_ = std::min(next_ + rows_turned, last_);
    // The next line of some columns, so that each of them has its turn before that line begins.
    const T* ahead = ahead_ + columns_[round_];
    round_ = (round_ + 1) % rounds;
    ahead_ += round_ == 0 ? line : 0;
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < columns; ++i) {
      __builtin_prefetch(ahead);
      ahead += stride_;
    }
  }

  /// Turns over what is in vector v of these rows.
  [[gnu::always_inline]] void turn(int v) {
    constexpr int within = lanes_in_16<T>;
    T* const to = to_ + next_ * tile_columns<T> + v * Simd<T>::lanes;
#pragma GCC unroll 4
    for (int k = 0; k < rows_turned; k += within) {
      typename Simd<T>::Vector turned[within];
      turn_columns<T>([&](int i) { return rows_[v](i) + (next_ + k); }, turned);
#pragma GCC unroll 4
      for (int i = 0; i < within; ++i) Simd<T>::store(to + (k + i) * tile_columns<T>, turned[i]);
    }
  }

 private:
  static constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(T));
  static constexpr unsigned rounds = line / rows_turned;  // in which each column has its turn
  static constexpr std::int64_t columns = tile_columns<T> / rounds;

  std::int64_t stride_, last_;
  T* to_;
  SquareRows<T> rows_[tile_vectors];
  std::int64_t next_ = 0;
  const T* ahead_;
  std::int64_t columns_[rounds];  // where those of a round begin
  unsigned round_ = 1;            // the first would be that of row 0, with which nothing is advanced
};

// Asks for the lines of C, of what joins the sums there, and then of `soon`, one at a time while k runs: all
// at once they would keep the multiply-adds waiting. Over and over, so that no step has to know whether
// anything is left.
template <class T, int rows>
class Asking {
 public:
  Asking(const Destination<T>& to, const Walks& soon) : to_(to), soon_(soon) {}

  [[gnu::always_inline]] void ask() {
    __builtin_prefetch(at_);
    at_ += step_;
    step_ = two_steps_ - step_;
  }

  /// How often to ask before begin_next_walk(); beyond that, the walk goes on past its end.
  std::int64_t left() const { return left_; }

  /// Begins the next walk if, after asking `count` times, this one has come to its end.
  [[gnu::always_inline]] void have_asked(std::int64_t count) {
    left_ -= count;
    if (left_ <= 0) begin_next_walk();
  }

  [[gnu::always_inline]] void begin_next_walk() {
    ++walk_;
    if (walk_ == of_addend && to_.addend == nullptr) walk_ = of_soon;
    if (walk_ >= of_soon && walk_ - of_soon < soon_.count) {
      at_ = soon_.lines.first + (walk_ - of_soon) * soon_.step;
      step_ = soon_.lines.step;
      two_steps_ = 2 * step_;
      left_ = soon_.lines.count;
    } else {
      if (walk_ >= of_soon) walk_ = 0;
      at_ = bytes(walk_ < of_addend ? to_.c : to_.addend);
      step_ = across();
      two_steps_ = down();
      left_ = 2 * rows;
    }
  }

 private:
  // Walk 0 goes down C, in each row from the first column to the last, walk 1 down the addend. Down one
  // column all steps would be equal, and the processor would go on with them behind this tile: into rows of
  // another thread, which then has to claim them back before it can write to them.
  static constexpr std::int64_t of_addend = 1, of_soon = 2;

  std::int64_t across() const { return (to_.columns - 1) * size; }
  std::int64_t down() const { return to_.c_stride * size; }

  static const char* bytes(const T* x) { return reinterpret_cast<const char*>(x); }
  static constexpr std::int64_t size = sizeof(T);

  const Destination<T>& to_;
  const Walks& soon_;
  std::int64_t step_ = across(), two_steps_ = down();
  const char* at_ = bytes(to_.c);
  std::int64_t left_ = 2 * rows, walk_ = 0;
};

// What a tile is compiled for, but for its rows: the sum of those that hold.
inline constexpr std::size_t is_whole = 1, has_two_vectors = 2, is_transposed = 4, packs_a = 8, packs_b = 16,
                             turns_b = 32;

// Every element is one chain of fma in ascending k that starts at 0, in every variant of the tile: that is
// why the bits of an element depend neither on the tile it falls into nor on its neighbours.
template <class T, int rows, std::size_t kind>
void tile(const Tile<T>& t) {
  using S = Simd<T>;
  using Vector = typename S::Vector;
  constexpr int lanes = S::lanes;
  constexpr auto is = [](std::size_t which) { return (kind & which) != 0; };
  constexpr int vectors = is(has_two_vectors) ? 2 : 1;
  constexpr bool whole = is(is_whole), transposed = is(is_transposed), pack_a = transposed && is(packs_a),
                 pack_b = is(packs_b), turn_b = is(turns_b);
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
  const T* b = turn_b ? t.packed_b : t.b;
  const std::int64_t b_stride = turn_b ? tile_columns<T> : t.b_stride;
  T* packed_a = t.packed_a;
  T* packed_b = t.packed_b;
  Asking<T, rows> asking(t, t.soon);
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
      const T& number = transposed ? a[0][r] : a[r / 3][static_cast<std::int64_t>(r % 3) * stride + ahead];
      // A number on its way to all lanes of a register takes a unit that shuffles (EPYC, Zen 4), for which
      // something else may have to wait: B that is turned over, or sums that are stored. Numbers that come
      // from memory with each multiply-add do not; were they all to, loads would be too many.
      constexpr int loaded_rows = turn_b ? 4 : transposed ? 6 : rows;
      const Vector left = r < loaded_rows ? S::all(number) : S::zero();
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) {
        if (r < loaded_rows) {
          sums[r][v] = S::fma(left, right[v], sums[r][v]);
        } else {
          S::add_product(number, right[v], sums[r][v]);
        }
        // Short of registers, g++ moves sums to memory and back: 5 of 35 cycles of a step on an EPYC.
        if constexpr (turn_b) keep(sums[r][v]);
      }
    }
    if constexpr (transposed) a[0] += stride;
    asking.ask();
  };
  struct AsItLies {
    explicit AsItLies(const Tile<T>&) {}
  };
  [[maybe_unused]] std::conditional_t<turn_b, TurnedB<T>, AsItLies> turned(t);
  if constexpr (turn_b) {
    static_assert(rows_turned == 4, "a round of the loop below takes as many");
    turned.turn(0);
    turned.turn(1);
  }
  const auto advance_rows = [&](std::int64_t columns) __attribute__((always_inline)) {
    if constexpr (!transposed) {
#pragma GCC unroll 4
      for (int g = 0; g < groups; ++g) a[g] += columns;
    }
  };
  std::int64_t k = t.depth;
  if constexpr (turn_b) {
    for (; k >= rows_turned; k -= rows_turned) {
      turned.advance();
      turned.turn(0);
      step(0);
      step(1);
      turned.turn(1);
      step(2);
      step(3);
      asking.have_asked(rows_turned);
      advance_rows(rows_turned);
    }
  }
  // 24 stores on end keep the multiply-adds of the next tile waiting, some 25 cycles of 3100 on an EPYC:
  // where nothing else joins the sums, each row is stored after its last two steps, beside those of the next
  // row.
  constexpr int last_steps = 2;
  constexpr bool can_end_by_rows =
      whole && vectors == 2 && !pack_b && tiles_turn_b<T> && (!transposed || rows <= lanes);
  const bool ends_by_rows = can_end_by_rows && k >= last_steps && !t.add && t.addend == nullptr && !t.relu;
  k -= ends_by_rows ? last_steps : 0;
  while (k > 0) {
    std::int64_t steps = k < asking.left() ? k : asking.left();
    k -= steps;
    // One step a round: unrolled, a tile took some 35 cycles longer from end to end, of 3000, on an EPYC.
#pragma GCC unroll 1
    for (; steps > 0; --steps) {
      step(0);
      advance_rows(1);
    }
    asking.begin_next_walk();
  }
  T* c = t.c;
  if constexpr (can_end_by_rows) {
    if (ends_by_rows) {
      Vector right[last_steps][vectors];
      // Columns of A are loaded before a row is stored: behind a store with the same low 12 bits of the
      // address, which many of these have, a load waits.
      [[maybe_unused]] Vector column[last_steps];
      for (int i = 0; i < last_steps; ++i) {
        for (int v = 0; v < vectors; ++v) {
          right[i][v] = S::load(b + i * b_stride + v * lanes);
          keep(right[i][v]);
        }
        if constexpr (transposed) column[i] = S::load(a[0] + i * stride, rows);
      }
      if constexpr (pack_a) {
        for (int i = 0; i < last_steps; ++i) S::store(packed_a + i * packed_rows<T>, column[i]);
      }
#pragma GCC unroll 12
      for (int r = 0; r < rows; ++r) {
        Vector left[last_steps];
        for (int i = 0; i < last_steps; ++i) {
          if constexpr (transposed) {
            left[i] = S::all(column[i], r);
          } else {
            left[i] = S::all(a[r / 3][static_cast<std::int64_t>(r % 3) * stride + i]);
          }
        }
        for (int v = 0; v < vectors; ++v) {
          Vector sum = S::fma(left[1], right[1][v], S::fma(left[0], right[0][v], sums[r][v]));
          if (t.bias != nullptr) sum = sum + S::load(t.bias + v * lanes);
          S::store(c + v * lanes, sum);
        }
        c += t.c_stride;
      }
      return;
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
  const auto add_rows = [&](const T* x) __attribute__((always_inline)) {
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sums[r][v] = load(x, v) + sums[r][v];
      x += t.c_stride;
    }
  };
  if (t.add) add_rows(t.c);
  if (t.addend != nullptr) add_rows(t.addend);
  if (t.relu) {
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sums[r][v] = S::relu(sums[r][v]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      if (whole || v + 1 < vectors) {
        S::store(c + v * lanes, sums[r][v]);
      } else {
        S::store(c + v * lanes, sums[r][v], last);
      }
    }
    c += t.c_stride;
  }
}

template <class T, std::size_t kind, int... r>
constexpr auto tiles_of(std::integer_sequence<int, r...>) {
  return std::array<void (*)(const Tile<T>&), sizeof...(r)>{&tile<T, r + 1, kind>...};
}

template <class T, std::size_t... kind>
constexpr auto tiles_of_all_kinds(std::index_sequence<kind...>) {
  return std::array{tiles_of<T, kind>(std::make_integer_sequence<int, tile_rows>{})...};
}

}  // namespace detail

/// Computes a tile of `rows` rows, 1 .. tile_rows; A is stored [depth, rows] if `transposed`, which excludes
/// turn_b.
template <class T>
inline void compute_tile(const Tile<T>& t, int rows, bool transposed) {
  using namespace detail;
  const auto compute = [&](const auto& tiles) { tiles[static_cast<std::size_t>(rows - 1)](t); };
  if constexpr (tiles_turn_b<T>) {
    static constexpr auto turning =
        tiles_of<T, is_whole + has_two_vectors + turns_b>(std::make_integer_sequence<int, tile_rows>{});
    if (t.turn_b) return compute(turning);
  }
  static constexpr std::array tiles = tiles_of_all_kinds<T>(std::make_index_sequence<32>{});
  const int vectors = t.columns > Simd<T>::lanes ? 2 : 1;
  std::size_t kind = 0;
  if (t.columns == vectors * Simd<T>::lanes) kind += is_whole;
  if (vectors == 2) kind += has_two_vectors;
  if (transposed) kind += is_transposed;
  if (t.packed_a != nullptr) kind += packs_a;
  if (t.packed_b != nullptr) kind += packs_b;
  compute(tiles[kind]);
}

}  // namespace reel::kernels
