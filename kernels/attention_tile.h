#pragma once

#include <algorithm>
#include <cstdint>
#include <new>

#include "kernels/attention.h"
#include "kernels/dropout.h"
#include "kernels/prefetch.h"
#include "kernels/tile.h"

// What the way forward and the way back of attention share: how a task takes its memory, what a query sees,
// which weights are dropped, and what is kept for the way back.

namespace reel::kernels::tile {

/// A tile of weights is 64 queries by 64 keys.
inline constexpr std::int64_t tile_queries = 64;
inline constexpr std::int64_t tile_keys = 64;

/// Hands out a task's memory in pieces of whole vectors.
template <class T>
class Room {
 public:
  explicit Room(T* memory) : next_(memory) {}
  T* take(std::int64_t count) {
    T* piece = next_;
    next_ += padded<T>(count);
    return piece;
  }

 private:
  T* next_;
};

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
  bool sees_any(std::int64_t i) const {
    for (std::int64_t j = 0; j < limit(i); ++j) {
      if (sees(i, j)) return true;
    }
    return false;
  }
  /// row[j] = value for every key first + j < last that the mask hides from query i.
  void hide(std::int64_t i, std::int64_t first, std::int64_t last, T value, T* row) const {
    if (mask == nullptr) return;
    const std::uint8_t* m = mask + i * query_stride + first * key_stride;
    for (std::int64_t j = 0; j < last - first; ++j) row[j] = m[j * key_stride] != 0 ? row[j] : value;
  }

  bool causal;
  std::int64_t keys;
  std::int64_t offset;
  const std::uint8_t* mask;
  std::int64_t query_stride;
  std::int64_t key_stride;
};

/// Which weights of a head are dropped, by batch, head, i, j and how many queries and keys there are.
template <class T>
class WeightDropout {
 public:
  WeightDropout(const Attention<T>& p, std::int64_t b, std::int64_t h)
      : mask_(p.dropout, p.seed, p.stream, p.step),
        stretches_((p.keys + tile_keys - 1) / tile_keys),
        start_((b * p.heads + h) * ((p.queries + 1) / 2) * stretches_) {}

  /// factors [2, tile_keys]: 0 for what is dropped and 1 / (1 - dropout) for the rest, of queries i and i +
  /// 1, i even, and keys from j on, a multiple of tile_keys.
  void factors(std::int64_t i, std::int64_t j, T* factors) const {
    static_assert(2 * tile_keys == DropoutMask::span);
    const std::int64_t chunk = start_ + i / 2 * stretches_ + j / tile_keys;
    dropout_factors(mask_, chunk * DropoutMask::span, DropoutMask::span, factors);
  }

 private:
  DropoutMask mask_;
  std::int64_t stretches_;
  std::int64_t start_;
};

template <class T>
inline Matrix<T> head_of(const Heads<T>& x, std::int64_t b, std::int64_t h) {
  return {x.data + b * x.batch + h * x.head, x.time};
}

/// The parts of what attention() keeps of a head; E is T or, on the way back, const T.
template <class E>
class Kept {
 public:
  template <class T>
  Kept(const Attention<T>& p, std::int64_t b, std::int64_t h, E* kept) {
    if (kept == nullptr) return;
    const std::int64_t head = b * p.heads + h;
    const std::int64_t of_a_head = exponentials_of_a_head(p);
    if (of_a_head > 0) exponentials = {kept + of_a_head * head, padded<T>(p.keys)};
    rows = kept + of_a_head * p.batch * p.heads + 2 * p.queries * head;
  }
  /// Throws std::bad_alloc if there are more than can be counted.
  template <class T>
  static std::int64_t count(const Attention<T>& p) {
    std::int64_t n = 0;
    if (__builtin_mul_overflow(p.batch, p.heads, &n) ||
        __builtin_mul_overflow(n, exponentials_of_a_head(p) + 2 * p.queries, &n))
      throw std::bad_alloc();
    return n;
  }

  Matrix<E> exponentials;  // e^(score - most) [queries, keys] as far as a query sees keys, or no memory
  E* rows = nullptr;       // [queries, 2]: the largest score, and the factor to weights

 private:
  template <class T>
  static std::int64_t exponentials_of_a_head(const Attention<T>& p) {
    const bool one_tile = p.queries <= tile_queries && p.keys <= tile_keys;
    const bool not_much = padded<T>(p.keys) <= 4 * p.channels;
    return one_tile && not_much && p.dropout == 0 ? p.queries * padded<T>(p.keys) : 0;
  }
};

/// Prefetches, beside the work on head (b, h), what that is going to write, and what the head behind it
/// reads, which the same thread most likely does next. Long heads go without: it would push out what is at
/// work.
template <class T>
class Ahead {
 public:
  Ahead(const Attention<T>& p, std::int64_t b, std::int64_t h)
      : p_(p),
        b_(h + 1 == p.heads ? b + 1 : b),
        h_(h + 1 == p.heads ? 0 : h + 1),
        is_short_((p.queries + p.keys) * (p.channels + p.value_channels) <= most_numbers),
        has_next_(is_short_ && b_ < p.batch) {}

  /// Rows [count, columns] of this head.
  void add(const T* rows, std::int64_t stride, std::int64_t count, std::int64_t columns) {
    if (is_short_) prefetcher_.add(Piece<T>{rows, count, columns, stride}.walks());
  }
  /// Rows [count, columns] of x of the next one.
  void add_next(const Heads<const T>& x, std::int64_t count, std::int64_t columns) {
    if (has_next_) add(head_of(x, b_, h_).data, x.time, count, columns);
  }
  /// Of what attention() keeps, the exponentials of the next head as far as its queries see keys.
  void add_next_exponentials(const T* kept) {
    const Matrix<const T> rows = has_next_ ? Kept<const T>(p_, b_, h_, kept).exponentials : Matrix<const T>{};
    if (rows.data == nullptr) return;
    const Sight<T> sight(p_, b_, h_);
    for (std::int64_t i = 0; i < p_.queries; i += rows_together) {
      const std::int64_t end = std::min(i + rows_together, p_.queries);
      add(rows.row(i), rows.stride, end - i, sight.limit(end - 1));
    }
  }
  [[gnu::always_inline]] void ask() { prefetcher_.ask(); }

 private:
  static constexpr std::int64_t most_numbers = (256 << 10) / static_cast<std::int64_t>(sizeof(T));
  static constexpr std::int64_t rows_together = tile_queries / 4;

  const Attention<T>& p_;
  std::int64_t b_, h_;
  bool is_short_, has_next_;
  Prefetcher<12> prefetcher_;  // on the way back three targets, five factors, exponentials
};

}  // namespace reel::kernels::tile
