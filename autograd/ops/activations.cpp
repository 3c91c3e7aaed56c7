#include "autograd/ops/rules.h"
#include "kernels/gelu.h"
#include "kernels/math.h"

namespace reel {
namespace {

using kernels::map;
using kernels::Work;

const Op& sigmoid_op = define({
    .name = "sigmoid",
    .formula = "y = 1 / (1 + e^-x);  dx = dy y (1 - y)",
    .shape = same,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          map<Work::polynomial>(
              c.result(), [](auto x) { return kernels::sigmoid(x); }, c.in());
        },
    // Not y (1 - y) from the output, in which the digits of a small slope are lost.
    .backward =
        [](auto& c) {
          map<Work::polynomial>(
              c.gradient(), [](auto x, auto dy) { return dy * kernels::sigmoid_slope(x); }, c.in(),
              c.upstream());
        },
    .samples = {on({2, 3}), on({4}).between(-20, 20)},
});

const Op& relu_op = define({
    .name = "relu",
    .formula = "y = max(x, 0);  dx = dy where x > 0, else 0",
    .shape = same,
    .reads = Reads::output,
    .forward =
        [](auto& c) {
          const auto zero = c.scalar(0);
          map(
              c.result(), [zero](auto x) { return x <= zero ? zero : x; }, c.in());
        },
    .backward =
        [](auto& c) {
          const auto zero = c.scalar(0);
          map(
              c.gradient(), [zero](auto y, auto dy) { return y > zero ? dy : zero; }, c.out(), c.upstream());
        },
    .samples = {on({2, 3}).between(0.2, 2), on({4}).between(-2, -0.2), on({7, 5})},
});

struct Slope {
  double value;
};

const Op& leaky_relu_op = define({
    .name = "leaky_relu",
    .formula = "y = x where x > 0, else a x;  dx = dy where x > 0, else a dy",
    .shape = same,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          const auto zero = c.scalar(0);
          const auto a = c.scalar(c.template options<Slope>().value);
          map(
              c.result(), [zero, a](auto x) { return x > zero ? x : a * x; }, c.in());
        },
    .backward =
        [](auto& c) {
          const auto zero = c.scalar(0);
          const auto a = c.scalar(c.template options<Slope>().value);
          map(
              c.gradient(), [zero, a](auto x, auto dy) { return x > zero ? dy : a * dy; }, c.in(),
              c.upstream());
        },
    .samples = {on({2, 3}).call([](Tensors x) { return leaky_relu(x[0], 0.1); })},
});

const Op& elu_op = define({
    .name = "elu",
    .formula = "y = x where x > 0, else a (e^x - 1);  dx = dy where x > 0, else dy a e^x",
    .shape = same,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          const auto zero = c.scalar(0);
          const auto a = c.scalar(c.template options<Slope>().value);
          map<Work::polynomial>(
              c.result(),
              [zero, a](auto x) { return x > zero ? x : a * kernels::expm1(x > zero ? zero : x); }, c.in());
        },
    .backward =
        [](auto& c) {
          const auto zero = c.scalar(0);
          const auto a = c.scalar(c.template options<Slope>().value);
          // Not y + a, in which the digits of a small e^x are lost.
          map<Work::polynomial>(
              c.gradient(),
              [zero, a](auto x, auto dy) {
                return x > zero ? dy : dy * (a * kernels::exp_of_negative(x > zero ? zero : x));
              },
              c.in(), c.upstream());
        },
    .samples = {on({2, 3}).call([](Tensors x) { return elu(x[0]); }),
                on({4}).call([](Tensors x) { return elu(x[0], 0.5); })},
});

const Op& gelu_op = define({
    .name = "gelu",
    .formula = "y = x/2 (1 + tanh u),  u = sqrt(2/pi) (x + 0.044715 x^3);  dx = dy (s + 2 x s (1 - s) u'),  "
               "s = (1 + tanh u) / 2",
    .shape = same,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          map<Work::polynomial>(
              c.result(), [](auto x) { return kernels::gelu(x).value; }, c.in());
        },
    .backward =
        [](auto& c) {
          map<Work::polynomial>(
              c.gradient(), [](auto x, auto dy) { return dy * kernels::gelu(x).slope; }, c.in(), c.upstream());
        },
    .samples = {on({2, 3}), on({5}).between(-6, 6)},
});

const Op& gelu_erf_op = define({
    .name = "gelu_erf",
    .formula = "y = x p,  p = 1/2 (1 + erf(x/sqrt 2));  dx = dy (p + x e^(-x^2/2) / sqrt(2 pi))",
    .shape = same,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          map<Work::polynomial>(
              c.result(), [](auto x) { return x * kernels::normal_cdf(x); }, c.in());
        },
    .backward =
        [](auto& c) {
          const auto half = c.scalar(0.5);
          const auto density = c.scalar(0.39894228040143267794);  // 1 / sqrt(2 pi)
          map<Work::polynomial>(
              c.gradient(),
              [=](auto x, auto dy) {
                return dy * (kernels::normal_cdf(x) +
                             x * (density * kernels::exp_of_negative(-(half * x * x))));
              },
              c.in(), c.upstream());
        },
    .samples = {on({2, 3}), on({5}).between(-6, 6)},
});

const Op& silu_op = define({
    .name = "silu",
    .formula = "y = x s,  s = sigmoid x;  dx = dy s (1 + x (1 - s))",
    .shape = same,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          map<Work::polynomial>(
              c.result(), [](auto x) { return x * kernels::sigmoid(x); }, c.in());
        },
    .backward =
        [](auto& c) {
          const auto one = c.scalar(1);
          map<Work::polynomial>(
              c.gradient(),
              [one](auto x, auto dy) {
                const auto s = kernels::sigmoid(x);
                return dy * (s * (one + x * (one - s)));
              },
              c.in(), c.upstream());
        },
    .samples = {on({2, 3}), on({5}).between(-8, 8)},
});

const Op& softplus_op = define({
    .name = "softplus",
    .formula = "y = log(1 + e^x);  dx = dy sigmoid x",
    .shape = same,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          map<Work::polynomial>(
              c.result(), [](auto x) { return kernels::softplus(x); }, c.in());
        },
    .backward =
        [](auto& c) {
          map<Work::polynomial>(
              c.gradient(), [](auto x, auto dy) { return dy * kernels::sigmoid(x); }, c.in(), c.upstream());
        },
    .samples = {on({2, 3}), on({5}).between(-20, 20)},
});

}  // namespace

Tensor sigmoid(Here x) { return record(sigmoid_op, {x}); }
Tensor relu(Here x) { return record(relu_op, {x}); }
Tensor leaky_relu(Here x, double negative_slope) { return record(leaky_relu_op, {x}, Slope{negative_slope}); }
Tensor elu(Here x, double alpha) { return record(elu_op, {x}, Slope{alpha}); }
Tensor gelu(Here x) { return record(gelu_op, {x}); }
Tensor gelu_erf(Here x) { return record(gelu_erf_op, {x}); }
Tensor silu(Here x) { return record(silu_op, {x}); }
Tensor softplus(Here x) { return record(softplus_op, {x}); }

}  // namespace reel
