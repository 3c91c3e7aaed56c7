#include "kernels/dropout.h"

#include <type_traits>

#include "autograd/ops/rules.h"

namespace reel {
namespace {

kernels::DropoutMask mask_of(const DropoutOptions& o) { return {o.p, o.seed, o.stream, o.step}; }

// Srivastava et al. (2014), with the scaling done in training, so that evaluation is the identity.
const Op& dropout_op = define({
    .name = "dropout",
    .formula = "y = k x / (1 - p),  k = 0 with probability p, else 1;  dx = k dy / (1 - p)",
    .shape = {"same",
              [](const Call& c) {
                const double p = c.options<DropoutOptions>().p;
                if (!(p >= 0 && p < 1)) {
                  c.refuse("p = " + short_number(p) + " is not in [0, 1)", "p is the share of elements that become 0");
                }
                return c[0];
              }},
    .forward =
        [](auto& c) {
          using T = typename std::remove_reference_t<decltype(c)>::Scalar;
          kernels::dropout<T>(c.x(), c.size(), mask_of(c.template options<DropoutOptions>()), {c.y(), false});
        },
    .backward =
        [](auto& c) {
          using T = typename std::remove_reference_t<decltype(c)>::Scalar;
          kernels::dropout_grad<T>(c.dy(), c.size(), mask_of(c.template options<DropoutOptions>()), c.dx());
        },
    .samples = {on({2, 3}).call(
                    [](Tensors x) { return dropout(x[0], {.p = 0.4, .seed = 1, .stream = 2, .step = 3}); }),
                on({5, 30}).call([](Tensors x) { return dropout(x[0], {.p = 0.5, .seed = 7}); }),
                on({4}).call([](Tensors x) { return dropout(x[0], {.p = 0}); })},
});

}  // namespace

Tensor dropout(Here x, DropoutOptions options) { return record(dropout_op, {x}, options); }

}  // namespace reel
