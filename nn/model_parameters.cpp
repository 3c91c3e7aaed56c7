#include "nn/model_parameters.h"

#include "nn/module.h"

namespace reel::nn {

ModelParameters::ModelParameters(ParameterBlock& block) : block_(&block), chosen_(block.count(), true) {}

ModelParameters::ModelParameters(ParameterBlock& block, std::string_view path) : ModelParameters(block) {
  for (std::size_t i = 0; i < chosen_.size() && !path.empty(); ++i)
    chosen_[i] = lies_in(block.entry(i).name, path);
}

ModelParameters::ModelParameters(const Parameter& parameter)
    : ModelParameters(parameter.block(), parameter.name()) {}

ModelParameters::ModelParameters(Module& module) : ModelParameters(module.parameters(), module.path()) {}

ModelParameters::ModelParameters(const ModelParameters& parts, const Matches& matches)
    : ModelParameters(parts) {
  const ParameterBlock& block = *block_;
  for (std::size_t i = 0; i < chosen_.size() && matches; ++i)
    chosen_[i] = chosen_[i] && matches(block.entry(i));
}

ModelParameters::ModelParameters(std::initializer_list<ModelParameters> parts) {
  for (const ModelParameters& part : parts) {
    if (block_ == nullptr) {
      *this = part;
    } else if (block_ != part.block_ || chosen_.size() != part.chosen_.size() || !part.of_one_model_) {
      of_one_model_ = false;
    } else {
      for (std::size_t i = 0; i < chosen_.size(); ++i) chosen_[i] = chosen_[i] || part.chosen_[i];
    }
  }
}

}  // namespace reel::nn
