#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "autograd/tape.h"
#include "data/addition.h"
#include "data/text.h"
#include "examples/model_file.h"
#include "nn/gpt.h"
#include "nn/sampler.h"

namespace reel::examples {

/// How a Transformer did on held-out data.
struct LanguageScore {
  double loss = 0;          // per token that counts
  std::int64_t tokens = 0;  // that count
  double exact_match = 0;   // addition: share of sums with every digit right
};

/// The mean cross-entropy of the targets that count.
Tensor transformer_loss(Tape& tape, const nn::Gpt& model, const data::TokenBatch& batch);

/// The first `count` held-out sums.
LanguageScore score_addition(Tape& tape, const nn::Gpt& model, std::int64_t count);

/// The validation part of a text, or the whole text.
LanguageScore score_text(Tape& tape, const nn::Gpt& model, const data::Text& text, bool whole = false);

/// Tells a text from other texts of the same bytes, as digest_of a classifier's data does.
std::string digest_of(const data::Text& text);

/// How many held-out sums an evaluation takes.
inline constexpr std::int64_t held_out_sums = 2000;

/// The model of a file, with its weights.
struct LoadedGpt {
  std::unique_ptr<nn::Gpt> model;
  data::Vocabulary vocabulary;
  bool addition = false;
  std::string name;  // of the file, for a terminal

  /// Throws NonFiniteError, with the file's name, if one of these numbers of the model is not finite: what
  /// would follow from them means nothing.
  void require_finite(std::span<const float> numbers, const std::string& what) const;
};
/// Throws FileError if the file does not fit its own description.
LoadedGpt load_gpt(const ModelFile& file);

/// The configuration of a model file, and back.
nlohmann::ordered_json json_of(const nn::GptConfig& config);
nn::GptConfig gpt_config(const Settings& settings);

/// The answer to a prompt like "47+385=", or "?" if the model writes something that is no number. Of the
/// likeliest digits, or of those that `sampler` chooses. `check` sees the logits before anything is chosen.
std::string answer(Tape& tape, const nn::Gpt& model, const std::string& prompt,
                   nn::Sampler* sampler = nullptr,
                   const std::function<void(std::span<const float>)>& check = {});

}  // namespace reel::examples
