#pragma once

#include <cmath>
#include <vector>

#include "nn/check.h"
#include "nn/init.h"

namespace reel::nn {

struct LinearOptions {
  bool bias = true;
};

/// y = x W^T + b for x [..., in], weight [out, in], bias [out].
/// Throws ValueError for a size below 0. At first both are uniform in +- 1 / sqrt(in), as PyTorch has it.
class Linear final : public Module {
 public:
  Linear(Module* parent, const Name& name, std::int64_t in, std::int64_t out, LinearOptions options = {})
      : Module(parent, name),
        weight(add_parameter("weight",
                             {checked_size(out, {"linear", "out", name.place}),
                              checked_size(in, {"linear", "in", name.place})},
                             true)) {
    const double bound = in > 0 ? 1 / std::sqrt(static_cast<double>(in)) : 0;
    init::uniform(weight, seed(), -bound, bound);
    if (!options.bias) return;
    bias_.push_back(add_parameter("bias", {out}, false));
    init::uniform(bias(), seed(), -bound, bound);
  }

  bool has_bias() const { return !bias_.empty(); }
  /// Throws StateError if the layer was made without one.
  Parameter& bias(Place where = Place::here()) {
    require_bias(where);
    return bias_.front();
  }
  const Parameter& bias(Place where = Place::here()) const {
    require_bias(where);
    return bias_.front();
  }

  Tensor operator()(Here x) const {
    return has_bias() ? linear(x, weight, bias_.front()) : linear(x, weight);
  }
  /// relu((*this)(x)) and gelu((*this)(x)) as one op, linear_relu or linear_gelu: faster, with less to keep.
  Tensor with_relu(Here x) const {
    return has_bias() ? linear_relu(x, weight, bias_.front()) : linear_relu(x, weight);
  }
  Tensor with_gelu(Here x) const {
    return has_bias() ? linear_gelu(x, weight, bias_.front()) : linear_gelu(x, weight);
  }

  /// add(addend, (*this)(x)), likewise add_linear.
  Tensor added_to(Here addend, Here x) const {
    return has_bias() ? add_linear(addend, x, weight, bias_.front()) : add_linear(addend, x, weight);
  }

  Parameter weight;

 private:
  void require_bias(Place where) const {
    if (has_bias()) return;
    throw StateError(where,
                     at(where, path() + ": this layer has no bias") + help_line("ask has_bias() first"));
  }

  std::vector<Parameter> bias_;  // one or none
};

}  // namespace reel::nn
