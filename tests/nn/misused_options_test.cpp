#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "nn/nn.h"
#include "tests/nn/misuse.h"

// Names, sizes, options and tokens that modules, optimizers and models refuse.

namespace reel::nn {
namespace {

TEST(MisusedModules, NamesAndSizes) {
  const std::vector<std::int64_t> one = {3};
  expect_error<ValueError>([&] { const Mlp model(Seed{1}, one); }, "sizes");
  struct Twins final : Module {
    using Module::Module;
    Linear a{this, "twin", 1, 1};
    Linear b{this, "twin", 1, 1};
  };
  expect_error<ValueError>([] { const Twins twins(Seed{1}); }, "\"twin\" is there twice", another_line);
  struct Dotted final : Module {
    using Module::Module;
    Linear a{this, "a.b", 1, 1};
  };
  expect_error<ValueError>([] { const Dotted dotted(Seed{1}); }, "is not a name", another_line);
  struct Negative final : Module {
    using Module::Module;
    Linear a{this, "a", -1, 1};
  };
  expect_error<ValueError>([] { const Negative negative(Seed{1}); }, "linear: in = -1", another_line);
}

TEST(MisusedModules, MadeInAFunctionNameTheLineThatMadeThem) {
  Root root(Seed{1});
  expect_error<ValueError>([&] { Linear(&root, "", 1, 1); }, "\"\" is not a name");
  expect_error<ValueError>([&] { Linear(nullptr, "a", 1, 1); }, "\"a\" has no parent");
  expect_error<ValueError>([&] { Linear(&root, "a", 1, -2); }, "linear: out = -2 is less than 0");
  expect_error<ValueError>([&] { Linear(&root, "b", -3, 1); }, "linear: in = -3 is less than 0");
  constexpr std::int64_t large = std::int64_t{1} << 31;
  expect_error<ValueError>([&] { Linear(&root, "b2", large, 1); },
                           "linear: in = 2147483648 is not below 2^31");
  expect_error<ShapeError>([&] { root.add_parameter("b3", {2, -1}, true); }, "shape: a dimension cannot be");
  expect_error<ValueError>([&] { Embedding(&root, "c", -1, 1); }, "embedding: rows = -1 is less than 0");
  expect_error<ValueError>([&] { Embedding(&root, "d", 1, -1); }, "embedding: channels = -1 is less than 0");
  expect_error<ValueError>([&] { LayerNorm(&root, "e", -1); }, "layer_norm: channels = -1 is less than 0");
  expect_error<ValueError>([&] { RMSNorm(&root, "f", -1); }, "rms_norm: channels = -1 is less than 0");
  expect_error<ValueError>([&] { Dropout(&root, "g", 1 + 1e-9); }, "dropout: p is 1.000000001,");
  expect_error<ValueError>([&] { Dropout(&root, "g", 0.5); }, "\"g\" is there twice");
  expect_error<ValueError>([&] { MultiHeadSelfAttention(&root, "h", 8, 3); }, "3 heads do not divide");
  expect_error<ValueError>([&] { MultiHeadSelfAttention(&root, "i", 6, 2, {.rotary = true}); }, "turn pairs");
  expect_error<ValueError>([&] { root.add_parameter("a.b", {1}, true); }, "\"a.b\" is not a name");
  const std::vector<std::int64_t> one = {3}, negative = {3, -1};
  expect_error<ValueError>([&] { Mlp(&root, "j", one); }, "mlp: 1 sizes");
  expect_error<ValueError>([&] { Mlp(Seed{1}, {2, 3, 1}, {.activation = nullptr}); }, "activation = nullptr");
  expect_error<ValueError>([&] { Mlp(&root, "k", negative); }, "linear: out = -1");
  const std::vector<std::int64_t> three = {3, 3, 3};
  expect_error<ValueError>([&] { Mlp(&root, "l", three, {.dropout = 2}); }, "dropout: p is 2");
}

// Long enough to lie on the heap, where another text would take its place.
TEST(MisusedModules, AreCalledWhatTheirNameWasMadeOf) {
  Root root(Seed{1});
  const Name name = "a name that no short string holds, number " + std::to_string(7);
  const std::string other = "another text that may lie where it was, no " + std::to_string(8);
  const Linear layer(&root, name, 2, 3);
  EXPECT_EQ(layer.path(), "a name that no short string holds, number 7") << other;
}

TEST(MisusedModules, AddedToASequenceOrAListNameTheUsersLine) {
  Root root(Seed{1});
  Sequential net(&root, "net");
  expect_error<ValueError>([&] { net.add<Linear>("0", 2, -4); }, "linear: out = -4 is less than 0");
  expect_error<ValueError>([&] { net.add<Dropout>("1", 2); }, "dropout: p is 2");
  const std::string taken = "1";
  expect_error<ValueError>([&] { net.add<Dropout>(taken, 0.1); }, "\"net.1\" is there twice");
  ModuleList<Linear> list(&root, "list");
  const int line = __builtin_LINE() - 1;
  list.add(2, 3);
  expect_error<ValueError>([&] { list.add(2, -4); }, "linear: out = -4 is less than 0", line);
  expect_error<ValueError>([&] { list.at(1); }, "module list: \"list\" has no module 1, there are 1");
}

// Refused before it has a parameter, or when it has one.
struct RefusedHalfway final : Module {
  RefusedHalfway(Module* parent, const Name& name, std::int64_t size)
      : Module(parent, name), first(this, "first", 1, 1), second(this, "second", 1, size) {}
  Linear first, second;
};

TEST(MisusedModules, AListAfterAModuleThatWasRefused) {
  Root root(Seed{1});
  ModuleList<Linear> list(&root, "list");
  EXPECT_THROW(list.add(2, -4), ValueError);
  EXPECT_EQ(list.add(2, 3).weight.name(), "list.0.weight");
  EXPECT_THROW(list.add(-2, 4), ValueError);
  EXPECT_EQ(list.add(2, 3).weight.name(), "list.1.weight");
  ModuleList<RefusedHalfway> halves(&root, "halves");
  const int line = __builtin_LINE() - 1;
  halves.add(1);
  EXPECT_THROW(halves.add(-1), ValueError);
  for (int again = 0; again < 2; ++again) {
    expect_error<StateError>(
        [&] { halves.add(1); },
        "module list: the making of \"halves.1\" failed halfway, and its parameters are in the model", line);
  }
  EXPECT_EQ(halves.size(), 1U);
}

TEST(MisusedModules, LayersOfAttentionGivenWhatDoesNotFit) {
  const GptConfig config{.vocabulary = 5, .context = 3, .layers = 1, .heads = 2, .width = 8};
  Root root(Seed{1});
  const MultiHeadSelfAttention layer(&root, "attn", 8, 2);
  expect_error<ValueError>([&] { MultiHeadSelfAttention(&root, "b", 1 << 30, 1); },
                           "linear: out = 3221225472");
  constexpr std::int64_t huge = std::int64_t{1} << 62;
  expect_error<ValueError>([&] { MultiHeadSelfAttention(&root, "c", huge, 1); },
                           "attention: width = 4611686018427387904 is not below 2^31");
  expect_error<ValueError>([&] { MultiHeadSelfAttention(&root, "d", 0, 1); },
                           "attention: width = 0 is less than 1");
  expect_error<ValueError>([&] { FeedForward(&root, "e", huge, config); },
                           "feed_forward: width = 4611686018427387904 is not below 2^31");
  Tape tape;
  const auto step = tape.inference();
  const Tensor x = tape.constant(std::vector<float>(8), {1, 1, 8});
  KeyValueCache cache(config);
  for (; cache.length < 3; ++cache.length) EXPECT_NO_THROW(layer.next(x, cache, 0));
  expect_error<ValueError>([&] { layer.next(x, cache, 0); },
                           "attn: the cache has room for 3 tokens and holds 3");
  cache.length = -1;
  expect_error<ValueError>([&] { layer.next(x, cache, 0); }, "holds -1");
  cache.clear();
  {
    const Block block(&root, "block", config);
    Tape doubles(Precision::f64);
    const auto inner = doubles.inference();
    const Tensor y = doubles.constant(std::vector<float>(8), {1, 1, 8});
    const char* reason = "attn: next() keeps keys and values as floats, this tape is not f32";
    expect_error<StateError>([&] { layer.next(y, cache, 0); }, reason);
    expect_error<StateError>([&] { block.next(y, cache, 0); }, reason);
  }
  expect_error<ValueError>([&] { layer.next(x, cache, 1); }, "attn: the cache has no layer 1");
  const Tensor turned = reshape(x, {1, 2, 4});
  expect_error<ShapeError>([&] { layer.next(turned, cache, 0); },
                           "attn: the next token must be [1, 1, 8], it is [1, 2, 4]");
  expect_error<ShapeError>([&] { layer.weights(reshape(x, {8})); },
                           "attn: x must be [batch, time, width], it is [8]");
  KeyValueCache wide({.vocabulary = 5, .context = 3, .layers = 1, .heads = 2, .width = 16});
  expect_error<ValueError>([&] { layer.next(x, wide, 0); }, "the cache was made for a layer of another size");
  KeyValueCache cut(config);
  cut.keys[0].pop_back();
  expect_error<ValueError>([&] { layer.next(x, cut, 0); }, "the cache was made for a layer of another size");
  KeyValueCache four({.vocabulary = 5, .context = 3, .layers = 1, .heads = 4, .width = 8});
  expect_error<ValueError>([&] { layer.next(x, four, 0); }, "another size");
}

TEST(MisusedModules, InitialisersThatNeedFans) {
  Root root(Seed{1});
  const Parameter p = root.add_parameter("bias", {3}, false);
  const Seed seed{1};
  expect_error<ShapeError>([&] { init::kaiming_uniform(p, seed); }, "\"bias\" has shape [3], and no fans");
  expect_error<ShapeError>([&] { init::kaiming_normal(p, seed); }, "no fans");
  expect_error<ShapeError>([&] { init::xavier_uniform(p, seed); }, "no fans");
  expect_error<ShapeError>([&] { init::xavier_normal(p, seed); }, "no fans");
  expect_error<ShapeError>([&] { init::orthogonal(p, seed); }, "no fans");
}

TEST(MisusedModules, InitialisersGivenNoDistribution) {
  Root root(Seed{1});
  const Parameter p = root.add_parameter("weight", {2, 2}, true);
  const Seed seed{1};
  const double nan = std::nan("");
  const std::vector<float> before(p.values().begin(), p.values().end());
  expect_error<ValueError>([&] { init::uniform(p, seed, 1, -1); },
                           "uniform: low = 1 is not at most high = -1");
  expect_error<ValueError>([&] { init::uniform(p, seed, nan, 1); }, "uniform: low = nan");
  const double inf = HUGE_VAL;
  expect_error<ValueError>([&] { init::uniform(p, seed, -inf, 1); }, "uniform: low = -inf is not finite");
  expect_error<ValueError>([&] { init::uniform(p, seed, 0, 1e39); }, "uniform: high = 1e+39 is not finite");
  expect_error<ValueError>([&] { init::normal(p, seed, nan, 1); }, "normal: mean = nan is not finite");
  expect_error<ValueError>([&] { init::normal(p, seed, 0, inf); }, "normal: deviation = inf is not finite");
  expect_error<ValueError>([&] { init::truncated_normal(p, seed, inf, 1); },
                           "truncated_normal: mean = inf is not finite");
  expect_error<ValueError>([&] { init::xavier_uniform(p, seed, inf); },
                           "xavier_uniform: gain = inf is not finite");
  expect_error<ValueError>([&] { init::orthogonal(p, seed, -1); }, "orthogonal: gain = -1 is not");
  expect_error<ValueError>([&] { init::orthogonal(p, seed, nan); }, "orthogonal: gain = nan is not");
  expect_error<ValueError>([&] { init::orthogonal(p, seed, 1e39); },
                           "orthogonal: gain = 1e+39 is not finite");
  expect_error<ValueError>([&] { init::normal(p, seed, 0, -1); }, "normal: deviation = -1 is not");
  expect_error<ValueError>([&] { init::truncated_normal(p, seed, 0, nan); },
                           "truncated_normal: deviation = nan");
  expect_error<ValueError>([&] { init::truncated_normal(p, seed, 0, 1, 0); },
                           "truncated_normal: bound = 0 is not positive");
  expect_error<ValueError>([&] { init::kaiming_uniform(p, seed, -1); }, "kaiming_uniform: gain = -1");
  expect_error<ValueError>([&] { init::kaiming_normal(p, seed, -1); }, "kaiming_normal: gain = -1");
  expect_error<ValueError>([&] { init::xavier_uniform(p, seed, -1); }, "xavier_uniform: gain = -1");
  expect_error<ValueError>([&] { init::xavier_normal(p, seed, nan); }, "xavier_normal: gain = nan");
  EXPECT_TRUE(std::ranges::equal(p.values(), before));
  const Parameter empty = root.add_parameter("empty", {3, 0}, true);
  EXPECT_NO_THROW(init::kaiming_uniform(empty, seed));
  EXPECT_NO_THROW(init::kaiming_normal(empty, seed));
}

TEST(MisusedModules, LayersGivenWhatDoesNotFit) {
  Root root(Seed{1});
  const Linear linear_layer(&root, "linear", 3, 2);
  const Embedding table(&root, "table", 5, 2);
  const LayerNorm layer_norm_layer(&root, "layer_norm", 4);
  const RMSNorm rms_norm_layer(&root, "rms_norm", 4);
  const MultiHeadSelfAttention attention_layer(&root, "attention", 4, 2);
  const std::vector<std::int32_t> six = {6};
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.constant({1.0, 2.0}, {1, 2});
  expect_error<ShapeError>([&] { linear_layer(x); }, "linear.weight");
  expect_error<ValueError>([&] { table(six, {1}); }, "6");
  expect_error<ShapeError>([&] { layer_norm_layer(x); }, "layer_norm.weight");
  expect_error<ShapeError>([&] { rms_norm_layer(x); }, "rms_norm.weight");
  expect_error<ShapeError>([&] { attention_layer(x); }, "attention.c_attn.weight");
}

TEST(MisusedOptimizer, OptionsOutOfRange) {
  Root root(Seed{1});
  const Linear layer(&root, "layer", 2, 2);
  expect_error<ValueError>([&] { SGD(root, {.learning_rate = -1}); }, "SGD: learning_rate = -1");
  expect_error<ValueError>([&] { SGD(root, {.momentum = 1}); }, "SGD: momentum = 1");
  expect_error<ValueError>([&] { SGD(root, {.nesterov = true}); }, "leaves nothing for nesterov");
  expect_error<ValueError>([&] { Adam(root, {.beta1 = -1}); }, "Adam: beta1 = -1");
  expect_error<ValueError>([&] { AdamW(root, {.epsilon = 0}); }, "AdamW: epsilon = 0");
  expect_error<ValueError>([&] { AdamW(root, {.groups = {{.names = {"no"}}}}); }, "names \"no\"");
  expect_error<ValueError>([&] { RMSprop(root, {.weight_decay = -1}); }, "RMSprop: weight_decay = -1");
  AdamW adam(root);
  expect_error<ValueError>([&] { adam.set_learning_rate(-1); }, "learning_rate = -1");
  expect_error<ValueError>([&] { clip_grad_norm(root.parameters(), -1); }, "max_norm = -1");
  expect_error<ValueError>([&] { clip_grad_value(root.parameters(), 0); }, "limit = 0");
  expect_error<ValueError>([&] { Schedule::constant(-1); }, "learning_rate = -1");
  expect_error<ValueError>([&] { Schedule::cosine({.learning_rate = 1, .steps = 0}); }, "steps = 0");
}

TEST(MisusedModules, ConfigurationsOfAGptAndOptionsOfASampler) {
  const GptConfig good = {.vocabulary = 5, .context = 4, .layers = 1, .heads = 2, .width = 8};
  GptConfig config = good;
  config.heads = 3;
  expect_error<ValueError>([&] { Gpt(Seed{1}, config); }, "3 heads do not divide the width 8");
  expect_error<ValueError>([&] { KeyValueCache cache(config); }, "3 heads");
  config = good;
  // Times the width below, 0 to a machine.
  config.context = std::int64_t{1} << 33;
  config.width = std::int64_t{1} << 31;
  expect_error<ValueError>([&] { KeyValueCache cache(config); }, "context = 8589934592 is not below 2^31");
  config.context = good.context;
  expect_error<ValueError>([&] { KeyValueCache cache(config); }, "width = 2147483648 is not below 2^31");
  config = good;
  config.layers = 2;
  const Gpt gpt(Seed{1}, good);
  KeyValueCache cache(config);
  Tape tape;
  const auto step = tape.inference();
  expect_error<ValueError>([&] { gpt.next(tape, 0, cache); }, "another size");
  expect_error<ValueError>([&] { Sampler sampler({.temperature = -1}); }, "temperature = -1");
  Sampler sampler({});
  const std::vector<float> none;
  expect_error<ValueError>([&] { sampler(none, 0); }, "no logit");
}

// Keys and values of earlier tokens are constants: a gradient would be a part of the whole.
TEST(MisusedModules, AGptAskedForItsNextTokenWhereGradientsAreWanted) {
  const Gpt gpt(Seed{1}, {.vocabulary = 5, .context = 4, .layers = 1, .heads = 2, .width = 8});
  KeyValueCache cache(gpt.config());
  Tape tape;
  EXPECT_FALSE(tape.in_inference());
  const auto step = tape.record();
  expect_error<StateError>([&] { gpt.next(tape, 0, cache); }, "where no gradient reaches them");
  EXPECT_EQ(cache.length, 0);
  const auto inner = tape.inference();
  EXPECT_TRUE(tape.in_inference());
  EXPECT_NO_THROW(gpt.next(tape, 0, cache));
}

TEST(MisusedModules, AGptAskedForItsNextTokenOnADoubleTape) {
  const Gpt gpt(Seed{1}, {.vocabulary = 5, .context = 4, .layers = 1, .heads = 2, .width = 8});
  KeyValueCache cache(gpt.config());
  Tape tape(Precision::f64);
  const auto step = tape.inference();
  expect_error<StateError>([&] { gpt.next(tape, 0, cache); }, "misused_options_test.cpp");
  expect_error<StateError>([&] { gpt.next(tape, 0, cache); }, "as floats, this tape is not f32");
  EXPECT_EQ(cache.length, 0);
}

TEST(MisusedModules, ABlockThatAGptHasNot) {
  Gpt gpt(Seed{1}, {.vocabulary = 5, .context = 4, .layers = 2, .heads = 2, .width = 8});
  EXPECT_NO_THROW(gpt.block(1));
  expect_error<ValueError>([&] { gpt.block(2); }, "there is no block 2, there are 2");
  expect_error<ValueError>([&] { gpt.block(-1); }, "there is no block -1");
}

TEST(MisusedModules, TokensAndLengthsOfAGpt) {
  const Gpt gpt(Seed{1}, {.vocabulary = 5, .context = 4, .layers = 1, .heads = 2, .width = 8});
  Tape tape;
  const auto step = tape.record();
  const std::vector<std::int32_t> five = {0, 1, 2, 3, 4}, wrong = {0, 5}, two = {0, 1};
  expect_error<ValueError>([&] { gpt(tape, five, 1, 5); }, "5 tokens, the context is 4");
  expect_error<ValueError>([&] { gpt(tape, wrong, 1, 2); }, "token 5");
  expect_error<ShapeError>([&] { gpt(tape, two, 1, 3); }, "2 tokens");
  expect_error<ShapeError>([&] { gpt(tape, two, -1, 2); }, "shape: a dimension cannot be negative, got -1");
  expect_error<ValueError>([&] { gpt(tape, {}, 1, 0); }, "at least one token");
}

}  // namespace
}  // namespace reel::nn
