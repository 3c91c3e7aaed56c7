#pragma once

#include <cstdint>

#include "kernels/into.h"

namespace reel::kernels {

/// Heads in memory: element (batch b, head h, time t, channel c) lies at data[b * batch + h * head + t * time
/// + c]. The strides let a projection [batch, time, 3, heads, channels] be read and written in place.
template <class T>
struct Heads {
  T* data = nullptr;
  std::int64_t batch = 0;
  std::int64_t head = 0;
  std::int64_t time = 0;
};

/// Where a gradient of heads goes, with the strides of Heads; no two elements may share a place.
template <class T>
struct HeadsInto {
  Into<T> into = {};
  std::int64_t batch = 0;
  std::int64_t head = 0;
  std::int64_t time = 0;

  explicit operator bool() const { return static_cast<bool>(into); }
};

/// Which keys a query may look at: 1 is yes; a stride of 0 repeats. No data: all of them.
struct AttentionMask {
  const std::uint8_t* data = nullptr;
  std::int64_t batch = 0;
  std::int64_t head = 0;
  std::int64_t query = 0;
  std::int64_t key = 0;
};

/// One attention: softmax(scale Q K^T) V for every batch and head (Vaswani et al. 2017, section 3.2.1).
template <class T>
struct Attention {
  std::int64_t batch = 1;
  std::int64_t heads = 1;
  std::int64_t queries = 0;
  std::int64_t keys = 0;
  std::int64_t channels = 0;        ///< of a query and a key
  std::int64_t value_channels = 0;  ///< of a value
  Heads<const T> q = {};            // [batch, heads, queries, channels]
  Heads<const T> k = {};            // [batch, heads, keys, channels]
  Heads<const T> v = {};            // [batch, heads, keys, value_channels]
  T scale = T(1);
  bool causal = false;  ///< query i stands at position i + keys - queries and sees no later key
  AttentionMask mask = {};
  double dropout =
      0;  ///< probability in [0, 1) that a weight is dropped; the others grow by 1 / (1 - dropout)
  std::uint64_t seed = 0;  ///< seed, stream and step choose the weights that are dropped
  std::uint64_t stream = 0;
  std::uint64_t step = 0;
};

/// y = softmax(scale q k^T) v, row by row. `kept` holds for the way back what makes a weight of a score s:
/// the largest score m of the row, and f = 1 / sum_j e^(s_j - m), so that the weight is f e^(s - m), to the
/// same digits for scores of any size. Of heads with at most 64 queries, and 64 keys or four times the
/// channels, it holds e^(s - m), too, unless weights are dropped: so much is read faster than it is computed
/// again.
///
/// y [batch, heads, queries, value_channels] with its own strides, kept [attention_kept(p)] or null. A row
/// that sees no key gets y = 0, m = -inf and f = 0. Nothing that a row cannot see touches it, NaN included,
/// and its bits depend on nothing but its query and the keys and values it sees: one query at a time gives
/// the same rows as all at once.
template <class T>
void attention(const Attention<T>& p, Heads<T> y, T* kept);
/// How many numbers it keeps.
template <class T>
std::int64_t attention_kept(const Attention<T>& p);

/// Gradients from y, kept and dy: with weights P, dv = P^T dy, dS = P (dy v^T - sum(dy y)), dq = scale dS k,
/// dk = scale dS^T q.
///
/// Weights that were not kept are computed again, a tile at a time (Dao et al. 2022, appendix B). An empty
/// target is left out.
template <class T>
void attention_grad(const Attention<T>& p, Heads<const T> y, const T* kept, Heads<const T> dy,
                    HeadsInto<T> dq, HeadsInto<T> dk, HeadsInto<T> dv);

/// The weights themselves, before dropout, for looking: w [batch, heads, queries, keys], contiguous. v is not
/// read.
template <class T>
void attention_weights(const Attention<T>& p, T* w);

}  // namespace reel::kernels
