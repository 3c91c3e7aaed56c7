#include "kernels/rotary.h"

#include <cmath>

#include "autograd/ops/rules.h"

namespace reel {
namespace {

void check_options(const Call& c, const RotaryOptions& options) {
  if (!(options.base > 0) || !std::isfinite(options.base)) {
    c.refuse("base " + short_number(options.base) + " is not a positive number");
  }
  if (options.first_position < 0 || options.first_position >= std::int64_t{1} << 31) {
    c.refuse("first position " + std::to_string(options.first_position) +
             (options.first_position < 0 ? " is negative" : " is not below 2^31"));
  }
}

template <class C>
kernels::Rotary rotary_on(const C& c, bool backwards) {
  const auto& options = c.template options<RotaryOptions>();
  const Shape& x = c.shape();
  return {.rows = x.product(0, x.rank() - 2),
          .time = x[x.rank() - 2],
          .channels = x.back(),
          .base = options.base,
          .first_position = options.first_position,
          .backwards = backwards};
}

// Su, Lu, Pan, Murtadha, Wen, Liu (2021), section 3.2; channels are paired over the halves, as in GPT-NeoX
// and Llama.
const Op& rotary_op = define({
    .name = "rotary",
    .formula = "y_i = x_i cos a - x_j sin a,  y_j = x_j cos a + x_i sin a,  j = i + channels/2,  a = t "
               "base^(-2i/channels);  dx = dy turned by -a",
    .shape = {"rotary",
              [](const Call& c) {
                const auto& options = c.options<RotaryOptions>();
                if (c[0].rank() < 2) c.fail("takes [..., time, channels]");
                if (c[0].back() % 2 != 0) {
                  c.fail(std::to_string(c[0].back()) + " channels are no pairs",
                         "the last dimension must be even");
                }
                check_options(c, options);
                return c[0];
              }},
    .forward =
        [](auto& c) {
          kernels::rotary(rotary_on(c, false), c.x(), {c.y(), false});
        },
    .backward = [](auto& c) { kernels::rotary(rotary_on(c, true), c.dy(), c.dx()); },
    .samples = {on({3, 4}).call([](Tensors x) { return rotary(x[0]); }),
                on({2, 3, 6}).call([](Tensors x) { return rotary(x[0], {.base = 10, .first_position = 5}); }),
                on({1, 2}).call([](Tensors x) { return rotary(x[0]); }),
                on({0, 4}).call([](Tensors x) { return rotary(x[0]); })},
});

template <class C>
kernels::Rotary packed_rotary_on(const C& c, bool backwards) {
  const auto& options = c.template options<PackedRotaryOptions>();
  const Shape& x = c.shape();
  const std::int64_t width = x.back() / 3;
  return {.rows = x.product(0, x.rank() - 2),
          .time = x[x.rank() - 2],
          .channels = width / options.heads,
          .turned = 2 * options.heads,
          .kept = width,
          .base = options.base,
          .first_position = options.first_position,
          .backwards = backwards};
}

const Op& packed_rotary_op = define({
    .name = "packed_rotary",
    .formula = "y = [rotary(q), rotary(k), v] for x = [q, k, v], side by side in each row, head by head;  dq and dk = "
               "those of y turned by -a,  dv = that of y",
    .inputs = {"qkv"},
    .shape = {"packed_rotary",
              [](const Call& c) {
                const auto& options = c.options<PackedRotaryOptions>();
                if (c[0].rank() < 2) c.fail("takes [..., time, 3 width]");
                check_packed(c, options.heads, 2, "an even size");
                check_options(c, {.base = options.base, .first_position = options.first_position});
                return c[0];
              }},
    .forward =
        [](auto& c) {
          kernels::rotary(packed_rotary_on(c, false), c.x(), {c.y(), false});
        },
    .backward = [](auto& c) { kernels::rotary(packed_rotary_on(c, true), c.dy(), c.dx()); },
    .samples = {on({2, 3, 12}).call([](Tensors x) { return packed_rotary(x[0], {.heads = 1}); }),
                on({3, 24}).call([](Tensors x) {
                  return packed_rotary(x[0], {.heads = 2, .base = 20, .first_position = 3});
                })},
});

}  // namespace

Tensor rotary(Here x, RotaryOptions options) { return record(rotary_op, {x}, options); }
Tensor packed_rotary(Here qkv, PackedRotaryOptions options) {
  return record(packed_rotary_op, {qkv}, options);
}

}  // namespace reel
