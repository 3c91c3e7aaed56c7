#include "nn/model_parameters.h"

#include <algorithm>
#include <utility>

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

}  // namespace reel::nn
