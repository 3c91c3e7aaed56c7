#include "examples/transformer.h"

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "data/error.h"
#include "examples/exit_code.h"
#include "examples/usage_error.h"
#include "nn/error.h"
#include "nn/weights.h"

namespace reel::examples {
namespace {

using Json = nlohmann::ordered_json;

// Adds a batch to the sums: losses of all tokens that count, and how many there were.
Tensor add_losses(Tape& tape, const nn::Gpt& model, const data::TokenBatch& batch, double& loss,
                  std::int64_t& count) {
  const Tensor logits = model(tape, batch.tokens, batch.batch, batch.time);
  loss += cross_entropy(logits, batch.targets,
                        {.ignore_index = data::Addition::ignored, .reduction = Reduction::sum})
              .item();
  count += std::count_if(batch.targets.begin(), batch.targets.end(),
                         [](std::int32_t t) { return t != data::Addition::ignored; });
  return logits;
}

std::size_t argmax(std::span<const float> row) {
  return static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

}  // namespace

Tensor transformer_loss(Tape& tape, const nn::Gpt& model, const data::TokenBatch& batch) {
  return cross_entropy(model(tape, batch.tokens, batch.batch, batch.time), batch.targets);
}

LanguageScore score_addition(Tape& tape, const nn::Gpt& model, std::int64_t count) {
  constexpr std::int64_t rows = 250;
  data::TokenBatch batch;
  LanguageScore score;
  std::int64_t tokens = 0;
  std::int64_t right = 0;
  for (std::int64_t first = 0; first < count; first += rows) {
    data::Addition::held_out_batch(first, std::min(rows, count - first), batch);
    const auto step = tape.inference();
    const Tensor logits = add_losses(tape, model, batch, score.loss, tokens);
    const auto classes = static_cast<std::size_t>(model.config().vocabulary);
    for (std::int64_t b = 0; b < batch.batch; ++b) {
      // Taking the likeliest digit at every place gives the right answer if and only if each is right after
      // the right ones.
      bool all = true;
      for (std::int64_t t = 0; t < batch.time; ++t) {
        const auto at = static_cast<std::size_t>(b * batch.time + t);
        if (batch.targets[at] == data::Addition::ignored) continue;
        all = all && argmax(logits.data().subspan(at * classes, classes)) ==
                         static_cast<std::size_t>(batch.targets[at]);
      }
      right += all ? 1 : 0;
    }
  }
  score.loss /= static_cast<double>(tokens);
  score.exact_match = static_cast<double>(right) / static_cast<double>(count);
  return score;
}

LanguageScore score_text(Tape& tape, const nn::Gpt& model, const data::Text& text, std::int64_t batch_size) {
  data::TokenBatch batch;
  LanguageScore score;
  std::int64_t tokens = 0;
  for (std::int64_t i = 0; text.validation_batch(i, batch_size, batch); ++i) {
    const auto step = tape.inference();
    add_losses(tape, model, batch, score.loss, tokens);
  }
  score.loss /= static_cast<double>(tokens);
  return score;
}

Json json_of(const nn::GptConfig& c) {
  return {
      {"vocabulary", c.vocabulary}, {"context", c.context}, {"layers", c.layers}, {"heads", c.heads},
      {"width", c.width},           {"dropout", c.dropout}, {"bias", c.bias},     {"tie_head", c.tie_head},
      {"rotary", c.rotary},         {"swiglu", c.swiglu}};
}

nn::GptConfig gpt_config(const Json& j) {
  nn::GptConfig c;
  c.vocabulary = j.at("vocabulary").get<std::int64_t>();
  c.context = j.at("context").get<std::int64_t>();
  c.layers = j.at("layers").get<std::int64_t>();
  c.heads = j.at("heads").get<std::int64_t>();
  c.width = j.at("width").get<std::int64_t>();
  c.dropout = j.at("dropout").get<double>();
  c.bias = j.at("bias").get<bool>();
  c.tie_head = j.at("tie_head").get<bool>();
  c.rotary = j.at("rotary").get<bool>();
  c.swiglu = j.at("swiglu").get<bool>();
  return c;
}

LoadedGpt load_gpt(const ModelFile& file) {
  try {
    LoadedGpt loaded;
    std::string bytes;
    for (const auto& b : file.config.at("bytes")) bytes += static_cast<char>(b.get<unsigned>());
    loaded.vocabulary = data::Vocabulary(bytes);
    loaded.addition = file.config.at("data") == "addition";
    const nn::GptConfig config = gpt_config(file.config.at("model"));
    if (config.vocabulary != static_cast<std::int64_t>(bytes.size())) {
      throw nn::FileError(file.file.name() +
                          ": its configuration is damaged: " + std::to_string(bytes.size()) +
                          " bytes for a vocabulary of " + std::to_string(config.vocabulary));
    }
    file.require_room_for(config.layers, "layers", file.file.entries().size());
    for (const auto& [size, name] : {std::pair(config.width, "width"), std::pair(config.context, "context")})
      file.require_room_for(size, name, file.file.file().size());
    loaded.model = std::make_unique<nn::Gpt>(nn::Seed{file.config.at("seed").get<std::uint64_t>()}, config);
    nn::load_weights(file.file, loaded.model->parameters());
    loaded.model->eval();
    return loaded;
  } catch (const Json::exception& e) {
    throw nn::FileError(file.file.name() + ": its configuration is damaged: " + e.what());
  }
}

std::string answer(Tape& tape, const nn::Gpt& model, const std::string& prompt) {
  nn::KeyValueCache cache(model.config());
  std::vector<std::int32_t> written;
  std::vector<std::int32_t> pending = data::Addition::prompt_tokens(data::Addition::parse(prompt));
  while (true) {
    std::int32_t next = 0;
    for (const std::int32_t token : pending) {
      const auto step = tape.inference();
      next = static_cast<std::int32_t>(argmax(model.next(tape, token, cache).data()));
    }
    written.push_back(next);
    if (static_cast<std::int64_t>(written.size()) == data::Addition::answer_length) break;
    pending = {next};
  }
  const auto number = data::Addition::number(written);
  return number ? std::to_string(*number) : "?";
}

int evaluate_transformer(const EvaluateFlags& flags, const ModelFile& file) {
  if (!flags.labels.empty() || !flags.label_column.empty()) {
    throw UsageError((flags.labels.empty() ? "--label-column" : "--labels") +
                     (" goes with a classifier; " + flags.model + " holds a transformer"));
  }
  const LoadedGpt loaded = load_gpt(file);
  const std::string data = flags.data.empty() ? file.config.at("data").get<std::string>() : flags.data;
  Tape tape(Precision::f32, file.products());
  Json result = {{"task", "transformer"}, {"data", data}};
  if (loaded.addition != (data == "addition")) {
    throw UsageError(flags.model + " was trained on " + file.config.at("data").get<std::string>() +
                     "; it cannot be measured on " + data);
  }
  if (loaded.addition) {
    const LanguageScore score = score_addition(tape, *loaded.model, held_out_sums);
    result["validation_loss"] = score.loss;
    result["exact_match"] = score.exact_match;
  } else {
    const data::Text text = data::Text::read(data, loaded.model->config().context);
    if (text.vocabulary().bytes() != loaded.vocabulary.bytes()) {
      loaded.vocabulary.encode(text.vocabulary().bytes(), data);  // names a byte that the model does not know
      throw UsageError(data + ": it has other bytes than the text that the model was trained on");
    }
    result["validation_loss"] = score_text(tape, *loaded.model, text, 16).loss;
  }
  if (flags.json) {
    std::cout << result.dump() << "\n";
    return ok;
  }
  std::printf("validation loss  %.4f\n", result["validation_loss"].get<double>());
  if (loaded.addition)
    std::printf("exact match      %.2f %% of %ld held-out sums\n", 100 * result["exact_match"].get<double>(),
                static_cast<long>(held_out_sums));
  return ok;
}

}  // namespace reel::examples
