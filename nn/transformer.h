#pragma once

#include <optional>
#include <string_view>

#include "autograd/tape.h"
#include "nn/dropout.h"
#include "nn/linear.h"
#include "nn/norm.h"

namespace reel::nn {

struct GptConfig;
struct KeyValueCache;

struct AttentionLayerOptions {
  bool causal = true;
  double dropout = 0;  ///< of the weights and of the result
  bool bias = true;
  bool rotary = false;
};

/// Multi-head self-attention (Vaswani et al. 2017): queries, keys and values by one fused projection c_attn
/// [3 width, width], softmax(q k^T / sqrt(channels)) v per head, and the projection c_proj [width, width].
class MultiHeadSelfAttention final : public Module {
 public:
  /// Throws ValueError for a width that is not positive or not below 2^31, if `heads` does not divide it, and
  /// if rotary positions meet an odd number of channels.
  MultiHeadSelfAttention(Module* parent, const Name& name, std::int64_t width, std::int64_t heads,
                         AttentionLayerOptions options = {});

  /// x [batch, time, width].
  Tensor operator()(Here x) const;
  /// add(addend, (*this)(x)), where nothing is dropped as one op with the last projection.
  Tensor added_to(Here addend, Here x) const;
  /// One more token x [1, 1, width], whose keys and values are appended to the cache's of this layer. Throws
  /// ShapeError for an x of another shape, ValueError for a cache that is full, without such a layer or of
  /// other sizes, and StateError on a tape that is not f32, and unless the step is one of inference: no
  /// gradient would reach what is in the cache.
  Tensor next(Here x, KeyValueCache& cache, std::size_t layer) const;
  /// The weights [batch, heads, time, time] for x [batch, time, width]. Throws ShapeError for another rank.
  Tensor weights(Here x) const;

  Linear c_attn;
  Linear c_proj;

 private:
  struct Heads {
    Tensor q, k, v;  // [batch, heads, time, channels]
  };
  Tensor attend(Here x) const;
  Heads split(Here x, std::int64_t first_position) const;
  void require_room(const KeyValueCache& cache, std::size_t layer, Place place) const;

  std::int64_t width_;
  std::int64_t heads_;
  AttentionLayerOptions options_;
  Dropout resid_dropout_;
  std::uint64_t stream_;
};

/// The feed-forward layer of a block: c_proj(gelu(c_fc x)), or with SwiGLU c_proj(silu(c_gate x) * c_fc x).
class FeedForward final : public Module {
 public:
  /// Throws ValueError for a width that is negative or not below 2^31.
  FeedForward(Module* parent, const Name& name, std::int64_t width, const GptConfig& config);
  Tensor operator()(Here x) const;
  /// As MultiHeadSelfAttention::added_to.
  Tensor added_to(Here addend, Here x) const;

  Linear c_fc;
  std::optional<Linear> c_gate;
  Linear c_proj;

 private:
  Tensor hidden(Here x) const;

  Dropout dropout_;
};

/// A pre-norm block: x + attn(ln_1 x), then x + mlp(ln_2 x) (Xiong et al. 2020).
class Block final : public Module {
 public:
  Block(Module* parent, const Name& name, const GptConfig& config);
  Tensor operator()(Here x) const;
  /// As MultiHeadSelfAttention::next.
  Tensor next(Here x, KeyValueCache& cache, std::size_t layer) const;

  LayerNorm ln_1;
  MultiHeadSelfAttention attn;
  LayerNorm ln_2;
  FeedForward mlp;
};

}  // namespace reel::nn
