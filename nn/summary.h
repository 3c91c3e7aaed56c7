#pragma once

#include <string>

#include "autograd/parameter.h"

namespace reel::nn {

/// A table of a model's parameters: path, shape, count, whether weight decay applies; and the total.
std::string summary(const ParameterBlock& parameters);

}  // namespace reel::nn
