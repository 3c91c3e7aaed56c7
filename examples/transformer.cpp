#include "examples/transformer.h"

#include <algorithm>
#include <cmath>

#include "autograd/error.h"
#include "data/file.h"
#include "nn/sha256.h"

namespace reel::examples {
namespace {

using Json = nlohmann::ordered_json;

// Adds what a batch's logits lose to the sums: over all tokens that count, and how many those were.
void add_losses(const Tensor& logits, const data::TokenBatch& batch, LanguageScore& sums) {
  sums.loss += cross_entropy(logits, batch.targets,
                             {.ignore_index = data::Addition::ignored, .reduction = Reduction::sum})
                   .item();
  sums.tokens += std::count_if(batch.targets.begin(), batch.targets.end(),
                               [](std::int32_t t) { return t != data::Addition::ignored; });
}

}  // namespace

Tensor transformer_loss(Tape& tape, const nn::Gpt& model, const data::TokenBatch& batch) {
  return cross_entropy(model(tape, batch.tokens, batch.batch, batch.time), batch.targets);
}

LanguageScore score_addition(Tape& tape, const nn::Gpt& model, std::int64_t count) {
  constexpr std::int64_t rows = 250;
  data::TokenBatch batch;
  LanguageScore score;
  std::int64_t right = 0;
  for (std::int64_t first = 0; first < count; first += rows) {
    data::Addition::held_out_batch(first, std::min(rows, count - first), batch);
    const auto step = tape.inference();
    const Tensor logits = model(tape, batch.tokens, batch.batch, batch.time);
    add_losses(logits, batch, score);
    const std::vector<std::int32_t> likeliest = argmax(logits);
    for (std::int64_t b = 0; b < batch.batch; ++b) {
      // Taking the likeliest digit at every place gives the right answer if and only if each is right after
      // the right ones.
      bool all = true;
      for (std::int64_t t = 0; t < batch.time; ++t) {
        const auto at = static_cast<std::size_t>(b * batch.time + t);
        const std::int32_t target = batch.targets[at];
        all = all && (target == data::Addition::ignored || target == likeliest[at]);
      }
      right += all ? 1 : 0;
    }
  }
  score.loss /= static_cast<double>(score.tokens);
  score.exact_match = static_cast<double>(right) / static_cast<double>(count);
  return score;
}

LanguageScore score_text(Tape& tape, const nn::Gpt& model, const data::Text& text, bool whole) {
  constexpr std::int64_t rows = 16;
  data::TokenBatch batch;
  LanguageScore score;
  const auto next = [&](std::int64_t i) {
    return whole ? text.whole_batch(i, rows, batch) : text.validation_batch(i, rows, batch);
  };
  for (std::int64_t i = 0; next(i); ++i) {
    const auto step = tape.inference();
    add_losses(model(tape, batch.tokens, batch.batch, batch.time), batch, score);
  }
  score.loss /= static_cast<double>(score.tokens);
  return score;
}

std::string digest_of(const data::Text& text) {
  nn::Sha256 digest;
  for (const auto part : {text.train(), text.validation()}) digest.add(part.data(), part.size_bytes());
  return digest.hex();
}

Json json_of(const nn::GptConfig& c) {
  return {
      {"vocabulary", c.vocabulary}, {"context", c.context}, {"layers", c.layers}, {"heads", c.heads},
      {"width", c.width},           {"dropout", c.dropout}, {"bias", c.bias},     {"tie_head", c.tie_head},
      {"rotary", c.rotary},         {"swiglu", c.swiglu}};
}

nn::GptConfig gpt_config(const Settings& s) {
  nn::GptConfig c;
  c.vocabulary = s.whole("vocabulary", 1);
  c.context = s.whole("context", 1);
  c.layers = s.whole("layers", 1);
  c.heads = s.whole("heads", 1);
  c.width = s.whole("width", 1);
  c.dropout = s.fraction("dropout");
  c.bias = s.flag("bias");
  c.tie_head = s.flag("tie_head");
  c.rotary = s.flag("rotary");
  c.swiglu = s.flag("swiglu");
  if (c.width % c.heads != 0)
    s.fail("heads", "is " + std::to_string(c.heads) + ", which does not divide the width");
  if (c.rotary && c.width / c.heads % 2 != 0) s.fail("rotary", "is true, but a head has an odd width");
  return c;
}

LoadedGpt load_gpt(const ModelFile& file) {
  const Settings settings = file.settings();
  LoadedGpt loaded;
  std::string bytes;
  for (const std::int64_t b : settings.wholes("bytes", 0, 255)) bytes += static_cast<char>(b);
  std::string sorted = bytes;
  std::sort(sorted.begin(), sorted.end());
  if (bytes.empty() || std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    settings.fail("bytes", bytes.empty() ? "is empty" : "has a byte twice");
  loaded.vocabulary = data::Vocabulary(bytes);
  loaded.addition = settings.name("data") == "addition";
  const nn::GptConfig config = gpt_config(settings.at("model"));
  if (config.vocabulary != static_cast<std::int64_t>(bytes.size())) {
    settings.fail("bytes", "has " + std::to_string(bytes.size()) + " bytes for a vocabulary of " +
                               std::to_string(config.vocabulary));
  }
  if (loaded.addition &&
      (bytes != data::Addition::vocabulary().bytes() || config.context < data::Addition::context))
    settings.fail("data", "is \"addition\", but sums do not fit the vocabulary or the context");
  file.require_room_for(config.layers, "layers", file.file.entries().size());
  for (const auto& [size, name] : {std::pair(config.width, "width"), std::pair(config.context, "context")})
    file.require_room_for(size, name, file.file.file().size());
  const auto width = static_cast<double>(config.width);
  file.require_room_for_weights(width * static_cast<double>(config.vocabulary) +
                                4 * width * width * static_cast<double>(config.layers));
  loaded.model = std::make_unique<nn::Gpt>(nn::Seed{settings.seed("seed")}, config);
  file.load(loaded.model->parameters());
  loaded.model->eval();
  loaded.name = data::printable(file.file.name());
  return loaded;
}

void LoadedGpt::require_finite(std::span<const float> numbers, const std::string& what) const {
  if (std::all_of(numbers.begin(), numbers.end(), [](float x) { return std::isfinite(x); })) return;
  throw NonFiniteError(Place{}, name + ": " + what + " are not finite" +
                                    help_line("the model has numbers that are not finite, or too large; "
                                              "take the best.safetensors of its run, or train again with a "
                                              "smaller --lr"));
}

std::string answer(Tape& tape, const nn::Gpt& model, const std::string& prompt, nn::Sampler* sampler,
                   const std::function<void(std::span<const float>)>& check) {
  nn::KeyValueCache cache(model.config());
  std::vector<std::int32_t> written;
  std::vector<std::int32_t> pending = data::Addition::prompt_tokens(data::Addition::parse(prompt));
  while (true) {
    std::int32_t next = 0;
    for (const std::int32_t token : pending) {
      const auto step = tape.inference();
      const Tensor logits = model.next(tape, token, cache);
      if (check) check(logits.data());
      next = sampler == nullptr ? argmax(logits)[0]
                                : (*sampler)(logits.data(), static_cast<std::uint64_t>(cache.length));
    }
    written.push_back(next);
    if (static_cast<std::int64_t>(written.size()) == data::Addition::answer_length) break;
    pending = {next};
  }
  const auto number = data::Addition::number(written);
  return number ? std::to_string(*number) : "?";
}

}  // namespace reel::examples
