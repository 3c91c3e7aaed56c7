#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <optional>

#include "autograd/error.h"
#include "data/addition.h"
#include "data/file.h"
#include "data/text.h"
#include "examples/autopsy.h"
#include "examples/classifier.h"
#include "examples/commands.h"
#include "examples/data_name.h"
#include "examples/exit_code.h"
#include "examples/report.h"
#include "examples/run_directory.h"
#include "examples/same_run.h"
#include "examples/shell_word.h"
#include "examples/training.h"
#include "examples/transformer.h"
#include "examples/usage_error.h"
#include "kernels/parallel.h"
#include "nn/atomic_file.h"
#include "nn/gpt.h"
#include "nn/optimizer.h"
#include "nn/schedule.h"

namespace reel::examples {
namespace {

using Json = nlohmann::ordered_json;

// What the flags leave open, by the data.
TransformerFlags completed(TransformerFlags f) {
  const bool addition = f.data == "addition";
  const auto fill = [](std::int64_t& value, std::int64_t otherwise) {
    if (value == 0) value = otherwise;
  };
  fill(f.layers, addition ? 2 : 4);
  fill(f.heads, 4);
  fill(f.width, 128);
  fill(f.context, addition ? data::Addition::context : 64);
  fill(f.batch, addition ? 128 : 12);
  fill(f.steps, addition ? 600 : 2000);
  if (f.positions.empty()) f.positions = addition ? "learned" : "rotary";
  if (f.lr == 0) f.lr = addition ? 2e-3 : 1e-3;
  if (f.min_lr < 0) f.min_lr = f.lr / 10;
  if (f.warmup < 0) f.warmup = std::min<std::int64_t>(100, f.steps / 20);
  if (f.min_lr > f.lr)
    throw UsageError("--min-lr " + short_number(f.min_lr) + " is larger than --lr " + short_number(f.lr));
  if (f.warmup >= f.steps)
    throw UsageError("--warmup " + std::to_string(f.warmup) + " leaves none of the --steps " +
                     std::to_string(f.steps));
  if (addition && f.context < data::Addition::context) {
    throw UsageError("--context " + std::to_string(f.context) + " is too small: a sum and its answer take " +
                     std::to_string(data::Addition::context) + " tokens");
  }
  if (f.width % f.heads != 0) {
    throw UsageError("--heads " + std::to_string(f.heads) + " does not divide --width " +
                     std::to_string(f.width) + "; the width must be a multiple of the number of heads");
  }
  if (f.positions == "rotary" && f.width / f.heads % 2 != 0) {
    throw UsageError("--positions rotary turns pairs of channels, and a head has " +
                     std::to_string(f.width / f.heads) +
                     "; choose a --width that is an even multiple of --heads");
  }
  return f;
}

Json bytes_of(const data::Vocabulary& vocabulary) {
  Json list = Json::array();
  for (const char c : vocabulary.bytes())
    list.push_back(static_cast<unsigned>(static_cast<unsigned char>(c)));
  return list;
}

// Something to begin with, of bytes that the text has: its first word.
std::string first_word(const data::Text& text) {
  std::string words;
  for (const std::int32_t token : text.train().first(std::min<std::size_t>(text.train().size(), 60))) {
    const char c = text.vocabulary().decode(token);
    if (std::isalpha(static_cast<unsigned char>(c)) != 0) {
      words += c;
    } else if (!words.empty()) {
      break;
    }
  }
  return words.empty() ? std::string(1, text.vocabulary().decode(text.train().front())) : words;
}

std::string fixed(double x, int digits) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*f", digits, x);
  return text;
}

// A few held-out sums and what the model says.
std::vector<std::pair<std::string, std::string>> some_answers(Tape& tape, const nn::Gpt& model) {
  std::vector<std::pair<std::string, std::string>> answers;
  data::TokenBatch batch;
  data::Addition::held_out_batch(0, 8, batch);
  for (std::int64_t b = 0; b < batch.batch; ++b) {
    const auto digits = [&](std::int64_t first) {
      std::int64_t n = 0;
      for (std::int64_t i = 0; i < 3; ++i)
        n = 10 * n + batch.tokens[static_cast<std::size_t>(b * batch.time + first + i)];
      return n;
    };
    const std::int64_t sum = digits(0) + digits(4);
    const std::string prompt = std::to_string(digits(0)) + "+" + std::to_string(digits(4)) + "=";
    const std::string given = answer(tape, model, prompt);
    answers.emplace_back(
        prompt, given + (given == std::to_string(sum) ? "" : "   (wrong: " + std::to_string(sum) + ")"));
  }
  return answers;
}

// A run has read its text before: that it is too short for the context now is no reason to choose another
// one.
void require_as_long_as_it_was(const TransformerFlags& flags, std::size_t bytes) {
  if (!flags.run.resume || !holds_a_run(flags.run.out)) return;
  if (bytes > static_cast<std::size_t>(flags.context)) return;
  refuse_changed_data(data::printable(flags.data), data::printable(flags.run.out),
                      "it has " + std::to_string(bytes) + " bytes now, too few for a context of " +
                          std::to_string(flags.context));
}

// What a Transformer learns from: sums, made as they are asked for, or a text.
class Corpus {
 public:
  explicit Corpus(const TransformerFlags& flags) {
    if (flags.data == "addition") return;
    if (!names_a_file(flags.data)) {
      throw UsageError(
          "--data " + data::printable(flags.data) + ": neither a file nor addition" +
          (is_built_in(flags.data) ? "; did you mean reel train classifier --data " + flags.data + "?" : ""));
    }
    const std::string bytes = read_text(flags.data);
    require_as_long_as_it_was(flags, bytes.size());
    text_.emplace(bytes, data::printable(flags.data), flags.context);
  }

  bool addition() const { return !text_; }
  // Of a corpus that is no sums.
  const data::Text& text() const { return *text_; }
  const data::Vocabulary& vocabulary() const {
    return addition() ? data::Addition::vocabulary() : text_->vocabulary();
  }

  void read_batch(std::uint64_t seed, std::int64_t index, std::int64_t rows, data::TokenBatch& batch) const {
    if (addition()) {
      data::Addition::training_batch(seed, index, rows, batch);
    } else {
      text_->random_batch(seed, index, rows, batch);
    }
  }

  // The rows of a batch, in words.
  std::string rows_of(const data::TokenBatch& batch) const {
    return addition() ? "sums " + listed(batch.origins) + " of the seed's sequence"
                      : "windows at " + listed(batch.origins) + " of the training part";
  }

  LanguageScore score(Tape& tape, const nn::Gpt& model) const {
    return addition() ? score_addition(tape, model, held_out_sums) : score_text(tape, model, *text_);
  }

 private:
  std::optional<data::Text> text_;
};

// What learns, what it learns from, and how it does.
struct Learner {
  explicit Learner(const TransformerFlags& complete)
      : flags(complete),
        corpus(flags),
        model(nn::Seed{flags.run.seed}, {.vocabulary = corpus.vocabulary().size(),
                                         .context = flags.context,
                                         .layers = flags.layers,
                                         .heads = flags.heads,
                                         .width = flags.width,
                                         .dropout = flags.dropout,
                                         .rotary = flags.positions == "rotary"}),
        adam(model, {.learning_rate = flags.lr,
                     .beta1 = flags.beta1,
                     .beta2 = flags.beta2,
                     .weight_decay = flags.weight_decay,
                     .clip_norm = flags.clip}) {}

  const TransformerFlags flags;
  const Corpus corpus;
  nn::Gpt model;
  nn::AdamW adam;
  data::TokenBatch batch;  // the one that was read last
  LanguageScore score;     // of the last evaluation
};

void read_batch(Learner& learner, std::int64_t step, std::int64_t part) {
  const TransformerFlags& flags = learner.flags;
  learner.corpus.read_batch(flags.run.seed, step * flags.accumulate + part, flags.batch, learner.batch);
}

KeptBatch kept_batch(Learner& learner, std::int64_t step, std::int64_t part) {
  read_batch(learner, step, part);
  const data::TokenBatch& batch = learner.batch;
  KeptBatch kept;
  const std::array<std::int64_t, 2> shape = {batch.batch, batch.time};
  kept.arrays.add("tokens", shape, batch.tokens);
  kept.arrays.add("targets", shape, batch.targets);
  kept.arrays.add("origins", std::array{batch.batch}, batch.origins);
  kept.rows = learner.corpus.rows_of(batch);
  return kept;
}

Evaluation evaluate(Learner& learner, Tape& tape) {
  learner.score = learner.corpus.score(tape, learner.model);
  const LanguageScore& score = learner.score;
  Evaluation e{{{"validation_loss", score.loss}}, "validation " + fixed(score.loss, 4), score.loss};
  if (learner.corpus.addition()) {
    e.values["exact_match"] = score.exact_match;
    e.note = "right " + fixed(100 * score.exact_match, 1) + " %";
  }
  return e;
}

Json config_of(const Learner& learner) {
  const TransformerFlags& flags = learner.flags;
  Json config = {{"task", "transformer"},
                 {"data", flags.data},
                 {"layers", flags.layers},
                 {"heads", flags.heads},
                 {"width", flags.width},
                 {"context", flags.context},
                 {"batch", flags.batch},
                 {"steps", flags.steps},
                 {"lr", flags.lr},
                 {"min_lr", flags.min_lr},
                 {"warmup", flags.warmup},
                 {"dropout", flags.dropout},
                 {"weight_decay", flags.weight_decay},
                 {"beta1", flags.beta1},
                 {"beta2", flags.beta2},
                 {"clip", flags.clip},
                 {"accumulate", flags.accumulate},
                 {"positions", flags.positions},
                 {"seed", flags.run.seed},
                 {"precision", flags.run.precision},
                 {"bytes", bytes_of(learner.corpus.vocabulary())},
                 {"model", json_of(learner.model.config())}};
  if (!learner.corpus.addition()) config["data_digest"] = digest_of(learner.corpus.text());
  return config;
}

// Keeps a reference to the learner.
Training training_of(Learner& learner) {
  const TransformerFlags& flags = learner.flags;
  return {.model = learner.model,
          .optimizer = learner.adam,
          .schedule = nn::Schedule::cosine({.learning_rate = flags.lr,
                                            .steps = flags.steps,
                                            .warmup_steps = flags.warmup,
                                            .start_factor = 1.0 / static_cast<double>(flags.warmup + 1),
                                            .minimum = flags.min_lr}),
          .steps = flags.steps,
          .parts = flags.accumulate,
          .unit = "tokens",
          .loss =
              [&learner](Tape& tape, std::int64_t step, std::int64_t part, std::int64_t& units) {
                read_batch(learner, step, part);
                units = learner.batch.batch * learner.batch.time;
                return transformer_loss(tape, learner.model, learner.batch);
              },
          .evaluate = [&learner](Tape& tape) { return evaluate(learner, tape); },
          .keep_batch = [&learner](std::int64_t step,
                                   std::int64_t part) { return kept_batch(learner, step, part); },
          .config = config_of(learner)};
}

void announce(const Learner& learner, const RunDirectory& directory) {
  const TransformerFlags& flags = learner.flags;
  if (flags.run.json || flags.run.progress == ProgressStyle::none) return;
  std::cerr << "Training a Transformer of " << flags.layers << " layers, " << flags.heads << " heads, width "
            << flags.width << " (" << learner.model.parameters().parameters() << " parameters) on "
            << data::printable(flags.data) << "; run directory " << data::printable(directory.path()) << "\n";
}

Report report_of(const Learner& learner, const Json& config, const Outcome& outcome) {
  const LanguageScore& score = learner.score;
  Report report;
  report.title = "Transformer on " + learner.flags.data;
  report.results = {{"validation loss", fixed(score.loss, 4)},
                    {"training loss", fixed(outcome.train_loss, 4)},
                    {"parameters", std::to_string(learner.model.parameters().parameters())},
                    {"skipped steps", std::to_string(outcome.skipped)},
                    {"fingerprint", outcome.fingerprint}};
  if (learner.corpus.addition()) {
    report.results.insert(report.results.begin(),
                          {"held-out sums answered right", fixed(100 * score.exact_match, 2) + " %"});
    Tape tape(Precision::f32, products_of(learner.flags.run.precision));
    report.samples = some_answers(tape, learner.model);
  }
  for (const auto& [key, value] : config.items()) {
    if (key != "bytes" && key != "model" && key != "data_digest")
      report.settings.emplace_back(key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  report.curves = {{"training, moving average", outcome.losses}, {"held out", outcome.held_out}};
  return report;
}

// What --json prints.
Json json_of(const Learner& learner, const Outcome& outcome, const RunDirectory& directory) {
  const LanguageScore& score = learner.score;
  return {{"task", "transformer"},
          {"data", learner.flags.data},
          {"steps", learner.flags.steps},
          {"parameters", learner.model.parameters().parameters()},
          {"threads", kernels::threads()},
          {"train_loss", outcome.train_loss},
          {"validation_loss", score.loss},
          {"exact_match", learner.corpus.addition() ? Json(score.exact_match) : Json(nullptr)},
          {"skipped_steps", outcome.skipped},
          {"seconds", outcome.seconds},
          {"tokens_per_second", units_per_second(outcome)},
          {"fingerprint", outcome.fingerprint},
          {"checkpoint", directory.checkpoint().string()},
          {"report", directory.report().string()}};
}

void print(const Learner& learner, const Outcome& outcome, const RunDirectory& directory) {
  const LanguageScore& score = learner.score;
  if (learner.corpus.addition()) {
    std::printf("\nheld-out sums    %.2f %% of %ld answered right\n", 100 * score.exact_match,
                static_cast<long>(held_out_sums));
  }
  std::printf("validation loss  %.4f (training %.4f)\n", score.loss, outcome.train_loss);
  std::printf("time             %.1f s of training, %.0f tokens/s, %d thread%s\n", outcome.seconds,
              units_per_second(outcome), kernels::threads(), kernels::threads() == 1 ? "" : "s");
  print_end_of_run(outcome, directory, 17);
  std::cout << "\nTry: ./reel generate --model " << shell_word(directory.checkpoint().string())
            << " --prompt "
            << shell_word(learner.corpus.addition() ? "47+385=" : first_word(learner.corpus.text())) << "\n";
}

}  // namespace

int train_transformer(const TransformerFlags& given) {
  Learner learner(completed(given));
  const RunFlags& flags = learner.flags.run;
  Training training = training_of(learner);
  RunDirectory directory(flags, "transformer-" + std::filesystem::path(learner.flags.data).stem().string());
  announce(learner, directory);
  const Outcome outcome = train(training, flags, directory);
  if (outcome.interrupted) {
    say_how_to_go_on("transformer", outcome, directory);
    return interrupted;
  }

  learner.model.eval();
  const Report report = report_of(learner, training.config, outcome);
  nn::write_file_atomically(directory.report(), html_of(report));
  if (flags.json) {
    std::cout << json_of(learner, outcome, directory).dump() << "\n";
    return ok;
  }
  for (const auto& [prompt, answer_given] : report.samples)
    std::cout << "  " << prompt << answer_given << "\n";
  print(learner, outcome, directory);
  return ok;
}

}  // namespace reel::examples
