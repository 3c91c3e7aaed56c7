#include "nn/model_parameters.h"

#include <algorithm>
#include <string>
#include <utility>

#include "autograd/error.h"
#include "nn/module.h"

namespace reel::nn {

ModelParameters::ModelParameters(ParameterBlock& block)
    : block_(&block), life_(block.life()), chosen_(block.count(), true) {}

ModelParameters::ModelParameters(Module& module) : ModelParameters(module.parameters()) {
  const ParameterBlock& block = *block_;
  for (std::size_t i = 0; i < chosen_.size(); ++i) chosen_[i] = module.holds(block.entry(i).name);
}

ModelParameters::ModelParameters(const Parameter& parameter) : ModelParameters(parameter.block()) {
  for (std::size_t i = 0; i < chosen_.size(); ++i) chosen_[i] = i == parameter.index();
}

ModelParameters::ModelParameters(const ModelParameters& part, const Condition& condition)
    : ModelParameters(part) {
  // A model that is gone has no entries to show; an optimizer refuses the part.
  for (std::size_t i = 0; i < chosen_.size() && condition && !life_.expired(); ++i)
    chosen_[i] = chosen_[i] && condition(std::as_const(*block_).entry(i));
}

ModelParameters::ModelParameters(std::initializer_list<ModelParameters> parts)
    : ModelParameters(std::span<const ModelParameters>(parts.begin(), parts.size())) {}

ModelParameters::ModelParameters(std::span<const ModelParameters> parts) {
  for (const ModelParameters& part : parts) {
    if (part.block_ == nullptr) continue;
    if (block_ == nullptr) {
      *this = part;
      continue;
    }
    // By its life: a model may stand where one that is gone stood.
    const bool same = !life_.owner_before(part.life_) && !part.life_.owner_before(life_);
    of_one_model_ = of_one_model_ && part.of_one_model_ && same;
    // A part that was made before the model grew is too short, and stays so: an optimizer refuses it.
    chosen_.resize(std::min(chosen_.size(), part.chosen_.size()));
    for (std::size_t i = 0; i < chosen_.size(); ++i) chosen_[i] = chosen_[i] || part.chosen_[i];
  }
}

ParameterBlock& ModelParameters::block_for(std::string_view owner, Place where) const {
  const auto text = [&](const char* reason, const char* help) {
    return at(where, std::string(owner) + ": " + reason) + help_line(help);
  };
  if (!of_one_model_) {
    throw ValueError(where, text("the parts are of several models",
                                 "make an optimizer for each, or make them modules of one model"));
  }
  if (block_ != nullptr && life_.expired()) {
    throw StateError(where, text("the model was destroyed after a part of it was taken",
                                 "make the optimizer while its model is there"));
  }
  if (block_ != nullptr && chosen_.size() != block_->count()) {
    throw StateError(where, text("parameters were added to the model after a part of it was taken",
                                 "take the part when the model is whole"));
  }
  const bool none = std::find(chosen_.begin(), chosen_.end(), true) == chosen_.end();
  if (none && block_ != nullptr && block_->count() == 0)
    throw ValueError(where,
                     text("the model has no parameters", "give it modules, or leave the optimizer out"));
  if (none) {
    throw ValueError(where, text("there is no parameter in the part of the model that it was given",
                                 "give it a module that has parameters, or leave it out"));
  }
  return *block_;
}

}  // namespace reel::nn
