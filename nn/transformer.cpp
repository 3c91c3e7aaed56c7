#include "nn/transformer.h"

#include <algorithm>
#include <string>

#include "autograd/error.h"
#include "kernels/philox.h"
#include "nn/check.h"
#include "nn/gpt.h"

namespace reel::nn {
namespace {

std::int64_t checked_width(std::int64_t width, std::int64_t heads, bool rotary_positions, Place place) {
  checked_positive_size(width, {"attention", "width", place});
  check_heads(width, heads, rotary_positions, "attention", place);
  return width;
}

Tensor add_dropped(Here addend, const Linear& layer, const Dropout& dropout, const Tensor& x) {
  if (!dropout.drops()) return layer.added_to(addend, addend.with(x));
  return add(addend, addend.with(dropout(addend.with(layer(addend.with(x))))));
}

}  // namespace

MultiHeadSelfAttention::MultiHeadSelfAttention(Module* parent, const Name& name, std::int64_t width,
                                               std::int64_t heads, AttentionLayerOptions options)
    : Module(parent, name),
      c_attn(this, Name("c_attn", name.place), width,
             3 * checked_width(width, heads, options.rotary, name.place), {.bias = options.bias}),
      c_proj(this, Name("c_proj", name.place), width, width, {.bias = options.bias}),
      width_(width),
      heads_(heads),
      options_(options),
      resid_dropout_(this, Name("resid_dropout", name.place), options.dropout),
      stream_(kernels::stream_of(path() + ".attn_dropout")) {}

Tensor MultiHeadSelfAttention::attend(Here x) const {
  // Queries, keys and values stay where the projection put them.
  Tensor qkv = c_attn(x);
  if (options_.rotary) qkv = packed_rotary(x.with(qkv), {.heads = heads_});
  SelfAttentionOptions options{.heads = heads_, .causal = options_.causal};
  if (training() && options_.dropout > 0) {
    options.dropout = options_.dropout;
    options.seed = seed().value;
    options.stream = stream_of_next_use(x.with(qkv), *this, stream_);
    options.step = step();
  }
  return self_attention(x.with(qkv), options);
}

Tensor MultiHeadSelfAttention::operator()(Here x) const {
  return resid_dropout_(x.with(c_proj(x.with(attend(x)))));
}

Tensor MultiHeadSelfAttention::added_to(Here addend, Here x) const {
  return add_dropped(addend, c_proj, resid_dropout_, attend(x));
}

MultiHeadSelfAttention::Heads MultiHeadSelfAttention::split(Here x, std::int64_t first_position) const {
  const Shape shape = x.shape();
  if (shape.rank() != 3) {
    throw ShapeError(x.place,
                     at(x.place, path() + ": x must be [batch, time, width], it is " + to_string(shape)));
  }
  const std::int64_t batch = shape[0];
  const std::int64_t time = shape[1];
  const std::int64_t channels = width_ / heads_;
  const Tensor packed = reshape(x.with(c_attn(x)), {batch, time, 3, heads_, channels});
  const Tensor ordered = permute(x.with(packed), {2, 0, 3, 1, 4});  // [3, batch, heads, time, channels]
  const auto part = [&](std::int64_t i) {
    return reshape(x.with(slice(x.with(ordered), 0, i, i + 1)), {batch, heads_, time, channels});
  };
  Heads h{part(0), part(1), part(2)};
  if (options_.rotary) {
    h.q = rotary(x.with(h.q), {.first_position = first_position});
    h.k = rotary(x.with(h.k), {.first_position = first_position});
  }
  return h;
}

void MultiHeadSelfAttention::require_room(const KeyValueCache& cache, std::size_t layer, Place place) const {
  const auto refuse = [&](const std::string& reason, const char* help) {
    throw ValueError(place, at(place, path() + ": " + reason) + help_line(help));
  };
  if (layer >= cache.keys.size() || layer >= cache.values.size()) {
    refuse("the cache has no layer " + std::to_string(layer), "make it for a model of more layers");
  }
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(0, cache.context) * width_);
  if (cache.heads != heads_ || cache.keys[layer].size() != size || cache.values[layer].size() != size) {
    refuse("the cache was made for a layer of another size",
           "make it for this model: KeyValueCache cache(config)");
  }
  if (cache.length < 0 || cache.length >= cache.context) {
    refuse("the cache has room for " + std::to_string(cache.context) + " tokens and holds " +
               std::to_string(cache.length),
           "clear() it, or make it for a longer context");
  }
}

Tensor MultiHeadSelfAttention::next(Here x, KeyValueCache& cache, std::size_t layer) const {
  require_room(cache, layer, x.place);
  if (const Shape shape = x.shape(); !(shape == Shape{1, 1, width_})) {
    throw ShapeError(x.place, at(x.place, path() + ": the next token must be [1, 1, " +
                                              std::to_string(width_) + "], it is " + to_string(shape)));
  }
  const Heads h = split(x, cache.length);
  const Tape& tape = h.q.tape(x.place);
  if (tape.precision() != Precision::f32) {
    throw StateError(x.place,
                     at(x.place, path() + ": next() keeps keys and values as floats, this tape is not f32") +
                         help_line("make it Tape tape; or pass all tokens at once"));
  }
  if (!tape.in_inference()) {
    throw StateError(x.place,
                     at(x.place,
                        "attention: next() keeps keys and values outside the tape, where no "
                        "gradient reaches them") +
                         help_line("open the step with tape.inference(); to train, pass all tokens at "
                                   "once"));
  }
  const std::int64_t channels = width_ / heads_;
  // Appends a new row of every head to what a layer keeps, which attention reads where it lies.
  const auto append = [&](std::vector<float>& kept, const Tensor& row) {
    for (std::int64_t head = 0; head < heads_; ++head) {
      std::copy_n(row.data().begin() + head * channels, channels,
                  kept.begin() + (head * cache.context + cache.length) * channels);
    }
    return h.q.tape().from_blob(kept, {1, heads_, cache.context, channels}, x.place);
  };
  const Tensor k = append(cache.keys[layer], h.k);
  const Tensor v = append(cache.values[layer], h.v);
  const Tensor y = scaled_dot_product_attention(x.with(h.q), x.with(k), x.with(v),
                                                {.causal = options_.causal, .keys = cache.length + 1});
  return c_proj(x.with(reshape(x.with(permute(x.with(y), {0, 2, 1, 3})), {1, 1, width_})));
}

Tensor MultiHeadSelfAttention::weights(Here x) const {
  const Heads h = split(x, 0);
  return attention_weights(x.with(h.q), x.with(h.k), {.causal = options_.causal});
}

FeedForward::FeedForward(Module* parent, const Name& name, std::int64_t width, const GptConfig& config)
    : Module(parent, name),
      c_fc(this, Name("c_fc", name.place), width,
           4 * checked_size(width, {"feed_forward", "width", name.place}), {.bias = config.bias}),
      c_proj(this, Name("c_proj", name.place), 4 * width, width, {.bias = config.bias}),
      dropout_(this, Name("dropout", name.place), config.dropout) {
  if (config.swiglu)
    c_gate.emplace(this, Name("c_gate", name.place), width, 4 * width, LinearOptions{.bias = config.bias});
}

Tensor FeedForward::hidden(Here x) const {
  if (!c_gate) return c_fc.with_gelu(x);
  const Tensor up = c_fc(x);
  return mul(x.with(silu(x.with((*c_gate)(x)))), x.with(up));
}

Tensor FeedForward::operator()(Here x) const { return dropout_(x.with(c_proj(x.with(hidden(x))))); }

Tensor FeedForward::added_to(Here addend, Here x) const {
  return add_dropped(addend, c_proj, dropout_, hidden(x));
}

Block::Block(Module* parent, const Name& name, const GptConfig& config)
    : Module(parent, name),
      ln_1(this, Name("ln_1", name.place), config.width),
      attn(this, Name("attn", name.place), config.width, config.heads,
           {.causal = true, .dropout = config.dropout, .bias = config.bias, .rotary = config.rotary}),
      ln_2(this, Name("ln_2", name.place), config.width),
      mlp(this, Name("mlp", name.place), config.width, config) {}

Tensor Block::operator()(Here x) const {
  const Tensor y = attn.added_to(x, x.with(ln_1(x)));
  return mlp.added_to(x.with(y), x.with(ln_2(x.with(y))));
}

Tensor Block::next(Here x, KeyValueCache& cache, std::size_t layer) const {
  const Tensor y = add(x, x.with(attn.next(x.with(ln_1(x)), cache, layer)));
  return mlp.added_to(x.with(y), x.with(ln_2(x.with(y))));
}

}  // namespace reel::nn
