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
  if (test.classes() > static_cast<std::int64_t>(classes.size())) {
    throw UsageError(data + " has " + std::to_string(test.classes()) + " classes, the model knows " +
                     std::to_string(classes.size()));
  }
  test.class_names = classes;

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
