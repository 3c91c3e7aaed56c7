#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "autograd/parameter.h"
#include "nn/optimizer.h"
#include "nn/safetensors.h"

namespace reel::nn {

struct WeightOptions {
  /// Whether a parameter without a tensor and a tensor without a parameter are errors (PyTorch's strict).
  /// Shapes and types must fit in any case.
  bool strict = true;
  /// Tensors that are none of the model's, and are passed over: optimizer state and the like.
  std::function<bool(std::string_view name)> ignore = [](std::string_view name) {
    return name.starts_with("optimizer.") || name.starts_with("data.");
  };
};

/// What did not find its counterpart where it need not: empty if strict.
struct UnmatchedWeights {
  std::vector<std::string> missing;     ///< parameters that the file lacks; they are as they were
  std::vector<std::string> unexpected;  ///< tensors of the file that no parameter wants
};

/// Copies the tensors of a file into the parameters of their names; F16, BF16 and F64 become F32. Nothing is
/// changed unless all fit. Throws FileError that lists every tensor that is missing, left over, of another
/// shape or of another type. With .strict = false the first two are no errors but the result, as when the
/// file of a model goes into one that has adapters as well. Look at it: a file of other names changes
/// nothing.
UnmatchedWeights load_weights(const Safetensors& file, ParameterBlock& parameters,
                              const WeightOptions& options = {});

/// The same for the file at `path`. Throws IoError as well.
UnmatchedWeights load_weights(const std::filesystem::path& path, ParameterBlock& parameters,
                              const WeightOptions& options = {});

/// Adds every parameter under its name.
void add_weights(SafetensorsWriter& writer, const ParameterBlock& parameters);

/// Writes the parameters to a safetensors file. Throws IoError.
void save_weights(const std::filesystem::path& path, const ParameterBlock& parameters);

/// The first parameter that holds NaN or inf, in words ("hidden.weight: element 3 is nan"), or "".
std::string non_finite_weight(const ParameterBlock& parameters);

/// SHA-256 over names, shapes and values of the parameters, and over the state of their optimizers, if there
/// are any. Throws as nn::require_made_for does.
std::string fingerprint(const ParameterBlock& parameters, const Optimizers& optimizers,
                        Place where = Place::here());
std::string fingerprint(const ParameterBlock& parameters, Optimizer* optimizer = nullptr,
                        Place where = Place::here());

}  // namespace reel::nn
