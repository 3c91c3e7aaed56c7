#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <utility>

#include "data/error.h"
#include "data/file.h"
#include "examples/classifier.h"
#include "examples/commands.h"
#include "examples/data_name.h"
#include "examples/exit_code.h"
#include "examples/finite_result.h"
#include "examples/model_file.h"
#include "examples/transformer.h"
#include "examples/usage_error.h"

namespace reel::examples {
namespace {

using Json = nlohmann::ordered_json;

// The first few names.
std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t most = 10;
  std::string text;
  for (std::size_t i = 0; i < std::min(most, names.size()); ++i)
    text += (i == 0 ? "" : ", ") + data::excerpt(names[i]);
  return names.size() > most ? text + ", ..." : text;
}

// Gives every label the number that its class has in the model: files count the classes that they hold. A
// file with the numbers 0 and 9 has eight names between them that no sample has, and nobody need know.
void name_classes(data::Dataset& measured, const data::Dataset& rest, const std::vector<std::string>& known) {
  const std::vector<std::string> names = measured.class_names;
  std::vector<bool> occurs(names.size());
  for (const data::Dataset* part : {&rest, static_cast<const data::Dataset*>(&measured)}) {
    for (const std::int32_t label : part->labels) occurs[static_cast<std::size_t>(label)] = true;
  }
  std::vector<std::int32_t> number;
  for (std::size_t c = 0; c < names.size(); ++c) {
    const auto found = std::find(known.begin(), known.end(), names[c]);
    if (occurs[c] && found == known.end()) {
      throw UsageError(measured.name + ": the model knows no class \"" + data::excerpt(names[c]) +
                       "\", only " + listed(known));
    }
    number.push_back(static_cast<std::int32_t>(found - known.begin()));
  }
  for (std::int32_t& label : measured.labels) label = number[static_cast<std::size_t>(label)];
  measured.class_names = known;
}

// As training would divide the data, or undivided if it would not take it and all is measured anyway.
data::Split divided_if_it_can_be(data::Split data, double test_fraction, std::uint64_t seed) {
  if (data.test.count > 0) return data;
  try {
    return divided(data.train, test_fraction, seed);
  } catch (const data::DataError&) {
    return data;
  }
}

// What `measure` found, unless its loss is not finite: then nothing that it found means anything.
template <class Measure>
auto finite_score(Tape& tape, const ModelFile& file, const std::string& data, const Measure& measure) {
  return finite_result(tape, file, "its loss on " + data::printable(data),
                       "measure the best.safetensors of its run, or train again with a smaller --lr", measure,
                       [](const auto& score) { return std::isfinite(score.loss); });
}

// What a classifier is measured on.
struct ClassifierData {
  std::string name;
  std::string digest;             // of all of it, as training has it
  std::int64_t all = 0;           // samples
  std::int64_t for_training = 0;  // of them, as training divides them
  data::Dataset measured;         // of the model's classes
};

// The standardised data, in the parts that training would have made of it.
data::Split split_as_in_training(const NamedData& named, const Settings& settings, bool whole) {
  const double test_fraction = settings.fraction("test_fraction");
  const std::uint64_t seed = settings.seed("seed");
  data::Split split = whole ? divided_if_it_can_be(undivided_data(named, seed, true), test_fraction, seed)
                            : classifier_data(named, test_fraction, seed);
  const data::Standardizer standardizer = standardizer_of(settings);
  standardizer.apply(split.train);
  if (split.test.count > 0) standardizer.apply(split.test);
  return split;
}

// The data that the flags name, or else that the model was trained on.
ClassifierData data_for_classifier(const EvaluateFlags& flags, const ModelFile& file,
                                   const std::vector<std::string>& classes) {
  const Settings settings = file.settings();
  const bool other_data = !flags.data.empty();
  ClassifierData result;
  result.name = other_data ? flags.data : settings.name("data");
  const NamedData named = {.name = result.name,
                           .labels = other_data ? flags.labels : settings.name("labels"),
                           .label_column = flags.label_column,
                           .ignore_columns = flags.ignore_columns,
                           .known = known_columns(settings)};
  if (!other_data) {
    const std::string why =
        data::printable(file.file.name()) + " was trained on it; give its new place with --data";
    require_there(result.name, why);
    require_there(named.labels, why + " and --labels");
  }
  data::Split split;
  try {
    split = split_as_in_training(named, settings, flags.whole);
  } catch (const data::DataError& e) {
    const std::string& ignored = named.known.ignore_columns;
    if (!other_data || ignored.empty() || !named.ignore_columns.empty()) throw;
    throw data::DataError(e.what() + ("; training ignored " + data::excerpt(ignored)) +
                          ": if this file has other columns to be ignored, or none, say so with "
                          "--ignore-columns");
  }
  result.digest = digest_of(split);  // before the labels change
  result.for_training = split.train.count;
  result.all = split.train.count + split.test.count;
  data::Dataset rest;
  if (flags.whole) {
    result.measured = joined(std::move(split));
  } else {
    result.measured = std::move(split.test);
    rest = std::move(split.train);
  }
  name_classes(result.measured, rest, classes);
  return result;
}

int evaluate_classifier(const EvaluateFlags& flags, const ModelFile& file) {
  const auto model = classifier_of(file);
  model->eval();
  const auto classes = file.settings().texts("classes");
  const ClassifierData data = data_for_classifier(flags, file, classes);
  const Json same = file.is_of_training(data.name, data.digest);

  Tape tape(Precision::f32, file.products());
  const Score result =
      finite_score(tape, file, data.name, [&] { return score(tape, *model, data.measured); });
  if (flags.json) {
    std::cout << Json{{"task", "classifier"},
                      {"data", data.name},
                      {"same_data_as_training", same},
                      {"split", flags.whole ? "all" : "held-out"},
                      {"samples", data.measured.count},
                      {"held_out_of", data.all},
                      {"test_accuracy", result.accuracy},
                      {"test_loss", result.loss},
                      {"classes", classes},
                      {"confusion", result.confusion}}
                     .dump()
              << "\n";
    return ok;
  }
  std::cout << confusion_text(result, classes) << "\n";
  std::printf("test accuracy  %.2f %% on ", 100 * result.accuracy);
  if (!flags.whole) {
    std::printf("%ld samples, the held-out part of %ld", static_cast<long>(data.measured.count),
                static_cast<long>(data.all));
    if (same == false) std::printf("; --split all measures all of them");
  } else {
    std::printf("all %ld samples", static_cast<long>(data.all));
    if (same == true)
      std::printf(", of which the model learned from %ld", static_cast<long>(data.for_training));
  }
  std::printf("\ntest loss      %.4f\n", result.loss);
  return ok;
}

int evaluate_transformer(const EvaluateFlags& flags, const ModelFile& file) {
  const NamedData named = {
      .labels = flags.labels, .label_column = flags.label_column, .ignore_columns = flags.ignore_columns};
  if (const char* const flag = flag_for_a_file(named))
    throw UsageError(std::string(flag) + " goes with a classifier; " + data::printable(flags.model) +
                     " holds a transformer");
  const LoadedGpt loaded = load_gpt(file);
  const std::string data = flags.data.empty() ? file.settings().name("data") : flags.data;
  Tape tape(Precision::f32, file.products());
  Json result = {{"task", "transformer"}, {"data", data}};
  if (loaded.addition != (data == "addition")) {
    throw UsageError(data::printable(flags.model) + " was trained on " +
                     data::excerpt(file.settings().name("data")) + "; it cannot be measured on " +
                     data::printable(data));
  }
  if (loaded.addition && flags.whole) {
    throw UsageError(
        "--split all goes with data that has an end; of sums, those are measured that training never sees: "
        "leave it out");
  }
  const std::string part = flags.whole ? "all" : "held-out";
  if (loaded.addition) {
    result["same_data_as_training"] = true;  // there is only one
    const LanguageScore score =
        finite_score(tape, file, data, [&] { return score_addition(tape, *loaded.model, held_out_sums); });
    result["split"] = part;
    result["samples"] = held_out_sums;
    result["validation_loss"] = score.loss;
    result["exact_match"] = score.exact_match;
  } else {
    if (flags.data.empty())
      require_there(data,
                    data::printable(flags.model) + " was trained on it; give its new place with --data");
    const data::Text text(read_text(data), data::printable(data), loaded.model->config().context,
                          loaded.vocabulary);
    result["same_data_as_training"] = file.is_of_training(data, digest_of(text));
    const LanguageScore score =
        finite_score(tape, file, data, [&] { return score_text(tape, *loaded.model, text, flags.whole); });
    result["split"] = part;
    result["tokens"] = score.tokens;
    result["validation_loss"] = score.loss;
  }
  if (flags.json) {
    std::cout << result.dump() << "\n";
    return ok;
  }
  std::printf("validation loss  %.4f on ", result["validation_loss"].get<double>());
  if (loaded.addition) {
    std::printf("sums that training never sees\nexact match      %.2f %% of %ld held-out sums\n",
                100 * result["exact_match"].get<double>(), static_cast<long>(held_out_sums));
    return ok;
  }
  std::printf(
      "%s, %ld tokens%s\n", flags.whole ? "the whole text" : "the last tenth of the text",
      static_cast<long>(result["tokens"].get<std::int64_t>()),
      flags.whole && result["same_data_as_training"] == true ? ", most of which the model learned from" : "");
  return ok;
}

}  // namespace

int run_evaluate(const EvaluateFlags& flags) {
  const ModelFile file = read_model(flags.model);
  if (file.config.at("task") == "classifier") return evaluate_classifier(flags, file);
  return evaluate_transformer(flags, file);
}

}  // namespace reel::examples
