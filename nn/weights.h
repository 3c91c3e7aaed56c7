#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "autograd/parameter.h"
#include "nn/optimizer.h"
#include "nn/safetensors.h"

namespace reel::nn {

struct WeightOptions {
  bool strict = true;  ///< a tensor of the file that no parameter wants is an error
  /// Tensors that are none of the model's: optimizer state and the like.
  std::function<bool(std::string_view name)> ignore = [](std::string_view name) {
    return name.starts_with("optimizer.") || name.starts_with("data.");
  };
};

/// Copies the tensors of a file into the parameters of their names; F16, BF16 and F64 become F32. Nothing is
/// changed unless all fit. Throws FileError that lists every tensor that is missing, left over, of another
/// shape or of another type.
void load_weights(const Safetensors& file, ParameterBlock& parameters, const WeightOptions& options = {});

/// The same for the file at `path`. Throws IoError as well.
void load_weights(const std::filesystem::path& path, ParameterBlock& parameters,
                  const WeightOptions& options = {});

/// Adds every parameter under its name.
void add_weights(SafetensorsWriter& writer, const ParameterBlock& parameters);

/// Writes the parameters to a safetensors file. Throws IoError.
void save_weights(const std::filesystem::path& path, const ParameterBlock& parameters);

/// The first parameter that holds NaN or inf, in words ("hidden.weight: element 3 is nan"), or "".
std::string non_finite_weight(const ParameterBlock& parameters);

/// SHA-256 over names, shapes and values of the parameters, and over the optimizer's state if there is one.
/// Throws StateError unless the optimizer was made for these parameters, all of them.
std::string fingerprint(const ParameterBlock& parameters, Optimizer* optimizer = nullptr,
                        Place where = Place::here());

}  // namespace reel::nn
