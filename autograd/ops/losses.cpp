#include "autograd/ops/rules.h"
#include "kernels/math.h"

namespace reel {
namespace {

// Losses of one prediction and one target each; the functions below add them up.

// [n, 1] and [n] would broadcast to [n, n], and the loss be that of all pairs without a word.
const ShapeRule one_shape{"one_shape", [](const Call& c) {
                            if (!(c[0] == c[1])) {
                              c.fail("input " + to_string(c[0]) + ", target " + to_string(c[1]) +
                                         ": a loss compares numbers of one shape",
                                     "reshape one, or expand it if you mean to compare all with all");
                            }
                            return c[0];
                          }};

struct Delta {
  double value;
};

const Op& mse_op = define({
    .name = "mse",
    .formula = "l = (x - t)^2;  dx = 2 (x - t) dl,  dt = -dx",
    .inputs = {"x", "target"},
    .shape = one_shape,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          kernels::map(
              c.result(), [](auto x, auto t) { return (x - t) * (x - t); }, c.in(0), c.in(1));
        },
    .backward =
        [](auto& c) {
          kernels::map(
              c.gradient(0), [](auto x, auto t, auto dl) { return (x - t) * (dl + dl); }, c.in(0), c.in(1),
              c.upstream());
          kernels::map(
              c.gradient(1), [](auto x, auto t, auto dl) { return (t - x) * (dl + dl); }, c.in(0), c.in(1),
              c.upstream());
        },
    .samples = {on({2, 3}, {2, 3}).call([](Tensors x) { return mse(x[0], x[1]); }),
                on({2, 1}, {2, 1}).call([](Tensors x) { return mse(x[0], x[1], Reduction::none); })},
});

const Op& l1_op = define({
    .name = "l1",
    .formula = "l = |x - t|;  dx = sign(x - t) dl,  dt = -dx",
    .inputs = {"x", "target"},
    .shape = one_shape,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          kernels::map(
              c.result(), [](auto x, auto t) { return kernels::abs(x - t); }, c.in(0), c.in(1));
        },
    .backward =
        [](auto& c) {
          kernels::map(
              c.gradient(0), [](auto x, auto t, auto dl) { return kernels::sign(x - t) * dl; }, c.in(0),
              c.in(1), c.upstream());
          kernels::map(
              c.gradient(1), [](auto x, auto t, auto dl) { return kernels::sign(t - x) * dl; }, c.in(0),
              c.in(1), c.upstream());
        },
    .samples = {on({2, 3}, {2, 3}).call([](Tensors x) { return l1(x[0], x[1], Reduction::sum); })},
});

const Op& huber_op = define({
    .name = "huber",
    .formula = "e = x - t;  l = e^2 / 2 if |e| <= d, else d (|e| - d/2);  dx = clamp(e, -d, d) dl,  dt = -dx",
    .inputs = {"x", "target"},
    .shape = one_shape,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          const auto d = c.scalar(c.template options<Delta>().value);
          const auto half = c.scalar(0.5);
          kernels::map(
              c.result(),
              [d, half](auto x, auto t) {
                // With s = min(|e|, d) both cases are s (|e| - s/2).
                const auto e = kernels::abs(x - t);
                const auto s = kernels::minimum(e, d);
                return s * (e - half * s);
              },
              c.in(0), c.in(1));
        },
    .backward =
        [](auto& c) {
          const auto d = c.scalar(c.template options<Delta>().value);
          const auto slope = [d](auto e) { return kernels::maximum(-d, kernels::minimum(e, d)); };
          kernels::map(
              c.gradient(0), [slope](auto x, auto t, auto dl) { return slope(x - t) * dl; }, c.in(0), c.in(1),
              c.upstream());
          kernels::map(
              c.gradient(1), [slope](auto x, auto t, auto dl) { return -slope(x - t) * dl; }, c.in(0), c.in(1),
              c.upstream());
        },
    .samples = {on({3, 5}, {3, 5}).call([](Tensors x) { return huber(x[0], x[1]); }),
                on({3, 5}, {3, 5}).call([](Tensors x) { return huber(x[0], x[1], 0.3, Reduction::none); })},
});

const Op& bce_with_logits_op = define({
    .name = "bce_with_logits",
    .formula = "l = softplus(x) - t x;  dx = (sigmoid(x) - t) dl,  dt = -x dl",
    .inputs = {"logits", "target"},
    .shape = one_shape,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          // max(x, 0) - t x first: for large x the two must cancel before anything is rounded. At x = 0 both
          // choices take one side, so that their slopes add up to sigmoid(0) there, too.
          kernels::map<kernels::Work::polynomial>(
              c.result(),
              [zero = c.scalar(0)](auto x, auto t) {
                return ((x > zero ? x : zero) - t * x) + kernels::softplus(x > zero ? -x : x);
              },
              c.in(0), c.in(1));
        },
    .backward =
        [](auto& c) {
          kernels::map<kernels::Work::polynomial>(
              c.gradient(0), [](auto x, auto t, auto dl) { return (kernels::sigmoid(x) - t) * dl; }, c.in(0),
              c.in(1), c.upstream());
          kernels::map(
              c.gradient(1), [](auto x, auto dl) { return -x * dl; }, c.in(0), c.upstream());
        },
    .samples = {on({2, 3}, {2, 3}).between(0.1, 0.9).call([](Tensors x) {
                  return bce_with_logits(x[0], x[1]);
                }),
                on({4}, {4}).between(-30, 30).call(
                    [](Tensors x) { return bce_with_logits(x[0], x[1], Reduction::none); })},
});

const Op& kl_div_op = define({
    .name = "kl_div",
    .formula = "l = t (log t - x);  dx = -t dl,  dt = (log t - x + 1) dl;  l and dt are 0 where t = 0",
    .inputs = {"log_probabilities", "target"},
    .shape = one_shape,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          kernels::map<kernels::Work::polynomial>(
              c.result(),
              [zero = c.scalar(0), one = c.scalar(1)](auto x, auto t) {
                return t == zero ? zero : t * (kernels::log(t == zero ? one : t) - x);
              },
              c.in(0), c.in(1));
        },
    .backward =
        [](auto& c) {
          kernels::map(
              c.gradient(0), [](auto t, auto dl) { return -t * dl; }, c.in(1), c.upstream());
          kernels::map<kernels::Work::polynomial>(
              c.gradient(1),
              [zero = c.scalar(0), one = c.scalar(1)](auto x, auto t, auto dl) {
                return t == zero ? zero : (kernels::log(t == zero ? one : t) - x + one) * dl;
              },
              c.in(0), c.in(1), c.upstream());
        },
    .samples = {on({2, 3}, {2, 3}).between(0.1, 0.9).call([](Tensors x) { return kl_div(x[0], x[1]); })},
});

}  // namespace

Tensor mse(Here x, Here target, Reduction reduction) {
  return reduced(x.with(record(mse_op, {x, target})), reduction);
}
Tensor l1(Here x, Here target, Reduction reduction) {
  return reduced(x.with(record(l1_op, {x, target})), reduction);
}
Tensor huber(Here x, Here target, double delta, Reduction reduction) {
  if (!(delta > 0)) {
    throw ValueError(x.place, at(x.place, "huber: delta " + short_number(delta) + " is not positive"));
  }
  return reduced(x.with(record(huber_op, {x, target}, Delta{delta})), reduction);
}
Tensor bce_with_logits(Here x, Here target, Reduction reduction) {
  return reduced(x.with(record(bce_with_logits_op, {x, target})), reduction);
}
Tensor kl_div(Here x, Here target, Reduction reduction) {
  return reduced(x.with(record(kl_div_op, {x, target})), reduction);
}

}  // namespace reel
