#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include "nn/dropout.h"
#include "nn/embedding.h"
#include "nn/linear.h"
#include "nn/module_list.h"
#include "nn/norm.h"
#include "nn/transformer.h"

namespace reel::nn {

struct GptConfig {
  std::int64_t vocabulary = 0;
  std::int64_t context = 0;  ///< tokens that are seen at once
  std::int64_t layers = 2;
  std::int64_t heads = 4;
  std::int64_t width = 128;
  double dropout = 0;
  bool bias = true;      ///< of linear layers; norms always have one
  bool tie_head = true;  ///< the head's weight is the token embedding's (Press, Wolf 2017)
  bool rotary = false;   ///< rotary positions instead of learned ones (Su et al. 2021)
  bool swiglu = false;   ///< SwiGLU instead of GELU in the feed-forward layer (Shazeer 2020)
};

/// The keys and values of the tokens seen so far, for generating one token after the other. A step reads them
/// where they lie: the cache has to outlive it.
struct KeyValueCache {
  /// Throws ValueError as Gpt does.
  explicit KeyValueCache(const GptConfig& config, Place place = Place::here());
  bool fits(const GptConfig& config) const;
  void clear() { length = 0; }
  std::int64_t length = 0;  // tokens seen; may be set back, to go on from there
  std::int64_t context;     // tokens there is room for
  std::int64_t heads;
  std::vector<std::vector<float>> keys;    // per layer [heads, context, channels]
  std::vector<std::vector<float>> values;  // per layer [heads, context, channels]

 private:
  friend class Gpt;
  std::int64_t written_ = 0;  // tokens whose keys and values are there
};

/// A decoder-only Transformer (Radford et al. 2019). Parameters have the names and shapes that PyTorch
/// implementations of GPT-2 use: transformer.wte.weight, transformer.wpe.weight, transformer.h.0.ln_1.weight,
/// transformer.h.0.attn.c_attn.weight, ... Weights start normal with deviation 0.02, those of projections
/// into the residual stream with 0.02 / sqrt(2 layers).
class Gpt final : public Module {
 public:
  /// Throws ValueError for a size that is not positive or not below 2^31, for heads that do not divide the
  /// width, for an odd number of channels in a head with rotary positions, and for a dropout outside [0, 1).
  Gpt(Seed seed, const GptConfig& config, Place place = Place::here());

  const GptConfig& config() const { return config_; }

  /// A block by its number from 0, to freeze it, to look into it, or to give it to an optimizer. Throws
  /// ValueError if there is none.
  Block& block(std::int64_t layer, Place where = Place::here());
  /// The embedding of the tokens, whose weight is also the head's if the two are tied.
  Embedding& wte() { return transformer_.wte; }

  /// Logits [batch, time, vocabulary] for tokens [batch, time]. Throws ValueError if time exceeds the
  /// context.
  Tensor operator()(Tape& tape, std::span<const std::int32_t> tokens, std::int64_t batch, std::int64_t time,
                    Place place = Place::here()) const;

  /// The same for tokens in braces.
  Tensor operator()(Tape& tape, std::initializer_list<std::int32_t> tokens, std::int64_t batch,
                    std::int64_t time, Place place = Place::here()) const {
    return (*this)(tape, std::span(tokens.begin(), tokens.size()), batch, time, place);
  }

  /// Logits [1, 1, vocabulary] of the next token after `token`, which is appended to the cache. Bit for bit
  /// what the call above gives in its last row, unless dropout drops: call eval() first; and but for a tape
  /// of `Products::bf16x6` with AMX, once there are 64 tokens. Throws ValueError if the cache is full, of
  /// another size, or was set forward by hand, StateError on a tape that is not f32 and in a step that is not
  /// one of inference: no gradient would reach what is in the cache.
  Tensor next(Tape& tape, std::int32_t token, KeyValueCache& cache, Place place = Place::here()) const;

  /// The attention weights of every layer, [batch, heads, time, time] each, for looking at.
  std::vector<Tensor> attention_maps(Tape& tape, std::span<const std::int32_t> tokens, std::int64_t batch,
                                     std::int64_t time, Place place = Place::here()) const;

 private:
  struct Transformer final : Module {
    Transformer(Module* parent, const Name& name, const GptConfig& config);
    Embedding wte;
    std::optional<Embedding> wpe;
    Dropout drop;
    ModuleList<Block> h;
    LayerNorm ln_f;
  };
  Tensor head(Here x) const;
  Tensor embed(Tape& tape, std::span<const std::int32_t> tokens, std::int64_t batch, std::int64_t time,
               std::int64_t first, Place place) const;

  GptConfig config_;
  Transformer transformer_;
  std::optional<Linear> lm_head_;
  std::vector<std::int32_t> positions_;  // 0, 1, 2, ...
};

}  // namespace reel::nn
