#pragma once

#include "nn/check.h"
#include "nn/init.h"

namespace reel::nn {

struct NormOptions {
  double epsilon = 1e-5;
};

/// Layer normalisation over the last dimension (Ba, Kiros, Hinton 2016). weight [channels] starts at 1, bias
/// at 0. Throws ValueError for a size below 0.
class LayerNorm final : public Module {
 public:
  LayerNorm(Module* parent, const Name& name, std::int64_t channels, NormOptions options = {})
      : Module(parent, name),
        weight(
            add_parameter("weight", {checked_size(channels, {"layer_norm", "channels", name.place})}, false)),
        bias(add_parameter("bias", {channels}, false)),
        epsilon_(options.epsilon) {
    init::ones(weight);
  }

  Tensor operator()(Here x) const { return layer_norm(x, weight, bias, epsilon_); }

  Parameter weight;
  Parameter bias;

 private:
  double epsilon_;
};

/// Normalisation by the root mean square of the last dimension (Zhang, Sennrich 2019). weight [channels]
/// starts at 1. Throws ValueError for a size below 0.
class RMSNorm final : public Module {
 public:
  RMSNorm(Module* parent, const Name& name, std::int64_t channels, NormOptions options = {})
      : Module(parent, name),
        weight(
            add_parameter("weight", {checked_size(channels, {"rms_norm", "channels", name.place})}, false)),
        epsilon_(options.epsilon) {
    init::ones(weight);
  }

  Tensor operator()(Here x) const { return rms_norm(x, weight, epsilon_); }

  Parameter weight;

 private:
  double epsilon_;
};

}  // namespace reel::nn
