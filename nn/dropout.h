#pragma once

#include <string>

#include "autograd/error.h"
#include "nn/module.h"

namespace reel::nn {

/// Sets a share p of the elements to 0 while training and scales the rest by 1 / (1 - p) (Srivastava et al.
/// 2014). The mask follows from the model's seed, the module's path and the model's step(), which counts the
/// steps of the optimizer unless set_step set it. Two passes with one step() have one mask; within a pass,
/// use each module once.
class Dropout final : public Module {
 public:
  /// Throws ValueError for p outside [0, 1).
  Dropout(Module* parent, std::string_view name, double p, Place place = Place::here())
      : Module(parent, name, place), p_(p), stream_(stream_of(path())) {
    if (!(p >= 0 && static_cast<float>(p) < 1)) {
      throw ValueError(place, at(place, "dropout: p is " + short_number(p) + ", not in [0, 1)") +
                                  help_line("p is the share of the elements that become 0"));
    }
  }

  double p() const { return p_; }
  Tensor operator()(Here x) const {
    if (!training() || p_ == 0) return tensor_of(x);
    return dropout(x, {.p = p_, .seed = seed().value, .stream = stream_, .step = step()});
  }

 private:
  double p_;
  std::uint64_t stream_;
};

}  // namespace reel::nn
