#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "autograd/parameter.h"
#include "autograd/tensor.h"
#include "nn/safetensors.h"

namespace reel::examples {

/// Writes the weights together with the configuration that says what they are weights of.
void save_model(const std::filesystem::path& path, const ParameterBlock& parameters,
                const nlohmann::ordered_json& config);

/// A model file or a checkpoint, verified.
struct ModelFile {
  nn::Safetensors file;
  nlohmann::ordered_json config;

  /// How the model multiplied while it learned.
  Products products() const;
};

/// Reads one. Throws FileError if it does not say which task it was made for.
ModelFile read_model(const std::filesystem::path& path);

/// The same, for a model of this task ("classifier", "transformer") only.
ModelFile read_model(const std::filesystem::path& path, const std::string& task);

}  // namespace reel::examples
