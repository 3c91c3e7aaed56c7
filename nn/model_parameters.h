#pragma once

#include <concepts>
#include <functional>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "autograd/parameter.h"

namespace reel::nn {

class Module;

/// What an optimizer moves: all parameters of a model, or those of a part of it.
///
///     nn::AdamW adam(model);                                  // all of the model
///     nn::AdamW head(model.head);                             // a module and those below it
///     nn::AdamW ends({model.first, model.last.bias()});       // several modules and parameters
///     nn::SGD matrices({model, [](const auto& entry) { return entry.shape.rank() == 2; }});
class ModelParameters {
 public:
  using Matches = std::function<bool(const ParameterBlock::Entry& entry)>;

  ModelParameters(ParameterBlock& block);       // NOLINT: all these are passed as they are
  ModelParameters(const Parameter& parameter);  // NOLINT
  /// The parameters of a module and of those below it; of a root, all.
  ModelParameters(Module& module);  // NOLINT
  /// Anything else whose .parameters() is a ParameterBlock.
  template <class Model>
  requires(!std::derived_from<Model, Module>) && requires(Model& model) {
    { model.parameters() } -> std::same_as<ParameterBlock&>;
  }
  ModelParameters(Model& model) : ModelParameters(model.parameters()) {}  // NOLINT
  /// Those of `parts` that match, or all of them without a condition.
  ModelParameters(const ModelParameters& parts, const Matches& matches);
  /// All that is in any of `parts`, which must be of one model.
  ModelParameters(std::initializer_list<ModelParameters> parts);

 private:
  friend class Optimizer;
  ModelParameters(ParameterBlock& block, std::string_view path);

  ParameterBlock* block_ = nullptr;
  std::vector<bool> chosen_;  // one per parameter of the block
  bool of_one_model_ = true;
};

}  // namespace reel::nn
