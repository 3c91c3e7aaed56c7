#include <algorithm>
#include <charconv>
#include <cmath>
#include <iostream>
#include <string_view>

#include "data/error.h"
#include "data/file.h"
#include "examples/classifier.h"
#include "examples/commands.h"
#include "examples/exit_code.h"
#include "examples/finite_result.h"
#include "examples/model_file.h"

namespace reel::examples {
namespace {

using Json = nlohmann::ordered_json;

// A field of a CSV file (RFC 4180).
std::string field(std::string_view text) {
  // Readers take spaces around a field away.
  const bool is_padded = text.starts_with(' ') || text.ends_with(' ');
  if (!is_padded && text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

// What JSON writes in the same digits: as a double, a float has twice as many.
double number(float x) {
  const std::string text = data::short_number(x);
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

void require_features(const data::Dataset& data, std::int64_t features, const std::string& passed_over) {
  if (data.features == features) return;
  const bool too_many = data.header.has_value() && data.features > features;
  const bool one_too_many = too_many && passed_over.empty() && data.features == features + 1;
  throw data::DataError(data.name + ": it has " + std::to_string(data.features) +
                        " features, but the model learned from " + std::to_string(features) +
                        (one_too_many ? "; if one column is the class, --label-column passes it over"
                         : too_many   ? "; --ignore-columns passes over those that it did not learn from"
                                      : ""));
}

void note_other_names(const data::Dataset& data, const std::vector<std::string>& names) {
  if (names.empty() || data.feature_names.empty() || data.feature_names == names) return;
  std::cerr << "reel: note: " << data.name << ": the header has none of the names that training saw, from \""
            << data::excerpt(names.front()) << "\" to \"" << data::excerpt(names.back())
            << "\"; its columns are taken in their order\n";
}

// One object, but written sample by sample: all in memory take fifty times the room of the numbers.
void print_json(const PredictFlags& flags, const Predictions& predictions,
                const std::vector<std::string>& classes) {
  const Json all = {{"task", "classifier"},
                    {"data", flags.data},
                    {"samples", predictions.classes.size()},
                    {"classes", classes}};
  std::string head = all.dump();
  head.pop_back();  // the brace that ends it
  std::cout << head << ",\"predictions\":[";
  for (std::size_t i = 0; i < predictions.classes.size() && std::cout; ++i) {
    Json one = {{"class", classes[static_cast<std::size_t>(predictions.classes[i])]},
                {"probability", number(predictions.probabilities[i])}};
    if (flags.probabilities) {
      Json& each = one["probabilities"] = Json::array();
      for (std::size_t c = 0; c < classes.size(); ++c)
        each.push_back(number(predictions.of_all_classes[i * classes.size() + c]));
    }
    std::cout << (i == 0 ? "" : ",") << one.dump();
  }
  std::cout << "]}\n";
}

void print_table(const PredictFlags& flags, const Predictions& predictions,
                 const std::vector<std::string>& classes) {
  std::cout << "class,probability";
  for (std::size_t c = 0; flags.probabilities && c < classes.size(); ++c)
    std::cout << "," << field("probability:" + classes[c]);
  std::cout << "\n";
  for (std::size_t i = 0; i < predictions.classes.size() && std::cout; ++i) {
    std::cout << field(classes[static_cast<std::size_t>(predictions.classes[i])]) << ","
              << data::short_number(predictions.probabilities[i]);
    for (std::size_t c = 0; flags.probabilities && c < classes.size(); ++c)
      std::cout << "," << data::short_number(predictions.of_all_classes[i * classes.size() + c]);
    std::cout << "\n";
  }
}

}  // namespace

int run_predict(const PredictFlags& flags) {
  const ModelFile file = read_model(flags.model, "classifier");
  const Settings settings = file.settings();
  const auto model = classifier_of(file);
  model->eval();
  const auto classes = settings.texts("classes");
  const data::Standardizer standardizer = standardizer_of(settings);
  const std::vector<std::string> names = known_columns(settings).feature_names;
  data::Dataset data = unlabelled_data({.name = flags.data,
                                        .label_column = flags.label_column,
                                        .ignore_columns = flags.ignore_columns,
                                        .known = {.feature_names = names}},
                                       flags.header, settings.seed("seed"));
  require_features(data, settings.whole("features", 1), flags.label_column);
  note_other_names(data, names);
  standardizer.apply(data);

  Tape tape(Precision::f32, file.products());
  const Predictions predictions = finite_result(
      tape, file, "what it makes of " + data::printable(flags.data), "look for them with reel inspect",
      [&] { return predict(tape, *model, data, flags.probabilities); },
      [](const Predictions& p) {
        return std::all_of(p.probabilities.begin(), p.probabilities.end(),
                           [](float x) { return std::isfinite(x); });
      });
  (flags.json ? print_json : print_table)(flags, predictions, classes);
  return ok;
}

}  // namespace reel::examples
