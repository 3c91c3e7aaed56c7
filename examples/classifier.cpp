#include "examples/classifier.h"

#include <algorithm>
#include <array>
#include <iomanip>
#include <span>
#include <sstream>
#include <string_view>
#include <utility>

#include "data/batches.h"
#include "data/digits.h"
#include "data/error.h"
#include "data/fashion_mnist.h"
#include "data/file.h"
#include "data/idx.h"
#include "data/synthetic.h"
#include "examples/column_list.h"
#include "examples/data_name.h"
#include "examples/usage_error.h"
#include "nn/sha256.h"

namespace reel::examples {
namespace {

// `options` beside what `named` says.
data::Dataset from_file(const NamedData& named, data::CsvOptions options) {
  const auto& [path, labels, label_column, ignore_columns, known] = named;
  const std::string bytes = data::read_file(path);
  const std::string name = data::printable(path);
  if (labels.empty()) refuse_gzip(path, bytes);
  if (data::looks_like_idx(bytes)) {
    const NamedData columns = {.label_column = label_column, .ignore_columns = ignore_columns};
    if (const char* const flag = flag_for_a_file(columns))
      throw UsageError(name + " is an IDX file; " + flag + " goes with CSV files only");
    if (!options.labelled) return data::idx_images(data::parse_idx(bytes, name));
    if (labels.empty()) throw UsageError(name + " is an IDX file; name the file of its labels with --labels");
    return data::idx_pair(data::parse_idx(bytes, name), data::read_idx(labels), 0, options.one_class);
  }
  if (!labels.empty()) throw UsageError(name + " is not an IDX file; --labels goes with IDX files only");
  options.label_column = label_column.empty() ? known.label_column : label_column;
  options.ignored_columns = read_column_list(ignore_columns.empty() ? known.ignore_columns : ignore_columns);
  options.feature_columns = known.feature_names;
  if (label_column.empty()) options.label_name = known.label_name;
  return data::parse_csv(bytes, name, options);
}

// How many samples go through a model at a time where it does not learn.
constexpr std::int64_t rows_at_once = 512;

}  // namespace

bool is_built_in(const std::string& name) {
  constexpr std::array<std::string_view, 6> built_in = {"digits", "iris",  "spirals",
                                                        "moons",  "blobs", "fashion-mnist"};
  return std::find(built_in.begin(), built_in.end(), name) != built_in.end();
}

const char* flag_for_a_file(const NamedData& named) {
  return !named.labels.empty()           ? "--labels"
         : !named.label_column.empty()   ? "--label-column"
         : !named.ignore_columns.empty() ? "--ignore-columns"
                                         : nullptr;
}

data::Split undivided_data(const NamedData& named, std::uint64_t seed, bool one_class) {
  const std::string& name = named.name;
  const char* const flag = flag_for_a_file(named);
  if (flag != nullptr && is_built_in(name))
    throw UsageError(flag + (" goes with a file; " + name + " has its ") +
                     (named.labels.empty() && named.label_column.empty() ? "features" : "labels") +
                     " already");
  if (name == "fashion-mnist") return data::fashion_mnist();
  data::Dataset all;
  if (name == "digits") {
    all = data::digits();
  } else if (name == "iris") {
    all = data::iris();
  } else if (name == "spirals") {
    all = data::spirals({.seed = seed});
  } else if (name == "moons") {
    all = data::moons({.seed = seed});
  } else if (name == "blobs") {
    all = data::blobs({.seed = seed});
  } else if (!names_a_file(name)) {
    throw UsageError("--data " + data::printable(name) +
                     ": neither a file nor one of digits, iris, spirals, moons, blobs, fashion-mnist");
  } else {
    all = from_file(named, {.one_class = one_class});
  }
  return {std::move(all), {}};
}

data::Split divided(const data::Dataset& all, double test_fraction, std::uint64_t seed) {
  if (all.classes() > all.count) {
    const bool table = all.header.has_value();  // else images, whose labels have a file of their own
    throw data::DataError(all.name + ": its labels are of " + std::to_string(all.classes()) +
                          " classes, but it has only " + std::to_string(all.count) +
                          (table ? " rows; choose the column of the classes with --label-column"
                                 : " images; there are as many classes as the largest label says: number "
                                   "them 0, 1, 2 and so on in the file of the labels"));
  }
  return data::split(all, test_fraction, seed);
}

data::Split classifier_data(const NamedData& named, double test_fraction, std::uint64_t seed) {
  data::Split data = undivided_data(named, seed);
  return data.test.count > 0 ? std::move(data) : divided(data.train, test_fraction, seed);
}

data::Dataset unlabelled_data(const NamedData& named, data::CsvOptions::Header header, std::uint64_t seed) {
  if (!is_built_in(named.name) && names_a_file(named.name))
    return from_file(named, {.header = header, .labelled = false});
  return joined(undivided_data(named, seed));  // or a name of nothing, refused
}

data::Dataset joined(data::Split split) {
  data::Dataset all = std::move(split.train);
  all.inputs.insert(all.inputs.end(), split.test.inputs.begin(), split.test.inputs.end());
  all.labels.insert(all.labels.end(), split.test.labels.begin(), split.test.labels.end());
  all.count += split.test.count;
  return all;
}

std::string digest_of(const data::Split& split) {
  nn::Sha256 digest;
  for (const data::Dataset* part : {&split.train, &split.test}) {
    digest.add(part->inputs.data(), part->inputs.size() * sizeof(float));
    digest.add(part->labels.data(), part->labels.size() * sizeof(std::int32_t));
  }
  return digest.hex();
}

KnownColumns known_columns(const Settings& settings) {
  KnownColumns known = {.label_column = settings.name("label_column")};
  if (settings.has("ignore_columns")) {
    known.ignore_columns = settings.text("ignore_columns");
    try {
      read_column_list(known.ignore_columns);
    } catch (const data::DataError&) {
      settings.fail("ignore_columns", "is no list of columns");
    }
  }
  if (settings.has("label_name")) known.label_name = settings.text("label_name");
  if (!settings.has("feature_names")) return known;
  known.feature_names = settings.texts("feature_names");
  if (static_cast<std::int64_t>(known.feature_names.size()) != settings.whole("features", 1))
    settings.fail("feature_names", "has another length than the features");
  return known;
}

data::Standardizer standardizer_of(const Settings& settings) {
  data::Standardizer standardizer{settings.floats("mean"), settings.floats("deviation")};
  const auto features = static_cast<std::size_t>(settings.whole("features", 1));
  if (standardizer.mean.size() != features) settings.fail("mean", "has another length than the features");
  if (standardizer.deviation.size() != features)
    settings.fail("deviation", "has another length than the features");
  if (std::any_of(standardizer.deviation.begin(), standardizer.deviation.end(),
                  [](float d) { return d <= 0; }))
    settings.fail("deviation", "has a number that is not above 0");
  return standardizer;
}

std::unique_ptr<nn::Mlp> classifier_of(const ModelFile& file) {
  const Settings settings = file.settings();
  std::vector<std::int64_t> sizes = {settings.whole("features", 1)};
  for (const std::int64_t n : settings.wholes("hidden", 1)) sizes.push_back(n);
  sizes.push_back(static_cast<std::int64_t>(settings.texts("classes").size()));
  for (const std::int64_t size : sizes) file.require_room_for(size, "a layer", file.file.file().size());
  file.require_room_for(static_cast<std::int64_t>(sizes.size()) - 1, "layers", file.file.entries().size());
  double weights = 0;
  for (std::size_t i = 1; i < sizes.size(); ++i)
    weights += static_cast<double>(sizes[i - 1]) * static_cast<double>(sizes[i]);
  file.require_room_for_weights(weights);
  auto model = std::make_unique<nn::Mlp>(nn::Seed{settings.seed("seed")}, sizes,
                                         nn::MlpOptions{.dropout = settings.fraction("dropout")});
  file.load(model->parameters());
  return model;
}

Tensor classifier_loss(Tape& tape, const nn::Mlp& model, const data::Batch& batch) {
  const std::int64_t features =
      batch.count > 0 ? static_cast<std::int64_t>(batch.inputs.size()) / batch.count : 0;
  return cross_entropy(model(tape.from_blob(batch.inputs, {batch.count, features})), batch.labels);
}

Score score(Tape& tape, const nn::Mlp& model, const data::Dataset& data) {
  const data::Batches batches(data, std::min(rows_at_once, data.count), 0);
  const auto classes = static_cast<std::size_t>(data.classes());
  Score result;
  // Its size is their square: a column of numbers that was taken for classes must not take all memory.
  constexpr std::size_t most_classes = 1000;
  const bool counts = classes <= most_classes;
  if (counts) result.confusion.assign(classes, std::vector<std::int64_t>(classes));
  std::int64_t right = 0;
  for (std::int64_t b = 0; b < batches.per_epoch(); ++b) {
    const data::Batch batch = batches.in_order(b);
    const auto step = tape.inference();
    const Tensor logits = model(tape.from_blob(batch.inputs, {batch.count, data.features}));
    // Weighted by its rows: the last batch is smaller.
    result.loss += cross_entropy(logits, batch.labels, {.reduction = Reduction::sum}).item();
    const std::vector<std::int32_t> likeliest = argmax(logits);
    for (std::size_t i = 0; i < batch.labels.size(); ++i) {
      const auto predicted = static_cast<std::size_t>(likeliest[i]);
      const auto truth = static_cast<std::size_t>(batch.labels[i]);
      if (counts) ++result.confusion[truth][predicted];
      right += truth == predicted ? 1 : 0;
    }
  }
  result.loss /= static_cast<double>(data.count);
  result.accuracy = static_cast<double>(right) / static_cast<double>(data.count);
  return result;
}

Predictions predict(Tape& tape, const nn::Mlp& model, const data::Dataset& data, bool of_all_classes) {
  Predictions result;
  for (std::int64_t first = 0; first < data.count; first += rows_at_once) {
    const std::int64_t count = std::min(rows_at_once, data.count - first);
    const auto inputs = std::span(data.inputs)
                            .subspan(static_cast<std::size_t>(first * data.features),
                                     static_cast<std::size_t>(count * data.features));
    const auto step = tape.inference();
    const Tensor logits = model(tape.from_blob(inputs, {count, data.features}));
    const Tensor probabilities = softmax(logits);
    const std::vector<std::int32_t> likeliest = argmax(logits);
    const std::span<const float> all = probabilities.data();
    const std::size_t classes = all.size() / likeliest.size();
    for (std::size_t i = 0; i < likeliest.size(); ++i)
      result.probabilities.push_back(all[i * classes + static_cast<std::size_t>(likeliest[i])]);
    result.classes.insert(result.classes.end(), likeliest.begin(), likeliest.end());
    if (of_all_classes) result.of_all_classes.insert(result.of_all_classes.end(), all.begin(), all.end());
  }
  return result;
}

std::string confusion_text(const Score& score, const std::vector<std::string>& classes) {
  constexpr std::size_t most = 20;
  if (classes.size() > most) return "";
  std::vector<std::string> names;
  std::size_t width = 5;
  std::size_t name = 4;
  for (const std::string& c : classes) {
    names.push_back(data::excerpt(c));
    width = std::max(width, names.back().size());
    name = std::max(name, names.back().size());
  }
  const auto cell = [](std::size_t w) { return std::setw(static_cast<int>(w)); };
  std::ostringstream text;
  text << std::left << cell(name) << "true"
       << "  predicted\n"
       << cell(name) << "" << std::right;
  for (const std::string& c : names) text << "  " << cell(width) << c;
  text << "\n";
  for (std::size_t i = 0; i < names.size(); ++i) {
    text << std::left << cell(name) << names[i] << std::right;
    for (const std::int64_t n : score.confusion[i]) {
      text << "  " << cell(width) << (n == 0 ? "." : std::to_string(n));
    }
    text << "\n";
  }
  return text.str();
}

}  // namespace reel::examples
