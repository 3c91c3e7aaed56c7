#pragma once

#include <algorithm>
#include <cstdint>
#include <new>

#include "kernels/attention.h"
#include "kernels/dropout.h"
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

/// Which weights of a head are dropped. Weight (i, j) depends on the head, i and j alone.
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

/// The head behind (b, h), which the same thread most likely does next: asks for its memory row by row, in
/// between the work on this one, so that nobody waits for it.
template <class T>
class NextHead {
 public:
  NextHead() = default;
  /// `kept` is that of all heads, or null.
  NextHead(const Attention<T>& p, std::int64_t b, std::int64_t h, const T* kept) {
    const bool last = h + 1 == p.heads;
    b_ = last ? b + 1 : b;
    h_ = last ? 0 : h + 1;
    // A long head would push out the one at work.
    const std::int64_t numbers = (p.queries + p.keys) * (p.channels + p.value_channels);
    if (b_ < p.batch && numbers <= most_numbers) rows_ = std::min(p.queries, p.keys);
    add(p.q, p.channels);
    add(p.k, p.channels);
    add(p.v, p.value_channels);
    exponentials_ = Kept<const T>(p, b_, h_, kept).exponentials;
  }
  void add(const Heads<const T>& x, std::int64_t columns) {
    if (rows_ > 0) parts_[count_++] = {head_of(x, b_, h_), columns};
  }
  /// Row i of everything, of its exponentials those of the keys that it sees.
  // g++ drops the call of a function that does nothing but prefetch, unless it is inlined.
  [[gnu::always_inline]] void fetch_row(std::int64_t i, std::int64_t seen) const {
    for (int k = 0; k < count_ && i < rows_; ++k) {
      for (std::int64_t c = 0; c < parts_[k].columns; c += lanes_in_64<T>)
        __builtin_prefetch(parts_[k].rows.row(i) + c, 0, 2);
    }
    if (exponentials_.data == nullptr || i >= rows_) return;
    for (std::int64_t c = 0; c < seen; c += lanes_in_64<T>)
      __builtin_prefetch(exponentials_.row(i) + c, 0, 2);
  }

 private:
  static constexpr std::int64_t most_numbers = (256 << 10) / static_cast<std::int64_t>(sizeof(T));
  struct Part {
    Matrix<const T> rows;
    std::int64_t columns = 0;
  };
  std::int64_t b_ = 0, h_ = 0;
  std::int64_t rows_ = 0;  // of each part
  int count_ = 0;
  Part parts_[5];
  Matrix<const T> exponentials_;
};

}  // namespace reel::kernels::tile
