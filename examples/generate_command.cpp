#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <span>

#include "data/addition.h"
#include "data/error.h"
#include "examples/commands.h"
#include "examples/exit_code.h"
#include "examples/transformer.h"
#include "examples/usage_error.h"
#include "nn/sampler.h"

namespace reel::examples {
namespace {

constexpr const char* logits_of_it = "its numbers for the next token";

// Whether a flag asks for something else than the likeliest token.
bool asks_for_chance(const GenerateFlags& flags) {
  return flags.temperature || flags.top_k > 0 || flags.top_p < 1;
}

nn::Sampler sampler_of(const GenerateFlags& flags) {
  return nn::Sampler({.temperature = flags.temperature.value_or(0.8),
                      .top_k = flags.top_k,
                      .top_p = flags.top_p,
                      .seed = flags.seed});
}

// A sum has one right answer, which chance could only spoil: it comes in where a flag asks for it.
std::string answer_by(Tape& tape, const LoadedGpt& loaded, const GenerateFlags& flags) {
  if (flags.tokens < data::Addition::answer_length) {
    throw UsageError("--tokens " + std::to_string(flags.tokens) + " is too few: the answer to a sum takes " +
                     std::to_string(data::Addition::answer_length) + ", zeros in front of it included");
  }
  nn::Sampler sampler = sampler_of(flags);
  return answer(tape, *loaded.model, flags.prompt, asks_for_chance(flags) ? &sampler : nullptr,
                [&](std::span<const float> logits) { loaded.require_finite(logits, logits_of_it); });
}

// Writes on from the prompt. While the context lasts, the cache remembers what was seen; when it is full, the
// later half of the text is read again into an empty one. The prompt is shown together with the first token:
// one that the model cannot go on from leaves nothing on stdout.
std::string write_on(Tape& tape, const LoadedGpt& loaded, const std::string& prompt,
                     const GenerateFlags& flags) {
  nn::Sampler sampler = sampler_of(flags);
  const nn::GptConfig& config = loaded.model->config();
  std::vector<std::int32_t> tokens = loaded.vocabulary.encode(prompt, "prompt");
  nn::KeyValueCache cache(config);
  std::size_t seen = 0;
  if (static_cast<std::int64_t>(tokens.size()) > config.context)
    seen = tokens.size() - static_cast<std::size_t>(config.context);
  std::string written;
  for (std::int64_t n = 0; n < flags.tokens; ++n) {
    if (cache.length == config.context) {
      cache.length = 0;
      seen = tokens.size() - static_cast<std::size_t>(std::max<std::int64_t>(1, config.context / 2));
    }
    std::int32_t next = 0;
    for (; seen < tokens.size(); ++seen) {
      const auto step = tape.inference();
      const Tensor logits = loaded.model->next(tape, tokens[seen], cache);
      if (seen + 1 < tokens.size()) continue;
      loaded.require_finite(logits.data(), logits_of_it);
      next = sampler(logits.data(), tokens.size());
    }
    tokens.push_back(next);
    const char byte = loaded.vocabulary.decode(next);
    written += byte;
    if (!flags.json) {
      if (n == 0) std::cout << flags.prompt << std::flush;
      // Nobody would see the rest; main says that this could not be written.
      if (std::putchar(byte) == EOF || std::fflush(stdout) != 0) break;
    }
    if (flags.stop_at_newline && byte == '\n') break;
  }
  return written;
}

}  // namespace

int run_generate(const GenerateFlags& flags) {
  const ModelFile file = read_model(flags.model, "transformer");
  const LoadedGpt loaded = load_gpt(file);
  Tape tape(Precision::f32, file.products());
  std::string text;
  try {
    if (loaded.addition) {
      text = answer_by(tape, loaded, flags);
      if (!flags.json) std::cout << text << "\n";
    } else {
      // Something to start from: a line break if the model knows one, else its first byte.
      const std::string start = loaded.vocabulary.knows('\n') ? "\n" : loaded.vocabulary.bytes().substr(0, 1);
      text = write_on(tape, loaded, flags.prompt.empty() ? start : flags.prompt, flags);
      if (!flags.json && !text.ends_with('\n')) std::cout << "\n";
    }
  } catch (const data::DataError& e) {
    throw UsageError(e.what());  // the prompt is no file
  }
  if (flags.json) {
    std::cout << nlohmann::ordered_json{{"prompt", flags.prompt}, {"text", text}}.dump(
                     -1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
              << "\n";
  }
  return ok;
}

}  // namespace reel::examples
