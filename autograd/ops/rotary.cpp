#include "kernels/rotary.h"

#include <cmath>

#include "autograd/ops/rules.h"

namespace reel {
namespace {

template <class C, class T>
void turn(C& c, const T* from, bool backwards, kernels::Into<T> to) {
  const auto& options = c.template options<RotaryOptions>();
  const Shape& x = c.shape();
  kernels::rotary(from, x.product(0, x.rank() - 2), x[x.rank() - 2], x.back(), options.base,
                  options.first_position, backwards, to);
}

// Su, Lu, Pan, Murtadha, Wen, Liu (2021), section 3.2; channels are paired over the halves, as in GPT-NeoX
// and Llama.
const Op& rotary_op = define({
    .name = "rotary",
    .formula = "y_i = x_i cos a - x_j sin a,  y_j = x_j cos a + x_i sin a,  j = i + channels/2,  a = t "
               "base^(-2i/channels)",
    .shape = {"rotary",
              [](const Call& c) {
                const auto& options = c.options<RotaryOptions>();
                if (c[0].rank() < 2) c.fail("takes [..., time, channels]");
                if (c[0].back() % 2 != 0) {
                  c.fail(std::to_string(c[0].back()) + " channels are no pairs",
                         "the last dimension must be even");
                }
                if (!(options.base > 0) || !std::isfinite(options.base)) {
                  c.refuse("base " + std::to_string(options.base) + " is not a positive number");
                }
                if (options.first_position < 0) {
                  c.refuse("first position " + std::to_string(options.first_position) + " is negative");
                }
                return c[0];
              }},
    .forward =
        [](auto& c) {
          turn(c, c.x(), false, {c.y(), false});
        },
    .backward = [](auto& c) { turn(c, c.dy(), true, c.dx()); },
    .samples = {on({3, 4}).call([](Tensors x) { return rotary(x[0]); }),
                on({2, 3, 6}).call([](Tensors x) { return rotary(x[0], {.base = 10, .first_position = 5}); }),
                on({1, 2}).call([](Tensors x) { return rotary(x[0]); }),
                on({0, 4}).call([](Tensors x) { return rotary(x[0]); })},
});

}  // namespace

Tensor rotary(Here x, RotaryOptions options) { return record(rotary_op, {x}, options); }

}  // namespace reel
