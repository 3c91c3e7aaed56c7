#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "autograd/autograd.h"
#include "kernels/parallel.h"
#include "kernels/philox.h"
#include "nn/linear.h"
#include "nn/optimizer.h"
#include "nn/schedule.h"

namespace reel::nn {
namespace {

struct Net final : Module {
  using Module::Module;
  Linear hidden{this, "hidden", 2, 16};
  Linear output{this, "output", 16, 1};
  Tensor operator()(Here x) const { return output(tanh(hidden(x))); }
};

struct Outcome {
  double first_loss = 0;
  double last_loss = 0;
  std::vector<float> weights;
};

// 300 steps on y = x0 x1, with a warm-up and a cosine.
Outcome train(const std::function<std::unique_ptr<Optimizer>(Net&)>& make, double rate) {
  constexpr std::int64_t rows = 64;
  constexpr std::int64_t steps = 300;
  const kernels::Philox random(17);
  std::vector<float> x;
  std::vector<float> y;
  for (std::uint64_t i = 0; i < rows; ++i) {
    x.push_back(static_cast<float>(2 * random.uniform(2 * i) - 1));
    x.push_back(static_cast<float>(2 * random.uniform(2 * i + 1) - 1));
    y.push_back(x[x.size() - 2] * x[x.size() - 1]);
  }
  Net net(Seed{1});
  const auto optimizer = make(net);
  const Schedule schedule = Schedule::cosine({.learning_rate = rate, .steps = steps, .warmup_steps = 10});
  Tape tape;
  Outcome outcome;
  for (std::int64_t t = 0; t < steps; ++t) {
    const auto step = tape.record();
    const Tensor loss = mse(net(tape.constant(x, {rows, 2})), tape.constant(y, {rows, 1}));
    tape.backward(loss);
    optimizer->set_learning_rate(schedule(t));
    optimizer->step();
    outcome.last_loss = loss.item();
    if (t == 0) outcome.first_loss = outcome.last_loss;
  }
  const ParameterBlock& block = net.parameters();
  outcome.weights.assign(block.values(), block.values() + block.length());
  return outcome;
}

TEST(TrainingLoop, EveryOptimizerLearnsAProductWithTheSameBitsForAnyNumberOfThreads) {
  struct Case {
    const char* name;
    double rate;
    std::function<std::unique_ptr<Optimizer>(Net&)> make;
  };
  const Case cases[] = {
      {"SGD", 0.2,
       [](Net& net) { return std::make_unique<SGD>(net, SGDOptions{.momentum = 0.9, .clip_norm = 1}); }},
      {"Adam", 0.02, [](Net& net) { return std::make_unique<Adam>(net); }},
      {"AdamW", 0.02, [](Net& net) { return std::make_unique<AdamW>(net, AdamWOptions{.clip_norm = 1}); }},
      {"RMSprop", 0.01, [](Net& net) { return std::make_unique<RMSprop>(net); }},
  };
  const int before = kernels::threads();
  for (const Case& c : cases) {
    kernels::set_threads(1);
    const Outcome one = train(c.make, c.rate);
    EXPECT_LT(one.last_loss, 0.05 * one.first_loss) << c.name;
    kernels::set_threads(3);
    EXPECT_EQ(train(c.make, c.rate).weights, one.weights) << c.name;
  }
  kernels::set_threads(before);
}

// Gradients belong to the values that forward saw.
TEST(TrainingLoop, AStepBetweenForwardAndBackwardIsNoticed) {
  Net net(Seed{1});
  SGD sgd(net);
  Tape tape;
  const auto fill = [&] {
    const auto step = tape.record();
    tape.backward(mean(net(tape.constant(std::vector<float>{1, 2}, {1, 2}))));
  };
  fill();
  const auto step = tape.record();
  const Tensor loss = mean(net(tape.constant(std::vector<float>{1, 2}, {1, 2})));
  sgd.step();
  EXPECT_THROW(tape.backward(loss), StateError);
}

}  // namespace
}  // namespace reel::nn
