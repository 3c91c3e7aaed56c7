#include <algorithm>
#include <cstdio>
#include <iostream>

#include "examples/classifier.h"
#include "examples/commands.h"
#include "examples/exit_code.h"
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
  for (std::size_t i = 0; i < std::min(most, names.size()); ++i) text += (i == 0 ? "" : ", ") + names[i];
  return names.size() > most ? text + ", ..." : text;
}

// Gives every label the number that its class has in the model: files count the classes that they hold. A
// file with the numbers 0 and 9 has eight names between them that no sample has, and nobody need know.
void name_classes(data::Split& split, const std::vector<std::string>& known) {
  const std::vector<std::string> names = split.test.class_names;
  std::vector<bool> occurs(names.size());
  for (const data::Dataset* part : {&split.train, &split.test}) {
    for (const std::int32_t label : part->labels) occurs[static_cast<std::size_t>(label)] = true;
  }
  std::vector<std::int32_t> number;
  for (std::size_t c = 0; c < names.size(); ++c) {
    const auto found = std::find(known.begin(), known.end(), names[c]);
    if (occurs[c] && found == known.end()) {
      throw UsageError(split.test.name + ": the model knows no class \"" + names[c] + "\", only " +
                       listed(known));
    }
    number.push_back(static_cast<std::int32_t>(found - known.begin()));
  }
  for (std::int32_t& label : split.test.labels) label = number[static_cast<std::size_t>(label)];
  split.test.class_names = known;
}

int evaluate_classifier(const EvaluateFlags& flags, const ModelFile& file) {
  const Settings settings = file.settings();
  const auto model = classifier_of(file);
  model->eval();
  const auto classes = settings.texts("classes");
  const data::Standardizer standardizer{settings.floats("mean"), settings.floats("deviation")};
  const auto features = static_cast<std::size_t>(settings.whole("features", 1));
  if (standardizer.mean.size() != features) settings.fail("mean", "has another length than the features");
  if (standardizer.deviation.size() != features)
    settings.fail("deviation", "has another length than the features");
  if (std::any_of(standardizer.deviation.begin(), standardizer.deviation.end(),
                  [](float d) { return d <= 0; }))
    settings.fail("deviation", "has a number that is not above 0");

  const bool other_data = !flags.data.empty();
  const std::string data = other_data ? flags.data : settings.text("data");
  const auto part = [&](const char* key, const std::string& flag) {
    return other_data ? flag : settings.text(key);
  };
  data::Split split =
      classifier_data(data, part("labels", flags.labels), part("label_column", flags.label_column),
                      settings.fraction("test_fraction"), settings.seed("seed"));
  standardizer.apply(split.train);
  standardizer.apply(split.test);
  const std::string digest = digest_of(split);  // before the labels change
  name_classes(split, classes);
  const data::Dataset& test = split.test;
  const Json same = file.is_of_training(data, digest);

  Tape tape(Precision::f32, file.products());
  const Score result = score(tape, *model, test);
  const std::int64_t all = split.train.count + test.count;
  if (flags.json) {
    std::cout << Json{{"task", "classifier"},
                      {"data", data},
                      {"same_data_as_training", same},
                      {"samples", test.count},
                      {"held_out_of", all},
                      {"test_accuracy", result.accuracy},
                      {"test_loss", result.loss},
                      {"confusion", result.confusion}}
                     .dump()
              << "\n";
    return ok;
  }
  std::cout << confusion_text(result, classes) << "\n";
  std::printf("test accuracy  %.2f %% on %ld samples, the held-out part of %ld\ntest loss      %.4f\n",
              100 * result.accuracy, static_cast<long>(test.count), static_cast<long>(all), result.loss);
  return ok;
}

}  // namespace

int run_evaluate(const EvaluateFlags& flags) {
  const ModelFile file = read_model(flags.model);
  if (file.config.at("task") == "classifier") return evaluate_classifier(flags, file);
  return evaluate_transformer(flags, file);
}

}  // namespace reel::examples
