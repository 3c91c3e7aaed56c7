// Lesson 2: fit a line to noisy points by following the gradient.

#include <cstdio>
#include <vector>

#include "autograd/autograd.h"
#include "kernels/philox.h"
#include "nn/linear.h"
#include "nn/optimizer.h"

using namespace reel;

struct Line final : nn::Module {
  using nn::Module::Module;
  nn::Linear fit{this, "fit", 1, 1};
  Tensor operator()(Here x) const { return fit(x); }
};

int main() {
  // y = 2 x - 1 with a little noise. Random numbers come by index: the same on every machine.
  const kernels::Philox numbers(7);
  std::vector<float> xs, ys;
  for (unsigned i = 0; i < 100; ++i) {
    const double x = 2 * numbers.uniform(2 * i) - 1;
    xs.push_back(static_cast<float>(x));
    ys.push_back(static_cast<float>(2 * x - 1 + 0.1 * numbers.normal(1000 + i)));
  }

  Line line(nn::Seed{1});
  nn::SGD sgd(line, {.learning_rate = 0.3});
  Tape tape;
  for (int epoch = 0; epoch <= 50; ++epoch) {
    const auto step = tape.record();
    const Tensor loss = mse(line(tape.constant(xs, {100, 1})), tape.constant(ys, {100, 1}));
    tape.backward(loss);
    sgd.step();
    if (epoch % 10 == 0) std::printf("epoch %2d  loss %.4f\n", epoch, loss.item());
  }
  std::printf("\ny = %.2f x %+.2f\n", static_cast<double>(line.fit.weight.values()[0]),
              static_cast<double>(line.fit.bias().values()[0]));
}
