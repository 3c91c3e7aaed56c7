#include <algorithm>
#include <cstdio>
#include <iostream>

#include "examples/classifier.h"
#include "examples/commands.h"
#include "examples/exit_code.h"
#include "examples/model_file.h"
#include "examples/transformer.h"
#include "examples/usage_error.h"
#include "nn/error.h"
#include "nn/weights.h"

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

// Gives every label the number that its class has in the model: files count the classes that they hold.
void name_classes(data::Dataset& data, const std::vector<std::string>& known) {
  std::vector<std::int32_t> number;
  for (const std::string& name : data.class_names) {
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end())
      throw UsageError(data.name + ": the model knows no class \"" + name + "\", only " + listed(known));
    number.push_back(static_cast<std::int32_t>(found - known.begin()));
  }
  for (std::int32_t& label : data.labels) label = number[static_cast<std::size_t>(label)];
  data.class_names = known;
}

int evaluate_classifier(const EvaluateFlags& flags, const ModelFile& file) {
  const Json& config = file.config;
  const bool other_data = !flags.data.empty();
  const std::string data = other_data ? flags.data : config.at("data").get<std::string>();
  const auto part = [&](const char* key, const std::string& flag) {
    return other_data ? flag : config.at(key).get<std::string>();
  };
  data::Split split =
      classifier_data(data, part("labels", flags.labels), part("label_column", flags.label_column),
                      config.at("test_fraction").get<double>(), config.at("seed").get<std::uint64_t>());
  data::Dataset& test = split.test;
  const data::Standardizer standardizer{config.at("mean").get<std::vector<float>>(),
                                        config.at("deviation").get<std::vector<float>>()};
  standardizer.apply(test);
  const auto classes = config.at("classes").get<std::vector<std::string>>();
  name_classes(test, classes);

  const auto model = classifier_of(file);
  model->eval();
  Tape tape(Precision::f32, file.products());
  const Score result = score(tape, *model, test);
  if (flags.json) {
    std::cout << Json{{"task", "classifier"},     {"data", data},
                      {"samples", test.count},    {"test_accuracy", result.accuracy},
                      {"test_loss", result.loss}, {"confusion", result.confusion}}
                     .dump()
              << "\n";
    return ok;
  }
  std::cout << confusion_text(result, classes) << "\n";
  std::printf("test accuracy  %.2f %% on %ld samples\ntest loss      %.4f\n", 100 * result.accuracy,
              static_cast<long>(test.count), result.loss);
  return ok;
}

}  // namespace

int run_evaluate(const EvaluateFlags& flags) {
  const ModelFile file = read_model(flags.model);
  try {
    if (file.config.at("task") == "classifier") return evaluate_classifier(flags, file);
    return evaluate_transformer(flags, file);
  } catch (const Json::exception& e) {
    throw nn::FileError(flags.model + ": its configuration is damaged: " + e.what());
  }
}

}  // namespace reel::examples
