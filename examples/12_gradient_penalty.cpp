// Lesson 12: a gradient inside a loss, trained with one level of dual numbers.

#include <cstdio>
#include <numeric>
#include <vector>

#include "autograd/autograd.h"
#include "kernels/philox.h"
#include "nn/mlp.h"
#include "nn/optimizer.h"

using namespace reel;

// A cloud of points around (0, 0), or around (1.2, 1.6), which is 2 away.
Array cloud(std::uint64_t number, std::int64_t count) {
  const kernels::Philox numbers(3, number);
  Array points{{count, 2}, {}};
  for (std::uint64_t i = 0; i < 2 * static_cast<std::uint64_t>(count); ++i)
    points.values.push_back(numbers.normal(i) + (number % 2 == 0 ? 0 : i % 2 == 0 ? 1.2 : 1.6));
  return points;
}

// How far the clouds are apart, as a critic scores them whose slope a penalty inside the loss holds near 1:
// weight * mean((|d score / d point| - 1)^2) at points between the clouds (WGAN-GP, Gulrajani et al. 2017).
void measure_distance(double weight) {
  nn::Mlp critic(nn::Seed{2}, {2, 32, 1}, {.activation = gelu});
  ParameterBlock& parameters = critic.parameters();
  nn::Adam adam(critic, {.learning_rate = 3e-3, .beta1 = 0.5, .beta2 = 0.9});
  const Function score = [&](Tensors x) { return sum(critic(x[0])); };
  const Function length = [](Tensors g) { return norm(g[0], {.axes = {1}}); };
  const Function penalty = [&](Tensors g) { return weight * mean(square(length(g) - 1.0)); };
  const auto distance = [&](Tape& tape, const Array& here, const Array& there) {
    return mean(critic(tape.constant(there.values, there.shape))) -
           mean(critic(tape.constant(here.values, here.shape)));
  };
  Tape tape, dual(Precision::dual);
  for (std::uint64_t i = 0; i < 600; ++i) {
    const Array here = cloud(2 * i, 64), there = cloud(2 * i + 1, 64);
    Array between = here;
    for (std::size_t j = 0; j < between.values.size(); ++j)
      between.values[j] += kernels::Philox(4, i).uniform(j / 2) * (there.values[j] - here.values[j]);
    const auto step = tape.record();
    tape.backward(neg(distance(tape, here, there)));

    // A gradient g = d score / d point is no tensor that ops could read; there is no create_graph. But with
    // u = d penalty / d g held still, the gradient of the penalty in the parameters is that of u . g, and
    // u . g is how the score changes when the points move along u. So it is how the gradient of the score
    // in the parameters changes then: its tangents on a dual tape.
    const Arrays g = grad(score, {between});
    const Arrays u = grad(penalty, g);
    const auto second = dual.record();
    dual.backward(score(std::vector{dual.variable(between.values, u[0].values, between.shape)}));
    for (std::size_t p = 0; p < parameters.count(); ++p) {  // added to what backward left above
      const std::vector<double> tangents = dual.leaf(Parameter(parameters, p)).gradient_tangents();
      for (std::size_t j = 0; j < tangents.size(); ++j)
        parameters.gradients(p)[j] += static_cast<float>(tangents[j]);
    }
    adam.step();
  }
  const Array here = cloud(10000, 4000), there = cloud(10001, 4000);
  const std::vector<double> slopes = evaluate(length, grad(score, {here})).values;
  const auto step = tape.inference();
  std::printf("weight %3.0f: scores %.2f apart, slope %.2f\n", weight, distance(tape, here, there).item(),
              std::accumulate(slopes.begin(), slopes.end(), 0.0) / static_cast<double>(slopes.size()));
}

int main() {
  for (const double weight : {1.0, 10.0, 100.0}) measure_distance(weight);
}
