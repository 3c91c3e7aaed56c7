// Lesson 11: products with the Hessian of a whole model, and how curved its loss becomes.

#include <cmath>
#include <cstdio>
#include <functional>
#include <numeric>
#include <vector>

#include "autograd/autograd.h"
#include "data/synthetic.h"
#include "kernels/philox.h"
#include "nn/mlp.h"
#include "nn/optimizer.h"

using namespace reel;

// The size of the largest eigenvalue of the Hessian, by power iteration: every product turns v further
// towards its eigenvector. The loss is a function of the tape, because hvp records it on one of dual numbers.
double largest_curvature(const ParameterBlock& parameters, const std::function<Tensor(Tape&)>& loss) {
  const kernels::Philox numbers(1);
  std::vector<double> v(static_cast<std::size_t>(parameters.length()));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = numbers.normal(i);
  double length = 0;
  for (int i = 0; i < 30; ++i) {
    v = hvp(parameters, loss, v);
    length = std::sqrt(std::inner_product(v.begin(), v.end(), v.begin(), 0.0));
    for (double& x : v) x /= length;
  }
  return length;
}

int main() {
  const data::Dataset moons = data::moons({.count = 100, .noise = 0.1});
  const std::vector<double> targets(moons.labels.begin(), moons.labels.end());
  nn::Mlp net(nn::Seed{1}, {2, 16, 1}, {.activation = tanh});
  const auto loss = [&](Tape& tape) {
    return mse(net(tape.constant(moons.inputs, {100, 2})), tape.constant(targets, {100, 1}));
  };
  // Gradient descent with all data at once makes the loss more curved, until steps along the eigenvector
  // overshoot. They do where the curvature is 2 / rate; there it stays (Cohen et al. 2021).
  const double rate = 0.2;
  std::printf("2 / rate = %.1f\n", 2 / rate);
  nn::SGD sgd(net, {.learning_rate = rate});
  Tape tape;
  for (int i = 0; i <= 3000; ++i) {
    const auto step = tape.record();
    const Tensor now = loss(tape);
    if (i % 500 == 0)
      std::printf("step %4d  loss %.3f  curvature %4.1f\n", i, now.item(),
                  largest_curvature(net.parameters(), loss));
    tape.backward(now);
    sgd.step();
  }
}
