// Lesson 3: a network that tells three spirals apart.

#include <cstdio>
#include <string>

#include "autograd/autograd.h"
#include "data/batches.h"
#include "data/synthetic.h"
#include "nn/linear.h"
#include "nn/optimizer.h"
#include "nn/summary.h"

using namespace reel;

struct Net final : nn::Module {
  using nn::Module::Module;
  nn::Linear first{this, "first", 2, 32};
  nn::Linear second{this, "second", 32, 32};
  nn::Linear output{this, "output", 32, 3};
  Tensor operator()(Here x) const { return output(gelu(second(gelu(first(x))))); }
};

int main() {
  const data::Dataset spirals = data::spirals({.count = 600, .noise = 0.05});
  data::Batches batches(spirals, 50, 1);

  Net net(nn::Seed{1});
  std::printf("%s\n", nn::summary(net.parameters()).c_str());
  nn::AdamW adam(net, {.learning_rate = 1e-2});
  Tape tape;
  for (int epoch = 0; epoch <= 60; ++epoch) {
    double loss = 0;
    for (int b = 0; b < batches.per_epoch(); ++b) {
      const data::Batch& batch = batches.shuffled(epoch * batches.per_epoch() + b);
      const auto step = tape.record();
      const Tensor l = cross_entropy(net(tape.constant(batch.inputs, {batch.count, 2})), batch.labels);
      tape.backward(l);
      adam.step();
      loss += l.item() / static_cast<double>(batches.per_epoch());
    }
    if (epoch % 20 == 0) std::printf("epoch %2d  loss %.2f\n", epoch, loss);
  }

  // What the network thinks of the plane.
  const auto step = tape.inference();
  for (int row = 0; row < 16; ++row) {
    std::vector<float> points;
    for (int column = 0; column < 40; ++column) {
      points.push_back(-2 + 4 * static_cast<float>(column) / 39);
      points.push_back(2 - 4 * static_cast<float>(row) / 15);
    }
    const std::vector<double> logits = net(tape.constant(points, {40, 2})).values();
    std::string line;
    for (std::size_t i = 0; i < 40; ++i) {
      const double* z = &logits[3 * i];
      line += z[0] > z[1] && z[0] > z[2] ? 'o' : z[1] > z[2] ? '+' : '.';
    }
    std::printf("%s\n", line.c_str());
  }
}
