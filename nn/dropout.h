#pragma once

#include <string>

#include "autograd/error.h"
#include "autograd/op.h"
#include "kernels/philox.h"
#include "nn/module.h"

namespace reel::nn {

/// The Philox stream of a module's next mask: its own for the first use of the module in the innermost open
/// step of the tape that x is on, another for every further one. A step opened anew starts again with the
/// first, so that gradcheck and all else that evaluates twice sees the same masks.
inline std::uint64_t stream_of_next_use(Here x, const Module& module, std::uint64_t stream) {
  return stream + 0x9E3779B97F4A7C15U * count_use(x, &module, module.step());
}

/// Sets a share p of the elements to 0 while training and scales the rest by 1 / (1 - p) (Srivastava et al.
/// 2014). The mask follows from the model's seed, the module's path, the model's step(), which counts the
/// steps of the optimizer unless set_step set it, and how often the module was used before in the open step
/// of the tape: an unrolled network draws another mask at every use, two tape steps with one step() draw the
/// same.
class Dropout final : public Module {
 public:
  /// Throws ValueError for p outside [0, 1).
  Dropout(Module* parent, const Name& name, double p)
      : Module(parent, name), p_(p), stream_(kernels::stream_of(path())) {
    if (!(p >= 0 && static_cast<float>(p) < 1)) {
      throw ValueError(name.place, at(name.place, "dropout: p is " + short_number(p) + ", not in [0, 1)") +
                                       help_line("p is the share of the elements that become 0"));
    }
  }

  double p() const { return p_; }
  /// Whether it changes anything now.
  bool drops() const { return training() && p_ > 0; }
  Tensor operator()(Here x) const {
    if (!drops()) return tensor_of(x);
    return dropout(
        x, {.p = p_, .seed = seed().value, .stream = stream_of_next_use(x, *this, stream_), .step = step()});
  }

 private:
  double p_;
  std::uint64_t stream_;
};

}  // namespace reel::nn
