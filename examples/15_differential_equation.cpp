// Lesson 15: a network that solves a differential equation, with its second derivative inside the loss.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <vector>

#include "autograd/autograd.h"
#include "nn/linear.h"
#include "nn/module_list.h"
#include "nn/optimizer.h"
#include "nn/schedule.h"

using namespace reel;
using std::numbers::pi;

// A function of one number x, with its first and second derivative in x: three tensors [points, width].
struct Jet {
  Tensor value, first, second;
};

// Layers whose activation is the sine (Sitzmann et al. 2020). Each takes a jet to a jet by the chain rule, in
// ops like any others, so that backward sees the derivatives as it sees all else.
struct Network final : nn::Module {
  explicit Network(nn::Seed seed) : Module(seed) {
    layers.add(1, 32);
    layers.add(32, 32);
    layers.add(32, 1);
  }

  static Jet affine(const nn::Linear& layer, const Jet& x) {
    return {layer(x.value), linear(x.first, layer.weight), linear(x.second, layer.weight)};
  }
  // (sin z)' = z' cos z and (sin z)'' = z'' cos z - z'^2 sin z.
  static Jet sine(const Jet& z) {
    const Tensor s = sin(z.value), c = cos(z.value);
    return {s, c * z.first, c * z.second - s * square(z.first)};
  }

  Jet operator()(Tape& tape, const std::vector<float>& x) const {
    const auto points = static_cast<std::int64_t>(x.size());
    const auto all = [&](double number) { return expand(tape.constant(number), {points, 1}); };
    Jet y = affine(layers.at(0), {tape.constant(x, {points, 1}), all(1), all(0)});
    for (std::size_t i = 1; i < layers.size(); ++i) y = affine(layers.at(i), sine(y));
    return y;
  }

  nn::ModuleList<nn::Linear> layers{this, "layers"};
};

// u'' = -pi^2 sin(pi x) between u(0) = 0 and u(1) = 0, which only u = sin(pi x) fulfils.
int main() {
  constexpr int steps = 2000;
  std::vector<float> x, curvature;
  for (int i = 0; i < 64; ++i) {
    x.push_back((static_cast<float>(i) + 0.5F) / 64);
    curvature.push_back(static_cast<float>(-pi * pi * std::sin(pi * static_cast<double>(x.back()))));
  }
  Network network(nn::Seed{1});
  nn::Adam adam(network);
  const nn::Schedule rate = nn::Schedule::cosine({.learning_rate = 5e-3, .steps = steps});
  Tape tape;
  const auto furthest_off = [&] {
    const auto step = tape.inference();
    const std::vector<double> u = network(tape, x).value.values();
    double most = 0;
    for (std::size_t i = 0; i < x.size(); ++i)
      most = std::max(most, std::fabs(u[i] - std::sin(pi * static_cast<double>(x[i]))));
    return most;
  };
  for (int i = 0; i <= steps; ++i) {
    if (i % 500 == 0) std::printf("step %4d  at most %.4f from sin(pi x)\n", i, furthest_off());
    const auto step = tape.record();
    const Tensor inside = network(tape, x).second - tape.constant(curvature, {64, 1});
    const Tensor ends = network(tape, {0, 1}).value;
    tape.backward(mean(square(inside)) + 100.0 * mean(square(ends)));
    adam.set_learning_rate(rate(i));
    adam.step();
  }
}
