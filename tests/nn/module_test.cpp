#include "nn/module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <locale>
#include <numbers>

#include "autograd/autograd.h"
#include "kernels/parallel.h"
#include "kernels/philox.h"
#include "nn/dropout.h"
#include "nn/embedding.h"
#include "nn/linear.h"
#include "nn/mlp.h"
#include "nn/norm.h"
#include "nn/optimizer.h"
#include "nn/sequential.h"
#include "nn/summary.h"
#include "tests/support/count_allocations.h"

namespace reel::nn {
namespace {

struct Net final : Module {
  using Module::Module;
  Linear hidden{this, "hidden", 4, 8};
  LayerNorm norm{this, "norm", 8};
  Dropout drop{this, "drop", 0.5};
  Linear output{this, "output", 8, 3};
  Tensor operator()(Here x) const { return output(drop(norm(gelu(hidden(x))))); }
};

TEST(Module, NamesParametersByTheirPath) {
  Net net(Seed{1});
  std::vector<std::string> names;
  for (const auto& e : net.parameters().entries()) names.push_back(e.name);
  EXPECT_THAT(names, testing::ElementsAre("hidden.weight", "hidden.bias", "norm.weight", "norm.bias",
                                          "output.weight", "output.bias"));
  EXPECT_EQ(net.parameters().parameters(), 4 * 8 + 8 + 8 + 8 + 8 * 3 + 3);
  EXPECT_TRUE(net.parameters().entry(0).decay);
  EXPECT_FALSE(net.parameters().entry(1).decay);
  EXPECT_FALSE(net.parameters().entry(2).decay);
}

struct TwoNets final : Module {
  using Module::Module;
  Net a{this, "a"};
  Net b{this, "b"};
};

TEST(Module, NestsAndSharesOneBlock) {
  TwoNets two(Seed{1});
  EXPECT_EQ(&two.a.parameters(), &two.parameters());
  EXPECT_EQ(two.b.output.bias().name(), "b.output.bias");
  two.a.eval();
  EXPECT_FALSE(two.b.training());
}

struct Clash final : Module {
  using Module::Module;
  Linear first{this, "same", 1, 1};
  Linear second{this, "same", 1, 1};
};
struct Dotted final : Module {
  using Module::Module;
  Linear only{this, "a.b", 1, 1};
};

TEST(Module, RefusesANameThatIsTakenOrNoName) {
  EXPECT_THAT([] { Clash c(Seed{1}); },
              testing::ThrowsMessage<ValueError>(testing::HasSubstr("\"same\" is there twice")));
  EXPECT_THROW(Dotted d(Seed{1}), ValueError);
}

struct Reversed final : Module {
  using Module::Module;
  Linear output{this, "output", 8, 3};
  Linear hidden{this, "hidden", 4, 8};
};

TEST(Module, InitialValuesDependOnSeedAndPathAlone) {
  Net net(Seed{7});
  Reversed reversed(Seed{7});
  Net other(Seed{8});
  EXPECT_TRUE(std::ranges::equal(net.hidden.weight.values(), reversed.hidden.weight.values()));
  EXPECT_FALSE(std::ranges::equal(net.hidden.weight.values(), other.hidden.weight.values()));
}

TEST(Module, ItsGradientsAreProvenInDoublePrecision) {
  Net net(Seed{3});
  const std::int32_t labels[] = {0, 2};
  const auto report = gradcheck(net.parameters(), [&](Tape& tape) {
    return cross_entropy(net(tape.constant({0.3, -1, 2, 0.5, 1, 1, -0.2, 0.1}, {2, 4})), labels);
  });
  EXPECT_TRUE(report) << report.message;
}

struct TwoOfAName final : Module {
  using Module::Module;
  Linear hidden{this, "hidden", 3, 4};
  Linear hidden2{this, "hidden2", 4, 2};
  Tensor operator()(Here x) const { return hidden2(tanh(hidden(x))); }
};

TEST(Module, AFrozenPartGetsNoGradientAndDoesNotMove) {
  TwoOfAName net(Seed{1});
  ParameterBlock& block = net.parameters();
  AdamW adam(net, {.learning_rate = 0.1, .weight_decay = 0.5});
  const auto reached = [&] {
    std::string all;
    for (const auto& e : block.entries()) all += e.has_gradient ? '1' : '0';
    return all;
  };
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0, 3.0}, {1, 3});
  const auto train = [&] { tape.backward(sum(net(x))); };
  net.hidden.requires_grad(false);
  EXPECT_FALSE(net.hidden.weight.requires_grad());
  const std::vector<float> before(block.values(0).begin(), block.values(0).end());
  train();
  EXPECT_EQ(reached(), "0011");
  EXPECT_NE(x.gradient()[0], 0);
  EXPECT_THROW(tape.leaf(net.hidden.weight).gradient(), StateError);
  adam.step();
  EXPECT_TRUE(std::equal(before.begin(), before.end(), std::as_const(block).values(0).begin()));

  net.requires_grad(false);  // in the same step: from their next use on
  EXPECT_THROW(tape.backward(sum(net(tape.constant({1.0, 2.0, 3.0}, {1, 3})))), StateError);
  train();
  EXPECT_EQ(reached(), "0000");
  net.hidden2.bias().requires_grad(true);
  train();
  EXPECT_EQ(reached(), "0001");
  net.requires_grad(true);
  train();
  EXPECT_EQ(reached(), "1111");
  block.zero_grad();
  net.hidden2.requires_grad(false);  // their leaves of this step are there, and nothing has changed since
  train();
  EXPECT_EQ(reached(), "1100");
}

TEST(Module, AFrozenPartIsProvenLikeTheOthers) {
  TwoOfAName net(Seed{1});
  const auto loss = [&](Tape& tape) { return sum(square(net(tape.constant({1.0, -2.0, 0.5}, {1, 3})))); };
  net.hidden.requires_grad(false);
  const auto report = gradcheck(net.parameters(), loss);
  EXPECT_TRUE(report) << report.message;
  Tape tape(Precision::f64);
  const auto step = tape.record();
  tape.backward(loss(tape));
  EXPECT_THROW(tape.leaf(net.hidden.weight).gradient(), StateError);
}

TEST(Module, DropoutDropsOnlyWhileTrainingAndByTheStep) {
  Net net(Seed{3});
  Tape tape;
  const auto run = [&](std::uint64_t step_number) {
    net.set_step(step_number);
    const auto step = tape.inference();
    return net(tape.constant({0.3, -1, 2, 0.5}, {1, 4})).values();
  };
  const auto first = run(0);
  EXPECT_NE(run(1), first);
  EXPECT_EQ(run(0), first);
  net.eval();
  EXPECT_EQ(run(0), run(1));
  EXPECT_NE(run(0), first);
}

struct Dropped final : Module {
  using Module::Module;
  Linear layer{this, "layer", 1, 64};
  Dropout drop{this, "drop", 0.5};
  Tensor operator()(Here x) const { return drop(layer(x)); }
};

// A step of training; which of the 64 numbers were kept.
std::string mask_of_step(const Dropped& net, Optimizer& optimizer, float poison = 1) {
  Tape tape;
  const auto step = tape.record();
  const Tensor y = net(tape.constant({1}, {1}));
  std::string mask;
  for (const double v : y.values()) mask += v == 0 ? '0' : '1';
  tape.backward(y, std::vector<double>(64, static_cast<double>(poison)));
  optimizer.step();
  return mask;
}

TEST(Module, DropoutDrawsAnotherMaskAfterEveryStepOfTheOptimizer) {
  Dropped net(Seed{1});
  SGD sgd(net, {.learning_rate = 1e-3});
  const std::string first = mask_of_step(net, sgd);
  const std::string second = mask_of_step(net, sgd, std::numeric_limits<float>::infinity());
  EXPECT_EQ(sgd.skipped_steps(), 1);
  const std::string third = mask_of_step(net, sgd);
  EXPECT_NE(first, second);
  EXPECT_NE(second, third);  // also after a step that was skipped
  EXPECT_NE(first, third);
  EXPECT_EQ(net.step(), 3U);
  net.set_step(1);  // rules, whatever the optimizer does
  EXPECT_EQ(mask_of_step(net, sgd), second);
  EXPECT_EQ(mask_of_step(net, sgd), second);
  net.set_step(std::nullopt);
  EXPECT_EQ(net.step(), 5U);
  net.eval();
  EXPECT_EQ(mask_of_step(net, sgd), std::string(64, '1'));
}

TEST(Module, LearnsABatchByHeart) {
  const std::int64_t sizes[] = {2, 16, 16, 3};
  Mlp mlp(Seed{1}, sizes, {.activation = tanh});
  AdamW adam(mlp, {.learning_rate = 2e-2});
  Tape tape;
  std::vector<float> x(64);
  std::vector<std::int32_t> labels(32);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(7 * i + 1));
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i * i % 3);
  double loss = 0;
  std::size_t before = 0;
  for (int i = 0; i < 3000; ++i) {
    if (i == 3) before = reel::support::allocations();
    const auto step = tape.record();
    const Tensor l = cross_entropy(mlp(tape.constant(x, {32, 2})), labels);
    tape.backward(l);
    loss = l.item();
    adam.step();
  }
  EXPECT_EQ(reel::support::allocations(), before);
  EXPECT_LT(loss, 0.02);
}

TEST(Module, AnMlpIsItsLayersWithTheActivationBetween) {
  const std::int64_t sizes[] = {3, 6, 5, 2};
  Mlp mlp(Seed{1}, sizes, {.activation = gelu, .dropout = 0.5});
  ParameterBlock& block = mlp.parameters();
  std::vector<std::string> names;
  for (const auto& e : block.entries()) names.push_back(e.name + " " + to_string(e.shape));
  EXPECT_THAT(names, testing::ElementsAre("layer0.weight [6, 3]", "layer0.bias [6]", "layer1.weight [5, 6]",
                                          "layer1.bias [5]", "layer2.weight [2, 5]", "layer2.bias [2]"));
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.constant({1, -2, 0.5, 3, 0, -1}, {2, 3});
  const auto layer = [&](std::size_t i, const Tensor& y) {
    return linear(y, Parameter(block, 2 * i), Parameter(block, 2 * i + 1));
  };
  const auto want = layer(2, gelu(layer(1, gelu(layer(0, x))))).values();
  EXPECT_NE(mlp(x).values(), want);
  mlp.eval();
  EXPECT_EQ(mlp(x).values(), want);
  Mlp defaults(Seed{1}, sizes);
  EXPECT_EQ(defaults(x).values(), layer(2, relu(layer(1, relu(layer(0, x))))).values());
}

TEST(Module, AnMlpHasInputsAndOutputs) {
  const std::int64_t sizes[] = {2, 3};
  const auto make = [](std::span<const std::int64_t> some) { return [some] { Mlp mlp(Seed{1}, some); }; };
  EXPECT_NO_THROW(make(sizes)());
  EXPECT_THAT(make(std::span(sizes).first(1)),
              testing::ThrowsMessage<ValueError>(testing::HasSubstr("1 sizes")));
  EXPECT_THROW(make({})(), ValueError);
}

TEST(Module, SequentialAppliesItsStepsInOrder) {
  struct Chain final : Module {
    using Module::Module;
    Sequential net{this, "net"};
  } chain(Seed{1});
  chain.net.add<Linear>("first", 2, 3).then(tanh).add<Linear>("second", 3, 1, LinearOptions{.bias = false});
  EXPECT_EQ(chain.parameters().count(), 3u);
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.constant({1, 2}, {1, 2});
  const auto& block = chain.parameters();
  const Parameter w1(chain.parameters(), 0), b1(chain.parameters(), 1), w2(chain.parameters(), 2);
  EXPECT_EQ(chain.net(x).values(), linear(tanh(linear(x, w1, b1)), w2).values());
  EXPECT_EQ(block.entry(2).name, "net.second.weight");
}

TEST(Summary, GroupsNoDigitsWhateverTheLocale) {
  struct Grouping final : std::numpunct<char> {
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };
  ParameterBlock block;
  block.add("w", {64, 64}, true);
  const std::locale before = std::locale::global(std::locale(std::locale::classic(), new Grouping));
  const std::string text = summary(block);
  std::locale::global(before);
  EXPECT_THAT(text, testing::HasSubstr(" 4096 "));
}

TEST(Summary, CountsEveryParameter) {
  Net net(Seed{1});
  const std::string text = summary(net.parameters());
  EXPECT_THAT(text, testing::ContainsRegex("hidden\\.weight +\\[8, 4\\] +32 +yes\n"));
  EXPECT_THAT(text, testing::ContainsRegex("norm\\.bias +\\[8\\] +8 +no\n"));
  EXPECT_THAT(text, testing::ContainsRegex("total +83\n"));
}

// ---- initial values

class Init : public testing::Test {
 protected:
  Parameter make(const Shape& shape) {
    return {block, block.add("p" + std::to_string(block.count()), shape, true)};
  }
  struct Moments {
    double mean = 0, deviation = 0, least = 1e9, most = -1e9;
  };
  static Moments moments(const Parameter& p) {
    Moments m;
    double squares = 0;
    for (const float v : p.values()) {
      m.mean += static_cast<double>(v);
      squares += static_cast<double>(v) * static_cast<double>(v);
      m.least = std::min(m.least, static_cast<double>(v));
      m.most = std::max(m.most, static_cast<double>(v));
    }
    const auto n = static_cast<double>(p.values().size());
    m.mean /= n;
    m.deviation = std::sqrt(squares / n - m.mean * m.mean);
    return m;
  }
  ParameterBlock block;
};

TEST_F(Init, HasTheDeviationsOfThePapers) {
  const Parameter p = make({200, 300});
  const auto expect = [&](double deviation, double bound) {
    const Moments m = moments(p);
    EXPECT_NEAR(m.mean, 0, deviation / 50);
    EXPECT_NEAR(m.deviation, deviation, deviation / 50);
    EXPECT_LE(m.most, bound);
    EXPECT_GE(m.least, -bound);
  };
  init::kaiming_normal(p, Seed{1});
  expect(std::sqrt(2.0 / 300), 1);
  init::kaiming_uniform(p, Seed{1});
  expect(std::sqrt(2.0 / 300), std::sqrt(6.0 / 300) + 1e-7);
  init::xavier_normal(p, Seed{1});
  expect(std::sqrt(2.0 / 500), 1);
  init::xavier_uniform(p, Seed{1});
  expect(std::sqrt(2.0 / 500), std::sqrt(6.0 / 500) + 1e-7);
  init::normal(p, Seed{1}, 0, 0.02);
  expect(0.02, 1);
  init::truncated_normal(p, Seed{1}, 0, 1, 2);
  expect(0.8796256610342398, 2);                                        // of a normal cut at two deviations
  EXPECT_EQ(std::ranges::adjacent_find(p.values()), p.values().end());  // drawn again, not taken from others
}

// The variance of a normal number within +- b is 1 - 2 b phi(b) / (2 Phi(b) - 1).
TEST_F(Init, TruncatesAtAnyBound) {
  const Parameter p = make({200, 300});
  for (const double b : {1e-6, 0.3, 0.999, 1.0, 4.0}) {
    init::truncated_normal(p, Seed{3}, 0, 2, b);
    const double inside = std::erf(b / std::sqrt(2.0));
    const double density = std::exp(-b * b / 2) / std::sqrt(2 * std::numbers::pi);
    const double variance = b < 1e-3 ? b * b / 3 : 1 - 2 * b * density / inside;
    const Moments m = moments(p);
    EXPECT_NEAR(m.deviation, 2 * std::sqrt(variance), 0.01 * m.deviation) << b;
    EXPECT_NEAR(m.mean, 0, 0.02 * m.deviation) << b;
    EXPECT_LE(std::max(m.most, -m.least), 2 * b * (1 + 1e-7)) << b;
    EXPECT_EQ(std::ranges::adjacent_find(p.values()), p.values().end()) << b;
  }
}

// Every number follows from its index alone, however they are shared out among threads.
TEST_F(Init, DrawsTheSameNumbersOnAnyNumberOfThreads) {
  const Parameter p = make({3, 9001});
  const kernels::Philox numbers(6, kernels::stream_of(p.name()));
  const int before = kernels::threads();
  for (const int threads : {1, 3}) {
    kernels::set_threads(threads);
    init::normal(p, Seed{6}, 0.5, 2.0);
    for (std::size_t i = 0; i < p.values().size(); ++i)
      ASSERT_EQ(p.values()[i], static_cast<float>(0.5 + 2.0 * numbers.normal(i))) << i;
    init::uniform(p, Seed{6}, -1.0, 3.0);
    for (std::size_t i = 0; i < p.values().size(); ++i)
      ASSERT_EQ(p.values()[i], static_cast<float>(-1.0 + 4.0 * numbers.uniform(i))) << i;
  }
  kernels::set_threads(before);
}

TEST_F(Init, CountsWhatFollowsTheFirstTwoDimensionsIntoBothFans) {
  const Parameter p = make({40, 30, 5, 2});
  init::kaiming_normal(p, Seed{1}, 1);
  EXPECT_NEAR(moments(p).deviation, 1 / std::sqrt(300.0), 0.002);
  init::xavier_normal(p, Seed{1});
  EXPECT_NEAR(moments(p).deviation, std::sqrt(2.0 / 700), 0.002);
}

TEST_F(Init, OrthogonalRowsOrColumnsAreOrthonormal) {
  for (const Shape& shape : {Shape{5, 9}, Shape{9, 5}, Shape{4, 2, 3}}) {
    const Parameter p = make(shape);
    init::orthogonal(p, Seed{2}, 3.0);
    const std::int64_t rows = shape[0], cols = shape.size() / shape[0];
    const bool tall = rows > cols;
    for (std::int64_t i = 0; i < std::min(rows, cols); ++i) {
      for (std::int64_t j = 0; j < std::min(rows, cols); ++j) {
        double dot = 0;
        for (std::int64_t k = 0; k < std::max(rows, cols); ++k) {
          const auto at = [&](std::int64_t v) {
            return static_cast<double>(
                p.values()[static_cast<std::size_t>(tall ? k * cols + v : v * cols + k)]);
          };
          dot += at(i) * at(j);
        }
        EXPECT_NEAR(dot, i == j ? 9 : 0, 1e-5);
      }
    }
  }
  EXPECT_THROW(init::orthogonal(make({5}), Seed{1}), ShapeError);
  EXPECT_THROW(init::kaiming_normal(make({5}), Seed{1}), ShapeError);
}

TEST_F(Init, OnesZerosAndConstants) {
  const Parameter p = make({3});
  init::ones(p);
  EXPECT_EQ(p.values()[2], 1);
  init::constant(p, -2.5);
  EXPECT_EQ(p.values()[0], -2.5f);
  init::zeros(p);
  EXPECT_EQ(p.values()[1], 0);
}

}  // namespace
}  // namespace reel::nn
