// Lesson 13: an optimizer of your own, frozen parts of a model, and gradients without a backward.

#include <cstdio>
#include <vector>

#include "autograd/autograd.h"
#include "data/synthetic.h"
#include "kernels/philox.h"
#include "nn/linear.h"
#include "nn/optimizer.h"

using namespace reel;

// Lion (Chen et al. 2023): a weight moves by the sign of an average m of its gradients, whatever their size.
struct LionOptions {
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.99;
  double weight_decay = 0;
  double clip_norm = 0;
  std::vector<nn::ParameterGroup> groups = {};
};
class Lion final : public nn::Optimizer {
 public:
  explicit Lion(nn::ModelParameters model, LionOptions options = {}, Place where = Place::here())
      : Optimizer("Lion", model,
                  {options.learning_rate, options.weight_decay, options.clip_norm, options.groups, where}),
        beta1_(options.beta1),
        beta2_(options.beta2) {
    add_slot("m");  // what it remembers: checkpoints keep it
  }

 private:
  void update(const Run& run) override {
    float* const w = run.values;
    float* const m = slot(0) + run.offset;
    for (std::int64_t i = 0; i < run.count; ++i) {
      const double weight = w[i], gradient = run.scale * run.gradients[i];
      const double way = beta1_ * m[i] + (1 - beta1_) * gradient;
      const double sign = way > 0 ? 1 : way < 0 ? -1 : 0;
      w[i] = static_cast<float>(weight - run.learning_rate * (sign + run.weight_decay * weight));
      m[i] = static_cast<float>(beta2_ * m[i] + (1 - beta2_) * gradient);
    }
  }
  double beta1_, beta2_;
};

struct Net final : nn::Module {
  using nn::Module::Module;
  nn::Linear hidden{this, "hidden", 2, 16};
  nn::Linear output{this, "output", 16, 2};
  Tensor operator()(Here x) const { return output(tanh(hidden(x))); }
};

int main() {
  const data::Dataset moons = data::moons({.count = 200, .noise = 0.1});
  Net net(nn::Seed{1});
  ParameterBlock& parameters = net.parameters();
  Tape tape;
  const auto inputs = [&] { return tape.constant(moons.inputs, {200, 2}); };
  const auto loss = [&] { return cross_entropy(net(inputs()), moons.labels); };
  const auto value = [&] {
    const auto step = tape.inference();
    return loss().item();
  };
  const auto print = [&](const char* when) {
    std::printf("%-13s  %.2f  %16.4f  %16.4f\n", when, value(),
                static_cast<double>(net.hidden.weight.values()[0]),
                static_cast<double>(net.output.weight.values()[0]));
  };
  std::printf("               loss  hidden.weight[0]  output.weight[0]\n");
  print("at first");

  // Frozen: backward spends nothing on it, and no optimizer moves it.
  net.hidden.requires_grad(false);
  Lion head(net, {.learning_rate = 1e-2});
  for (int i = 0; i < 100; ++i) {
    const auto step = tape.record();
    tape.backward(loss());
    head.step();
  }
  print("hidden frozen");
  net.hidden.requires_grad(true);

  // Inside one loss alone; what comes before the layer learns through it all the same.
  Lion lion(net, {.learning_rate = 3e-3});
  for (int i = 0; i < 100; ++i) {
    const auto step = tape.record();
    const Tensor h = tanh(net.hidden(inputs()));
    const Tensor z = linear(h, stop_gradient(net.output.weight), stop_gradient(net.output.bias()));
    tape.backward(cross_entropy(z, moons.labels));
    lion.step();
  }
  print("output frozen");

  // Gradients of your own making: the slope along a random direction, by two values (Spall 1992).
  const double reach = 1e-2;
  for (std::uint64_t i = 0; i < 500; ++i) {
    const kernels::Philox noise(5, i);
    const auto move = [&](double by) {
      for (std::size_t p = 0; p < parameters.count(); ++p) {
        std::uint64_t n = 1000 * p;
        for (float& w : parameters.values(p)) w += static_cast<float>(by * noise.normal(n++));
      }
    };
    move(reach);
    const double above = value();
    move(-2 * reach);
    const double slope = (above - value()) / (2 * reach);
    move(reach);
    for (std::size_t p = 0; p < parameters.count(); ++p) {
      std::uint64_t n = 1000 * p;
      for (float& g : parameters.gradients(p)) g = static_cast<float>(slope * noise.normal(n++));
      parameters.entry(p).has_gradient = true;  // without it step() takes the numbers for old ones
    }
    lion.step();
  }
  print("no backward");
}
