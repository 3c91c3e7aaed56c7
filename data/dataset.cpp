#include "data/dataset.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "data/error.h"
#include "kernels/philox.h"

namespace reel::data {
namespace {

constexpr std::uint64_t split_stream = 0x73706C6974;  // "split"

Dataset subset(const Dataset& all, const std::vector<bool>& chosen, bool wanted) {
  Dataset part;
  part.name = all.name;
  part.features = all.features;
  part.class_names = all.class_names;
  part.header = all.header;
  part.feature_names = all.feature_names;
  part.label_name = all.label_name;
  part.outputs = all.outputs;
  const auto features = static_cast<std::ptrdiff_t>(all.features);
  const auto outputs = static_cast<std::ptrdiff_t>(all.outputs);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i] != wanted) continue;
    const auto row = all.inputs.begin() + static_cast<std::ptrdiff_t>(i) * features;
    part.inputs.insert(part.inputs.end(), row, row + features);
    if (!all.labels.empty()) part.labels.push_back(all.labels[i]);
    const auto target = all.targets.begin() + static_cast<std::ptrdiff_t>(i) * outputs;
    part.targets.insert(part.targets.end(), target, target + outputs);
    ++part.count;
  }
  return part;
}

}  // namespace

bool Dataset::has_one_class() const {
  const bool alike = std::adjacent_find(labels.begin(), labels.end(), std::not_equal_to<>()) == labels.end();
  return classes() < 2 || (count > 1 && alike);
}

void Dataset::check_inputs() const {
  const auto refuse = [this](const std::string& what) { throw DataError(name + ": " + what); };
  if (count < 0 || features < 0)
    refuse(std::to_string(count) + " samples of " + std::to_string(features) +
           " features: neither may be negative");
  const auto given = static_cast<std::int64_t>(inputs.size());
  if (features == 0 ? given != 0 : given % features != 0 || given / features != count)
    refuse(std::to_string(inputs.size()) + " inputs for " + std::to_string(count) + " samples of " +
           std::to_string(features) + " features; inputs are [count, features]");
}

void Dataset::check() const {
  check_inputs();
  const auto refuse = [this](const std::string& what) { throw DataError(name + ": " + what); };
  const auto numbers = static_cast<std::int64_t>(targets.size());
  if (outputs < 0 || (outputs == 0 ? numbers != 0 : numbers % outputs != 0 || numbers / outputs != count))
    refuse(std::to_string(numbers) + " targets for " + std::to_string(count) + " samples of " +
           std::to_string(outputs) + " outputs; targets are [count, outputs]");
  if (static_cast<std::int64_t>(labels.size()) != count && !(labels.empty() && outputs > 0))
    refuse(std::to_string(labels.size()) + " labels for " + std::to_string(count) +
           " samples; give each one, or targets of a regression");
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0 || labels[i] >= classes())
      refuse("sample " + std::to_string(i) + " has the label " + std::to_string(labels[i]) +
             ", and there are " + std::to_string(classes()) + " class_names; labels count from 0");
  }
}

Split split(const Dataset& all, double test_fraction, std::uint64_t seed) {
  all.check();
  if (!(test_fraction >= 0 && test_fraction <= 1)) {
    throw DataError(all.name + ": there is no test share of " + short_number(test_fraction) +
                    "; choose a number between 0 and 1");
  }
  std::vector<bool> held_out(static_cast<std::size_t>(all.count));
  // Samples without labels are of one class here.
  std::vector<std::vector<std::size_t>> of_class(
      static_cast<std::size_t>(std::max<std::int64_t>(1, all.classes())));
  for (std::size_t i = 0; i < held_out.size(); ++i)
    of_class[all.labels.empty() ? 0 : static_cast<std::size_t>(all.labels[i])].push_back(i);
  for (std::size_t c = 0; c < of_class.size(); ++c) {
    const std::vector<std::size_t>& members = of_class[c];
    std::vector<std::int32_t> order(members.size());
    const kernels::Philox numbers(seed, split_stream + c);
    numbers.permutation(0, std::span<std::int32_t>(order));
    const auto wanted =
        static_cast<std::size_t>(std::llround(test_fraction * static_cast<double>(members.size())));
    for (std::size_t i = 0; i < std::min(wanted, members.size()); ++i) {
      held_out[members[static_cast<std::size_t>(order[i])]] = true;
    }
  }
  Split result{subset(all, held_out, false), subset(all, held_out, true)};
  if (result.train.count == 0 || result.test.count == 0) {
    const bool none_held_out = result.test.count == 0;
    throw DataError(
        all.name + ": " + std::to_string(all.count) + " samples cannot be split with a test share of " +
        short_number(test_fraction) + ": the part " + (none_held_out ? "held out" : "for training") +
        " would be empty; use more samples or a " + (none_held_out ? "larger" : "smaller") + " share");
  }
  return result;
}

Standardizer Standardizer::fit(const Dataset& train) {
  train.check_inputs();
  if (train.count == 0 || train.features == 0) {
    throw DataError(
        train.name + ": a mean and a deviation need at least one sample of at least one feature; it has " +
        std::to_string(train.count) + " samples of " + std::to_string(train.features) + " features");
  }
  const auto features = static_cast<std::size_t>(train.features);
  const auto count = static_cast<double>(train.count);
  std::vector<double> mean(features);
  std::vector<double> squares(features);
  for (std::size_t i = 0; i < train.inputs.size(); ++i)
    mean[i % features] += static_cast<double>(train.inputs[i]);
  for (double& m : mean) m /= count;
  for (std::size_t i = 0; i < train.inputs.size(); ++i) {
    const double d = static_cast<double>(train.inputs[i]) - mean[i % features];
    squares[i % features] += d * d;
  }
  Standardizer s;
  for (std::size_t f = 0; f < features; ++f) {
    const double deviation = std::sqrt(squares[f] / count);
    s.mean.push_back(static_cast<float>(mean[f]));
    const bool varies = deviation > 1e-7 * std::fabs(mean[f]) && static_cast<float>(deviation) > 0;
    s.deviation.push_back(varies ? static_cast<float>(deviation) : 1.0f);
  }
  return s;
}

void Standardizer::apply(Dataset& data) const {
  if (data.features != static_cast<std::int64_t>(mean.size())) {
    throw DataError(data.name + ": it has " + std::to_string(data.features) +
                    " features, the model was trained on " + std::to_string(mean.size()));
  }
  if (deviation.size() != mean.size()) {
    throw DataError(data.name + ": there are " + std::to_string(mean.size()) + " means of features, but " +
                    std::to_string(deviation.size()) + " deviations");
  }
  data.check_inputs();
  for (std::size_t i = 0; i < data.inputs.size(); ++i) {
    const float x = data.inputs[i], m = mean[i % mean.size()], d = deviation[i % mean.size()];
    // Two floats may lie further apart than a float reaches. Only then it is done in doubles: they round
    // otherwise, and the digests of runs are of these numbers.
    const float difference = x - m;
    data.inputs[i] =
        std::isfinite(difference)
            ? difference / d
            : static_cast<float>((static_cast<double>(x) - static_cast<double>(m)) / static_cast<double>(d));
  }
}

std::vector<std::string> numbered_classes(std::int64_t count) {
  std::vector<std::string> names;
  for (std::int64_t c = 0; c < count; ++c) names.push_back(std::to_string(c));
  return names;
}

}  // namespace reel::data
