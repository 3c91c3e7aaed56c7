#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "autograd/autograd.h"
#include "nn/dropout.h"
#include "nn/embedding.h"
#include "nn/gpt.h"
#include "nn/linear.h"
#include "nn/mlp.h"
#include "nn/norm.h"
#include "nn/sequential.h"
#include "nn/transformer.h"
#include "tests/support/count_allocations.h"

namespace reel::nn {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

// A root with one child.
template <class Layer>
struct Only final : Module {
  template <class... Arguments>
  explicit Only(Arguments... arguments) : Module(Seed{4}), layer(this, "layer", arguments...) {}
  Layer layer;
};

double mean_square(std::span<const float> values) {
  double sum = 0;
  for (const float v : values) sum += static_cast<double>(v) * static_cast<double>(v);
  return sum / static_cast<double>(values.size());
}

std::vector<double> some_numbers(std::size_t count) {
  std::vector<double> x(count);
  for (std::size_t i = 0; i < count; ++i) x[i] = std::sin(1.3 * static_cast<double>(i * i) + 0.2);
  return x;
}

TEST(Linear, StartsAsPyTorchsDoes) {
  Only<Linear> model(100, 400);
  for (const auto values : {model.layer.weight.values(), model.layer.bias().values()}) {
    // uniform in +- 1/sqrt(100): mean square 0.1^2 / 3
    EXPECT_LE(*std::max_element(values.begin(), values.end()), 0.1F);
    EXPECT_GE(*std::min_element(values.begin(), values.end()), -0.1F);
    EXPECT_NEAR(mean_square(values), 0.01 / 3, 0.01 / 3 / 8);
  }
  Only<Linear> bare(3, 2, LinearOptions{.bias = false});
  EXPECT_EQ(bare.parameters().count(), 1u);
  EXPECT_FALSE(bare.layer.has_bias());
}

// As in the forward pass of a module, which is const: a low-rank update beside the weight.
TEST(Linear, GivesItsBiasToAForwardPassOfOnesOwn) {
  const Only<Linear> model(2, 3);
  Tape tape;
  const auto step = tape.inference();
  const Tensor x = tape.constant({0.5F, -1.5F}, {1, 2});
  const Tensor y = linear(x, 2 * tensor_of(model.layer.weight), model.layer.bias());
  const Tensor expected = 2 * model.layer(x) - tensor_of(model.layer.bias());
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(y.data()[i], expected.data()[i], 1e-6F);
  const Only<Linear> bare(2, 3, LinearOptions{.bias = false});
  EXPECT_THAT([&] { bare.layer.bias(); }, ThrowsMessage<StateError>(HasSubstr("this layer has no bias")));
}

TEST(Linear, AWrongInputNamesTheUsersLineAndTheParameter) {
  Only<Linear> model(4, 2);
  Tape tape;
  const auto step = tape.record();
  EXPECT_THAT(
      [&] {
        model.layer(tape.constant({1, 2, 3}, {1, 3}));
      },
      ThrowsMessage<ShapeError>(
          testing::AllOf(HasSubstr("layers_test.cpp:"), HasSubstr("\"layer.weight\""))));
}

TEST(Embedding, StartsNormalAndGivesRows) {
  Only<Embedding> model(50, 40);
  EXPECT_NEAR(mean_square(model.layer.weight.values()), 1, 0.08);
  Tape tape;
  const auto step = tape.record();
  const std::int32_t tokens[] = {3, 3, 0, 49};
  const Tensor y = model.layer(tokens, {2, 2});
  EXPECT_EQ(y.shape(), (Shape{2, 2, 40}));
  EXPECT_EQ(y.data()[2 * 40 + 7], model.layer.weight.values()[7]);
  EXPECT_EQ(y.data()[3 * 40 + 1], model.layer.weight.values()[49 * 40 + 1]);
}

TEST(Norms, AreWhatTheirPapersSay) {
  Only<LayerNorm> layer(5, NormOptions{.epsilon = 0.01});
  Only<RMSNorm> rms(5, NormOptions{.epsilon = 0.01});
  init::normal(layer.layer.weight, Seed{1});
  init::normal(layer.layer.bias, Seed{1});
  init::normal(rms.layer.weight, Seed{1});
  const auto x = some_numbers(10);
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const auto y = layer.layer(tape.constant(x, {2, 5})).values();
  const auto z = rms.layer(tape.constant(x, {2, 5})).values();
  for (std::size_t r = 0; r < 2; ++r) {
    double mean = 0, variance = 0, square = 0;
    for (std::size_t c = 0; c < 5; ++c) mean += x[r * 5 + c] / 5, square += x[r * 5 + c] * x[r * 5 + c] / 5;
    for (std::size_t c = 0; c < 5; ++c) variance += (x[r * 5 + c] - mean) * (x[r * 5 + c] - mean) / 5;
    for (std::size_t c = 0; c < 5; ++c) {
      const auto number = [&](const Parameter& p) { return static_cast<double>(p.values()[c]); };
      EXPECT_NEAR(y[r * 5 + c],
                  (x[r * 5 + c] - mean) / std::sqrt(variance + 0.01) * number(layer.layer.weight) +
                      number(layer.layer.bias),
                  1e-14);
      EXPECT_NEAR(z[r * 5 + c], x[r * 5 + c] / std::sqrt(square + 0.01) * number(rms.layer.weight), 1e-14);
    }
  }
}

TEST(Dropout, DropsItsShareAndKeepsTheMean) {
  Only<Dropout> model(0.25);
  Tape tape;
  const auto step = tape.record();
  const std::vector<float> ones(20000, 1);
  const Tensor y = model.layer(tape.constant(ones, {20000}));
  const auto zeros = std::count(y.data().begin(), y.data().end(), 0.0F);
  EXPECT_NEAR(static_cast<double>(zeros), 5000, 4.5 * std::sqrt(20000 * 0.25 * 0.75));
  EXPECT_EQ(std::count(y.data().begin(), y.data().end(), 1 / 0.75F), 20000 - zeros);
}

struct TwoDropouts final : Module {
  using Module::Module;
  Dropout a{this, "a", 0.5};
  Dropout b{this, "b", 0.5};
};

TEST(Dropout, EveryLayerHasAMaskOfItsOwn) {
  TwoDropouts model(Seed{1});
  TwoDropouts again(Seed{2});
  Tape tape;
  const auto step = tape.record();
  const std::vector<float> ones(64, 1);
  const Tensor x = tape.constant(ones, {64});
  EXPECT_NE(model.a(x).values(), model.b(x).values());
  EXPECT_NE(model.a(x).values(), again.a(x).values());
}

// The masks of some uses in a row, as the factors of ones.
std::vector<std::vector<double>> masks(const Dropout& layer, Tape& tape, int uses) {
  const std::vector<float> ones(64, 1);
  const Tensor x = tape.constant(ones, {64});
  std::vector<std::vector<double>> result;
  for (int i = 0; i < uses; ++i) result.push_back(layer(x).values());
  return result;
}

TEST(Dropout, DrawsAnotherMaskAtEveryUseInAStep) {
  Only<Dropout> model(0.5);
  Tape tape;
  const auto step = tape.record();
  const auto uses = masks(model.layer, tape, 4);
  for (std::size_t i = 0; i < uses.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) EXPECT_NE(uses[i], uses[j]) << i << " and " << j;
  }
  const std::vector<float> ones(64, 1);
  const DropoutOptions own{.p = 0.5, .seed = 4, .stream = kernels::stream_of("layer"), .step = 0};
  EXPECT_EQ(uses[0], dropout(tape.constant(ones, {64}), own).values());
}

TEST(Dropout, StartsAgainWithEveryStepOfTheTape) {
  Only<Dropout> model(0.5);
  Tape tape;
  Tape other;
  std::vector<std::vector<double>> first;
  {
    const auto step = tape.record();
    std::vector<std::vector<double>> inside;
    {
      const auto inner = tape.inference();
      inside = masks(model.layer, tape, 2);
    }
    first = masks(model.layer, tape, 2);
    EXPECT_EQ(inside, first);
    {
      const auto inner = tape.inference();
      EXPECT_EQ(masks(model.layer, tape, 2), first);
    }
    const auto elsewhere = other.record();
    EXPECT_EQ(masks(model.layer, other, 2), first);
    // The outer step goes on where it was.
    const auto third = masks(model.layer, tape, 1).front();
    EXPECT_NE(third, first[0]);
    EXPECT_NE(third, first[1]);
  }
  const auto step = tape.record();
  EXPECT_EQ(masks(model.layer, tape, 2), first);
}

TEST(Dropout, CountsUsesByTheNumberOfTheStep) {
  Only<Dropout> model(0.5);
  Tape tape;
  const auto step = tape.record();
  model.set_step(1);
  const auto one = masks(model.layer, tape, 1);
  model.set_step(2);
  const auto two = masks(model.layer, tape, 1);
  EXPECT_NE(one, two);
  const auto inner = tape.record();  // each alone
  EXPECT_EQ(masks(model.layer, tape, 1), two);
  model.set_step(1);
  EXPECT_EQ(masks(model.layer, tape, 1), one);
}

TEST(Dropout, GradcheckSeesOneMaskForEveryUse) {
  Only<Dropout> model(0.5);
  const auto report =
      gradcheck([&](Tensors x) { return model.layer(tanh(model.layer(tanh(model.layer(x[0]))))); },
                {{Shape{8}, some_numbers(8)}});
  EXPECT_TRUE(report) << report.message;
}

TEST(Dropout, AsksTheHeapForNothingOnceWarm) {
  if (!support::counts_allocations()) GTEST_SKIP() << "a sanitizer has its own allocator";
  TwoDropouts model(Seed{1});
  Tape tape;
  const std::vector<float> ones(64, 1);
  std::size_t before = 0;
  for (int i = 0; i < 5; ++i) {
    if (i == 3) before = support::allocations();
    const auto step = tape.record();
    Tensor x = tape.constant(ones, {64});
    for (int use = 0; use < 5; ++use) x = model.b(model.a(x));
  }
  EXPECT_EQ(support::allocations(), before);
}

TEST(Dropout, RefusesAShareThatIsNone) {
  for (const double p : {-0.1, 1.0, 0.99999999, std::nan("")}) {
    EXPECT_THAT([p] { Only<Dropout> model(p); }, ThrowsMessage<ValueError>(HasSubstr("not in [0, 1)")));
  }
}

TEST(Sequential, TakesOpsLambdasAndWhatTheyHold) {
  struct Chain final : Module {
    using Module::Module;
    Sequential net{this, "net"};
  } chain(Seed{1});
  const double factor = 3;
  chain.net.then(relu).then([](Here x) { return shift(x, 1); }).then([factor](Here x) {
    return scale(x, factor);
  });
  Tape tape;
  const auto step = tape.record();
  EXPECT_THAT(chain.net(tape.constant({-1, 2}, {2})).values(), testing::ElementsAre(3, 9));
  ParameterBlock block;
  const Parameter parameter(block, block.add("p", {2}, true));
  EXPECT_THAT(chain.net(parameter).values(), testing::ElementsAre(3, 3));
}

TEST(ModuleList, NamesItsModulesByTheirNumber) {
  struct Deep final : Module {
    explicit Deep(Seed seed) : Module(seed) {
      for (int i = 0; i < 3; ++i) layers.add(2, 2, LinearOptions{.bias = i < 2});
    }
    Tensor operator()(Here x) const {
      Tensor y = x.tensor;
      for (const Linear& layer : layers) y = layer(y);
      return y;
    }
    ModuleList<Linear> layers{this, "layers"};
  } model(Seed{1});
  ASSERT_EQ(model.layers.size(), 3U);
  ASSERT_EQ(model.parameters().count(), 5U);
  EXPECT_EQ(model.parameters().entry(1).name, "layers.0.bias");
  EXPECT_EQ(model.parameters().entry(4).name, "layers.2.weight");
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.constant({1, 2}, {1, 2});
  const Tensor y = model.layers.at(2)(model.layers.at(1)(model.layers.at(0)(x)));
  EXPECT_EQ(model(x).values(), y.values());
  model.layers.requires_grad(false);
  EXPECT_FALSE(model.parameters().entry(4).requires_grad);
}

// Attention of one head after the other, in plain loops.
std::vector<double> naive_attention(Only<MultiHeadSelfAttention>& model, const std::vector<double>& x,
                                    std::size_t time, std::size_t width, std::size_t heads, bool causal) {
  const auto project = [](Linear& layer, const std::vector<double>& rows, std::size_t in, std::size_t out) {
    std::vector<double> y(rows.size() / in * out);
    for (std::size_t r = 0; r < rows.size() / in; ++r) {
      for (std::size_t o = 0; o < out; ++o) {
        double sum = static_cast<double>(layer.bias().values()[o]);
        for (std::size_t i = 0; i < in; ++i)
          sum += rows[r * in + i] * static_cast<double>(layer.weight.values()[o * in + i]);
        y[r * out + o] = sum;
      }
    }
    return y;
  };
  const auto qkv = project(model.layer.c_attn, x, width, 3 * width);
  const std::size_t channels = width / heads;
  std::vector<double> y(x.size());
  for (std::size_t row = 0; row < x.size() / width; ++row) {
    const std::size_t first = row / time * time;  // of this sequence
    const std::size_t last = causal ? row + 1 : first + time;
    for (std::size_t h = 0; h < heads; ++h) {
      std::vector<double> weights;
      for (std::size_t key = first; key < last; ++key) {
        double dot = 0;
        for (std::size_t c = 0; c < channels; ++c) {
          dot += qkv[row * 3 * width + h * channels + c] * qkv[key * 3 * width + width + h * channels + c];
        }
        weights.push_back(std::exp(dot / std::sqrt(static_cast<double>(channels))));
      }
      const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
      for (std::size_t c = 0; c < channels; ++c) {
        for (std::size_t key = first; key < last; ++key) {
          y[row * width + h * channels + c] +=
              weights[key - first] / total * qkv[key * 3 * width + 2 * width + h * channels + c];
        }
      }
    }
  }
  return project(model.layer.c_proj, y, width, width);
}

TEST(MultiHeadSelfAttention, IsTheFormulaCausalOrNot) {
  for (const bool causal : {true, false}) {
    Only<MultiHeadSelfAttention> model(6, 3, AttentionLayerOptions{.causal = causal});
    const auto x = some_numbers(2 * 4 * 6);
    Tape tape(Precision::f64);
    const auto step = tape.record();
    const auto got = model.layer(tape.constant(x, {2, 4, 6})).values();
    const auto want = naive_attention(model, x, 4, 6, 3, causal);
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-14) << causal << " " << i;
  }
}

TEST(MultiHeadSelfAttention, RotaryPositionsCountDistancesOnly) {
  // Row 3 of a sequence attends to rows 2 and 3 as row 1 of its tail does to rows 0 and 1.
  Only<MultiHeadSelfAttention> model(8, 2, AttentionLayerOptions{.causal = false, .rotary = true});
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor x = tape.constant(some_numbers(5 * 8), {1, 5, 8});
  const auto scores = [&](const Tensor& rows) { return log(model.layer.weights(rows)); };
  const Tensor whole = scores(x);
  const Tensor tail = scores(slice(x, 1, 2, 5));
  for (std::int64_t head = 0; head < 2; ++head) {
    const auto difference = [&](const Tensor& map, std::int64_t size, std::int64_t row) {
      const auto at = static_cast<std::size_t>((head * size + row) * size + row);
      return map.values()[at] - map.values()[at - 1];
    };
    EXPECT_NEAR(difference(whole, 5, 3), difference(tail, 3, 1), 1e-13);
  }
}

// Two layers that pass their input on, but for dropout: one token has one weight, which is 1 or dropped.
struct TwoAttentions final : Module {
  static constexpr std::int64_t width = 64;
  TwoAttentions(Seed seed, double p) : Module(seed) {
    const AttentionLayerOptions options{.dropout = p, .bias = false};
    a.emplace(this, "a", width, width, options);
    b.emplace(this, "b", width, width, options);
    for (MultiHeadSelfAttention* layer : {&*a, &*b}) {
      init::zeros(layer->c_attn.weight);
      init::zeros(layer->c_proj.weight);
      for (std::size_t i = 0; i < std::size_t{width}; ++i) {
        layer->c_attn.weight.values()[(2 * width + i) * width + i] = 1;
        layer->c_proj.weight.values()[i * width + i] = 1;
      }
    }
  }
  std::optional<MultiHeadSelfAttention> a, b;
};

TEST(MultiHeadSelfAttention, DropsWeightsAndResultsIndependently) {
  TwoAttentions model(Seed{4}, 0.5);
  TwoAttentions other(Seed{5}, 0.5);
  Tape tape;
  constexpr std::size_t elements = 64;
  constexpr int steps = 300;
  std::vector<int> kept(elements);
  int in_both_layers = 0;
  int in_both_models = 0;
  for (int i = 0; i < steps; ++i) {
    model.set_step(static_cast<std::uint64_t>(i));
    other.set_step(static_cast<std::uint64_t>(i));
    const auto step = tape.inference();
    const std::vector<float> ones(elements, 1);
    const Tensor x = tape.constant(ones, {1, 1, 64});
    const Tensor a = (*model.a)(x);
    const Tensor b = (*model.b)(x);
    const Tensor c = (*other.a)(x);
    for (std::size_t k = 0; k < elements; ++k) {
      // Kept twice, scaled by 2 each time.
      EXPECT_THAT(a.data()[k], testing::AnyOf(0, 4));
      kept[k] += a.data()[k] != 0 ? 1 : 0;
      in_both_layers += a.data()[k] != 0 && b.data()[k] != 0 ? 1 : 0;
      in_both_models += a.data()[k] != 0 && c.data()[k] != 0 ? 1 : 0;
    }
  }
  const auto near = [](double count, double n, double p) {
    EXPECT_NEAR(count, n * p, 4.5 * std::sqrt(n * p * (1 - p)));
  };
  for (const int count : kept) near(count, steps, 0.25);
  near(in_both_layers, steps * double{elements}, 1.0 / 16);
  near(in_both_models, steps * double{elements}, 1.0 / 16);
  model.eval();
  const auto step = tape.inference();
  const std::vector<float> ones(elements, 1);
  EXPECT_THAT((*model.a)(tape.constant(ones, {1, 1, 64})).values(), testing::Each(1));
}

TEST(MultiHeadSelfAttention, DropsOthersAtEveryUseInAStep) {
  TwoAttentions model(Seed{4}, 0.5);
  Tape tape;
  constexpr std::size_t elements = 64;
  constexpr int steps = 300;
  const std::vector<float> ones(elements, 1);
  int in_both_uses = 0;
  for (int i = 0; i < steps; ++i) {
    model.set_step(static_cast<std::uint64_t>(i));
    const auto step = tape.inference();
    const Tensor x = tape.constant(ones, {1, 1, 64});
    const Tensor first = (*model.a)(x);
    const Tensor second = (*model.a)(x);
    const auto inner = tape.inference();
    EXPECT_EQ((*model.a)(tape.constant(ones, {1, 1, 64})).values(), first.values());
    for (std::size_t k = 0; k < elements; ++k) {
      in_both_uses += first.data()[k] != 0 && second.data()[k] != 0 ? 1 : 0;
    }
  }
  // Were one of the two masks the same in both uses, it would be an eighth.
  const double all = steps * double{elements};
  EXPECT_NEAR(in_both_uses, all / 16, 4.5 * std::sqrt(all * 15 / 256));
}

TEST(FeedForward, DropsItsResult) {
  for (const bool swiglu : {false, true}) {
    Only<FeedForward> model(std::int64_t{64}, GptConfig{.dropout = 0.25, .swiglu = swiglu});
    Tape tape;
    const auto step = tape.inference();
    const Tensor y = model.layer(tape.constant(some_numbers(10 * 64), {10, 64}));
    const auto zeros = static_cast<double>(std::count(y.data().begin(), y.data().end(), 0.0F));
    EXPECT_NEAR(zeros, 160, 4.5 * std::sqrt(640 * 0.25 * 0.75));
  }
}

TEST(MultiHeadSelfAttention, RefusesHeadsThatDoNotFit) {
  const auto make = [](std::int64_t width, std::int64_t heads, bool rotary) {
    return [=] { Only<MultiHeadSelfAttention> model(width, heads, AttentionLayerOptions{.rotary = rotary}); };
  };
  EXPECT_THAT(make(10, 3, false), ThrowsMessage<ValueError>(HasSubstr("3 heads do not divide the width 10")));
  EXPECT_THAT(make(10, 0, false), ThrowsMessage<ValueError>(HasSubstr("0 heads")));
  EXPECT_THAT(make(10, 2, true), ThrowsMessage<ValueError>(HasSubstr("a head has 5")));
}

TEST(Mlp, TakesEveryActivationByItsName) {
  Tape tape;
  const auto step = tape.inference();
  const Tensor x = tape.constant({1, -2}, {1, 2});
  std::vector<std::vector<double>> seen;
  for (const auto activation :
       {static_cast<Tensor (*)(Here)>(leaky_relu), static_cast<Tensor (*)(Here)>(elu), relu, gelu}) {
    const Mlp model(Seed{1}, {2, 8, 1}, {.activation = activation});
    seen.push_back(model(x).values());
  }
  const Mlp model(Seed{1}, {2, 8, 1}, {.activation = leaky_relu});
  EXPECT_EQ(model(x).values(), seen[0]);
  for (std::size_t i = 1; i < seen.size(); ++i) EXPECT_NE(seen[i], seen[i - 1]);
}

TEST(Mlp, SizesMayBeWrittenInBraces) {
  const Mlp model(Seed{1}, {2, 8, 1});
  EXPECT_EQ(model.parameters().entry(0).shape, (Shape{8, 2}));
  const Mlp one_layer(Seed{1}, {2, 1}, {.dropout = 0.5});
  EXPECT_EQ(one_layer.parameters().count(), 2U);
  struct Two final : Module {
    using Module::Module;
    Mlp head{this, "head", {4, 3}};
    Embedding table{this, "table", 5, 4};
  };
  const Two two(Seed{1});
  EXPECT_EQ(two.parameters().entry(0).name, "head.layer0.weight");
  Tape tape;
  const auto step = tape.inference();
  EXPECT_EQ(two.head(two.table({4, 0}, {2})).shape(), (Shape{2, 3}));
  EXPECT_THROW(Mlp(Seed{1}, {}), ValueError);
}

}  // namespace
}  // namespace reel::nn
