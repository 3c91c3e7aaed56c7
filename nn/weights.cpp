#include "nn/weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "nn/sha256.h"
#include "nn/wanted_tensors.h"

namespace reel::nn {

UnmatchedWeights load_weights(const Safetensors& file, ParameterBlock& parameters,
                              const WeightOptions& options) {
  UnmatchedWeights unmatched;
  std::vector<WantedTensor> wanted;
  for (const auto& entry : parameters.entries()) {
    if (!options.strict && file.find(entry.name) == nullptr) {
      unmatched.missing.push_back(entry.name);
    } else {
      wanted.push_back({entry.name, sizes_of(entry.shape), Dtype::f32, /*convertible=*/true});
    }
  }
  require_fit(file, wanted, [&](std::string_view name) {
    if (options.ignore && options.ignore(name)) return true;
    if (!options.strict) unmatched.unexpected.emplace_back(name);
    return !options.strict;
  });
  // All of the memory that this takes is asked for before the first weight changes.
  std::vector<std::vector<float>> converted(parameters.count());
  std::vector<const SafetensorsEntry*> entries;
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    entries.push_back(file.find(parameters.entry(i).name));
    if (entries[i] != nullptr && entries[i]->dtype != Dtype::f32) converted[i] = file.to_floats(*entries[i]);
  }
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    if (entries[i] == nullptr) continue;
    const std::span<float> values = parameters.values(i);
    if (entries[i]->dtype != Dtype::f32) {
      std::copy(converted[i].begin(), converted[i].end(), values.begin());
    } else if (!values.empty()) {
      std::memcpy(values.data(), entries[i]->bytes.data(), values.size_bytes());
    }
  }
  return unmatched;
}

UnmatchedWeights load_weights(const std::filesystem::path& path, ParameterBlock& parameters,
                              const WeightOptions& options) {
  return load_weights(Safetensors::read(path), parameters, options);
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
      // Not the number itself, which some print as -nan.
      const char* word = std::isnan(*bad) ? "nan" : *bad > 0 ? "inf" : "-inf";
      return parameters.entry(i).name + ": element " + std::to_string(bad - values.begin()) + " is " + word;
    }
  }
  return "";
}

std::string fingerprint(const ParameterBlock& parameters, Optimizer* optimizer, Place where) {
  return fingerprint(parameters, optimizer == nullptr ? Optimizers{} : Optimizers{*optimizer}, where);
}

std::string fingerprint(const ParameterBlock& parameters, const Optimizers& optimizers, Place where) {
  require_made_for(optimizers, parameters, "fingerprint", where);
  Sha256 hash;
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    const auto& entry = parameters.entry(i);
    hash.add(entry.name + to_string(entry.shape));
    hash.add(parameters.values(i).data(), parameters.values(i).size_bytes());
  }
  for (Optimizer& optimizer : optimizers) {
    hash.add(optimizer.name());
    for (const auto& slot : optimizer.slots()) {
      hash.add(slot.name);
      for (std::size_t i = 0; i < parameters.count(); ++i) {
        if (!optimizer.moves(i)) continue;
        const std::span<const float> values = slot.of(parameters.entry(i));
        hash.add(values.data(), values.size_bytes());
      }
    }
    for (const auto& counter : optimizer.counters()) {
      hash.add(counter.name);
      hash.add(counter.values.data(), counter.values.size_bytes());
    }
  }
  return hash.hex();
}

}  // namespace reel::nn
