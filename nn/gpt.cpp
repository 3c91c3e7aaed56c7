#include "nn/gpt.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "autograd/error.h"
#include "nn/check.h"

namespace reel::nn {
namespace {

const GptConfig& checked(const GptConfig& c, Place place) {
  checked_positive_size(c.vocabulary, {"gpt", "vocabulary", place});
  checked_positive_size(c.context, {"gpt", "context", place});
  checked_positive_size(c.layers, {"gpt", "layers", place});
  checked_positive_size(c.heads, {"gpt", "heads", place});
  checked_positive_size(c.width, {"gpt", "width", place});
  check_fraction(c.dropout, {"gpt", "dropout", place});
  check_heads(c.width, c.heads, c.rotary, "gpt", place);
  return c;
}

}  // namespace

KeyValueCache::KeyValueCache(const GptConfig& config, Place place)
    : context(checked(config, place).context), heads(config.heads) {
  const auto size = static_cast<std::size_t>(config.context * config.width);
  keys.assign(static_cast<std::size_t>(config.layers), std::vector<float>(size));
  values = keys;
}

bool KeyValueCache::fits(const GptConfig& config) const {
  const auto size = static_cast<std::size_t>(config.context * config.width);
  const auto fit = [&](const std::vector<std::vector<float>>& kept) {
    return kept.size() == static_cast<std::size_t>(config.layers) &&
           std::all_of(kept.begin(), kept.end(), [&](const auto& layer) { return layer.size() == size; });
  };
  return context == config.context && heads == config.heads && fit(keys) && fit(values);
}

Gpt::Transformer::Transformer(Module* parent, const Name& name, const GptConfig& config)
    : Module(parent, name),
      wte(this, Name("wte", name.place), config.vocabulary, config.width),
      drop(this, Name("drop", name.place), config.dropout),
      h(this, Name("h", name.place)),
      ln_f(this, Name("ln_f", name.place), config.width) {
  if (!config.rotary) wpe.emplace(this, Name("wpe", name.place), config.context, config.width);
  for (std::int64_t i = 0; i < config.layers; ++i) h.add(config);
}

Gpt::Gpt(Seed seed, const GptConfig& config, Place place)
    : Module(seed), config_(checked(config, place)), transformer_(this, Name("transformer", place), config_) {
  if (!config.tie_head)
    lm_head_.emplace(this, Name("lm_head", place), config.width, config.vocabulary,
                     LinearOptions{.bias = false});
  positions_.resize(static_cast<std::size_t>(config.context));
  std::iota(positions_.begin(), positions_.end(), 0);
  for (std::size_t i = 0; i < parameters().count(); ++i) {
    const Parameter p(parameters(), i);
    const std::string& name = p.name();
    if (name.ends_with(".bias")) {
      init::zeros(p);
    } else if (name.ends_with("c_proj.weight")) {
      init::normal(p, seed, 0, 0.02 / std::sqrt(2.0 * static_cast<double>(config.layers)));
    } else if (p.shape().rank() == 2) {
      init::normal(p, seed, 0, 0.02);
    }
  }
}

Tensor Gpt::embed(Tape& tape, std::span<const std::int32_t> tokens, std::int64_t batch, std::int64_t time,
                  std::int64_t first, Place place) const {
  if (time < 1 || first + time > config_.context) {
    throw ValueError(place, at(place, "gpt: " + std::to_string(first + time) + " tokens, the context is " +
                                          std::to_string(config_.context)) +
                                help_line("give at least one token and at most as many as the context"));
  }
  // Rows of a leaf, which is on the tape that was given; another tape may have a step open inside its step.
  const auto rows = [&](const Embedding& table, std::span<const std::int32_t> which, const Shape& shape) {
    return embedding(Here(tape.leaf(table.weight, place), place.file, place.line), which, shape);
  };
  const Tensor x = rows(transformer_.wte, tokens, Shape({batch, time}, place));
  const Here here(x, place.file, place.line);
  if (!transformer_.wpe) return transformer_.drop(here);
  const std::span<const std::int32_t> where =
      std::span(positions_).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(time));
  return transformer_.drop(here.with(add(here, here.with(rows(*transformer_.wpe, where, {time})))));
}

Tensor Gpt::head(Here x) const {
  const Tensor y = transformer_.ln_f(x);
  return lm_head_ ? (*lm_head_)(x.with(y)) : linear(x.with(y), transformer_.wte.weight);
}

Tensor Gpt::operator()(Tape& tape, std::span<const std::int32_t> tokens, std::int64_t batch,
                       std::int64_t time, Place place) const {
  Tensor x = embed(tape, tokens, batch, time, 0, place);
  const Here here(x, place.file, place.line);
  for (const Block& block : transformer_.h) x = block(here.with(x));
  return head(here.with(x));
}

Block& Gpt::block(std::int64_t layer, Place where) {
  if (layer < 0 || layer >= config_.layers) {
    throw ValueError(where, at(where, "gpt: there is no block " + std::to_string(layer) + ", there are " +
                                          std::to_string(config_.layers)) +
                                help_line("count from 0, as the names transformer.h.0, ... do"));
  }
  return transformer_.h.at(static_cast<std::size_t>(layer));
}

Tensor Gpt::next(Tape& tape, std::int32_t token, KeyValueCache& cache, Place place) const {
  if (tape.precision() != Precision::f32) {
    throw StateError(place, at(place, "gpt: next() keeps keys and values as floats, this tape is not f32") +
                                help_line("make it Tape tape; or pass all tokens at once"));
  }
  if (!cache.fits(config_)) {
    throw ValueError(place, at(place, "gpt: the cache was made for a model of another size") +
                                help_line("make it from this model: KeyValueCache cache(model.config())"));
  }
  if (cache.length < 0 || cache.length > cache.written_) {
    throw ValueError(place, at(place, "gpt: the cache's length is " + std::to_string(cache.length) +
                                          ", it has seen " + std::to_string(cache.written_) + " tokens") +
                                help_line("set the length back or not at all; next() counts it up"));
  }
  Tensor x = embed(tape, {&token, 1}, 1, 1, cache.length, place);
  const Here here(x, place.file, place.line);
  for (std::size_t i = 0; i < transformer_.h.size(); ++i)
    x = transformer_.h.at(i).next(here.with(x), cache, i);
  cache.written_ = ++cache.length;
  return head(here.with(x));
}

std::vector<Tensor> Gpt::attention_maps(Tape& tape, std::span<const std::int32_t> tokens, std::int64_t batch,
                                        std::int64_t time, Place place) const {
  Tensor x = embed(tape, tokens, batch, time, 0, place);
  const Here here(x, place.file, place.line);
  std::vector<Tensor> maps;
  for (const Block& block : transformer_.h) {
    maps.push_back(block.attn.weights(here.with(block.ln_1(here.with(x)))));
    x = block(here.with(x));
  }
  return maps;
}

}  // namespace reel::nn
