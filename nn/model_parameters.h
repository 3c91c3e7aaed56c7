#pragma once

#include <concepts>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "autograd/parameter.h"
#include "autograd/place.h"

namespace reel::nn {

class Module;

/// What an optimizer moves: all parameters of a model, or those of a part of it.
///
///     nn::AdamW adam(model);                                  // all of the model
///     nn::AdamW head(model.head);                             // a module and those below it
///     nn::AdamW ends({model.first, model.last.bias()});       // several, in braces
///     nn::SGD matrices({model, [](const auto& entry) { return entry.shape.rank() == 2; }});
///
/// Give the module itself: model.head.parameters() are those of the whole model. A part is taken of the model
/// as it is then; an optimizer refuses it if the model has grown or is gone.
class ModelParameters {
 public:
  using Condition = std::function<bool(const ParameterBlock::Entry& entry)>;

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
  /// Those of a part for which the condition holds; all of it if that is null.
  ModelParameters(const ModelParameters& part, const Condition& condition);
  /// All that is in any of `parts`, which must be of one model.
  ModelParameters(std::initializer_list<ModelParameters> parts);
  explicit ModelParameters(std::span<const ModelParameters> parts);

 private:
  friend class Optimizer;

  /// Throws in the name of `owner`: ValueError for parts of several models and for no parameter, StateError
  /// if the model has grown since or is gone.
  ParameterBlock& block_for(std::string_view owner, Place where) const;

  ParameterBlock* block_ = nullptr;  // of an empty list: none
  std::weak_ptr<const void> life_;   // of the block
  std::vector<bool> chosen_;         // one per parameter of the block
  bool of_one_model_ = true;
};

}  // namespace reel::nn
