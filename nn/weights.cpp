#include "nn/weights.h"

#include <algorithm>
#include <cmath>

#include "nn/error.h"
#include "nn/sha256.h"

namespace reel::nn {
namespace {

std::vector<std::int64_t> sizes_of(const Shape& shape) {
  std::vector<std::int64_t> sizes;
  for (int d = 0; d < shape.rank(); ++d) sizes.push_back(shape[d]);
  return sizes;
}

std::string text_of(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t n : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

bool is_float(Dtype dtype) {
  return dtype == Dtype::f32 || dtype == Dtype::f16 || dtype == Dtype::bf16 || dtype == Dtype::f64;
}

}  // namespace

void load_weights(const Safetensors& file, ParameterBlock& parameters, const WeightOptions& options) {
  std::string problems;
  const auto complain = [&](const std::string& name, const std::string& what) {
    problems += "\n    " + name + ": " + what;
  };
  for (const auto& entry : parameters.entries()) {
    const SafetensorsEntry* tensor = file.find(entry.name);
    if (tensor == nullptr) {
      complain(entry.name, "missing");
    } else if (tensor->shape != sizes_of(entry.shape)) {
      complain(entry.name,
               "has shape " + text_of(tensor->shape) + ", the model's is " + to_string(entry.shape));
    } else if (!is_float(tensor->dtype)) {
      complain(entry.name, "has dtype " + std::string(name_of(tensor->dtype)) + ", not F32");
    }
  }
  for (const SafetensorsEntry& tensor : file.entries()) {
    if (!options.strict || (options.ignore && options.ignore(tensor.name))) continue;
    const bool wanted = std::any_of(parameters.entries().begin(), parameters.entries().end(),
                                    [&](const auto& entry) { return entry.name == tensor.name; });
    if (!wanted) complain(tensor.name, "is not a parameter of the model");
  }
  if (!problems.empty()) throw FileError(file.name() + ": its tensors do not fit the model:" + problems);
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    const std::vector<float> values = file.to_floats(file.at(parameters.entry(i).name));
    std::copy(values.begin(), values.end(), parameters.values(i).begin());
  }
  parameters.touch();
}

void add_weights(SafetensorsWriter& writer, const ParameterBlock& parameters) {
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    writer.add<float>(parameters.entry(i).name, sizes_of(parameters.entry(i).shape), parameters.values(i));
  }
}

void save_weights(const std::filesystem::path& path, const ParameterBlock& parameters) {
  SafetensorsWriter writer;
  add_weights(writer, parameters);
  writer.write(path);
}

std::string non_finite_weight(const ParameterBlock& parameters) {
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    const std::span<const float> values = parameters.values(i);
    const auto bad = std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
    if (bad != values.end()) {
      return parameters.entry(i).name + ": element " + std::to_string(bad - values.begin()) + " is " +
             std::to_string(*bad);
    }
  }
  return "";
}

std::string fingerprint(const ParameterBlock& parameters, Optimizer* optimizer) {
  Sha256 hash;
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    const auto& entry = parameters.entry(i);
    hash.add(entry.name + to_string(entry.shape));
    hash.add(parameters.values(i).data(), parameters.values(i).size_bytes());
  }
  if (optimizer != nullptr) {
    hash.add(optimizer->name());
    for (const auto& slot : optimizer->slots()) {
      hash.add(slot.name);
      for (const auto& entry : parameters.entries()) {
        hash.add(slot.values.data() + entry.offset, static_cast<std::size_t>(entry.size()) * sizeof(float));
      }
    }
    for (const auto& counter : optimizer->counters()) {
      hash.add(counter.name);
      hash.add(counter.values.data(), counter.values.size_bytes());
    }
  }
  return hash.hex();
}

}  // namespace reel::nn
