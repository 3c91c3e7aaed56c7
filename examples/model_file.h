#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "autograd/parameter.h"
#include "autograd/tensor.h"
#include "examples/settings.h"
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
  /// The configuration, for a reader who does not trust it.
  Settings settings() const { return {config, file.name()}; }
  /// Throws FileError if the configuration asks for 0 of something, or for more than the file can hold.
  void require_room_for(std::int64_t wanted, const std::string& what, std::size_t most) const;
  /// The same for all weights together; `count` may be less than there are, and has room for any product.
  void require_room_for_weights(double count) const;
  /// Whether data of this digest is what the model was trained on, as --json has it: true, false, or null if
  /// the file does not say. If it is not, a note on stderr says so of `data`, its name.
  nlohmann::ordered_json is_of_training(const std::string& data, const std::string& digest) const;
  /// Gives the parameters the file's values, and warns of those that are not finite.
  void load(ParameterBlock& parameters) const;
};

/// The configuration that stands in a file as text; null if it is none. Not deeper than a run writes it: what
/// follows goes down into it function by function.
nlohmann::ordered_json parse_config(const std::string& text);

/// Reads one. Throws FileError if it does not say which task it was made for, or names none that there is.
ModelFile read_model(const std::filesystem::path& path);

/// The same, for a model of this task ("classifier", "transformer") only.
ModelFile read_model(const std::filesystem::path& path, const std::string& task);

}  // namespace reel::examples
