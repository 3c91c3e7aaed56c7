#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/autopsy.h"
#include "nn/nn.h"

// What a user of modules and optimizers can do wrong, and the error that says so.

namespace reel::nn {
namespace {

using testing::HasSubstr;

constexpr int another_line =
    0;  // of this file: where the model was called, or the struct that holds a member

// Checks the type, a part of the message, and that the message starts with the user's line: the one where
// expect_error itself is called, unless it is said to be another.
template <class Type, class Work>
void expect_error(Work work, const char* part, int line = __builtin_LINE()) {
  const std::string number = line == another_line ? "" : std::to_string(line) + ": error: ";
  try {
    work();
    ADD_FAILURE() << "no error; expected: " << part;
  } catch (const Type& e) {
    EXPECT_THAT(e.what(), HasSubstr(part));
    EXPECT_THAT(e.what(), HasSubstr("misuse_test.cpp:" + number));
    EXPECT_THAT(e.place.file, testing::EndsWith("misuse_test.cpp"));
    EXPECT_EQ(e.what(), at(e.place, "") + (e.what() + at(e.place, "").size()));
  }
}

static_assert(!std::is_copy_constructible_v<Mlp> && !std::is_copy_assignable_v<Mlp>);
static_assert(!std::is_move_constructible_v<Mlp> && !std::is_move_assignable_v<Mlp>);
static_assert(!std::is_copy_constructible_v<Gpt> && !std::is_move_constructible_v<Gpt>);
static_assert(!std::is_copy_constructible_v<AdamW> && !std::is_copy_assignable_v<AdamW>);
static_assert(!std::is_copy_constructible_v<ParameterBlock> && !std::is_move_constructible_v<ParameterBlock>);
static_assert(!std::is_copy_constructible_v<Tape> && !std::is_move_constructible_v<Tape>);
static_assert(!std::is_copy_constructible_v<Step> && !std::is_copy_assignable_v<Step>);

// A module made with an outer scope's line of its own, as a model that is put together at run time.
struct Root final : Module {
  using Module::add_parameter;
  using Module::Module;
};

class MisusedModel : public testing::Test {
 protected:
  const std::vector<std::int64_t> sizes = {3, 4, 2};
  Mlp model{Seed{1}, sizes};
  Tape tape;
  const std::vector<std::int32_t> labels = {1};
  Tensor input() { return tape.constant({1.0, 2.0, 3.0}, {1, 3}); }
};

TEST_F(MisusedModel, CalledWithoutAStep) {
  expect_error<StateError>([&] { model(input()); }, "no step is open", another_line);
}

TEST_F(MisusedModel, GivenAnInputOfAnotherSizeNamesTheParameter) {
  const auto step = tape.record();
  expect_error<ShapeError>([&] { model(tape.constant({1.0, 2.0}, {1, 2})); }, "layer0.weight");
}

TEST_F(MisusedModel, GivenATensorOfAStepThatIsOver) {
  Tensor old;
  {
    const auto step = tape.record();
    old = input();
  }
  const auto step = tape.record();
  expect_error<StateError>([&] { model(old); }, "over");
}

TEST_F(MisusedModel, SteppedBetweenForwardAndBackward) {
  AdamW adam(model);
  const auto step = tape.record();
  const Tensor first = cross_entropy(model(input()), labels);
  const Tensor second = cross_entropy(model(input()), labels);
  tape.backward(first);
  adam.step();
  expect_error<StateError>([&] { tape.backward(second); }, "changed after this step recorded it",
                           another_line);
}

TEST_F(MisusedModel, LoadedBetweenForwardAndBackward) {
  const auto step = tape.record();
  const Tensor loss = cross_entropy(model(input()), labels);
  SafetensorsWriter writer;
  add_weights(writer, model.parameters());
  const std::string text = writer.bytes();
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  load_weights(Safetensors::parse({bytes, bytes + text.size()}, "weights"), model.parameters());
  expect_error<StateError>([&] { tape.backward(loss); }, "changed after this step recorded it", another_line);
}

TEST_F(MisusedModel, WrittenByHandBetweenForwardAndBackward) {
  Root root(Seed{1});
  Linear layer(&root, "layer", 3, 2);
  const auto train = [&](auto between) {
    const auto step = tape.record();
    const Tensor loss = cross_entropy(layer(input()), labels);
    between();
    tape.backward(loss);
  };
  const char* part = "changed after this step recorded it";
  expect_error<StateError>([&] { train([&] { layer.weight.values()[0] = 100; }); }, part, another_line);
  expect_error<StateError>([&] { train([&] { root.parameters().values()[0] = 1; }); }, part, another_line);
  expect_error<StateError>([&] { train([&] { root.parameters().values(1)[0] = 1; }); }, part, another_line);
  train([&] {
    EXPECT_EQ(std::as_const(layer.weight).values()[0], 1);
    EXPECT_EQ(std::as_const(root).parameters().values()[0], 1);
  });
}

// A frozen weight gets no gradient, but those of what stands before it are made of it.
TEST_F(MisusedModel, AFrozenWeightSteppedBetweenForwardAndBackward) {
  Root root(Seed{1});
  Linear layer(&root, "layer", 2, 2);
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0}, {1, 2});
  const Tensor loss = sum(matmul(x, stop_gradient(layer.weight)));
  layer.weight.values()[0] = 100;
  expect_error<StateError>([&] { tape.backward(loss); }, "changed after this step recorded it", another_line);
  EXPECT_EQ(x.gradient(), (std::vector<double>{0, 0}));
  layer.weight.values()[0] = 7;
  tape.backward(sum(matmul(x, stop_gradient(layer.weight))));
  EXPECT_FLOAT_EQ(static_cast<float>(x.gradient()[0]), 7 + std::as_const(layer.weight).values()[1]);
}

// It lies in the model's memory: the numbers of before are nowhere.
TEST_F(MisusedModel, AParameterKeptWithoutACopyBeyondItsChange) {
  Root root(Seed{1});
  Linear layer(&root, "layer", 1, 1);
  const auto step = tape.record();
  const Tensor leaf = tape.leaf(layer.weight);
  const Tensor frozen = stop_gradient(layer.weight);
  const Tensor copy = 1.0 * frozen;
  const double before = copy.item();
  layer.weight.values()[0] = 100;
  const char* part = "changed after this tensor was made of it";
  expect_error<StateError>([&] { sum(layer.weight - frozen); }, part);
  expect_error<StateError>([&] { leaf + 1.0; }, part);
  expect_error<StateError>([&] { frozen.item(); }, part);
  EXPECT_NEAR(sum(layer.weight - copy).item(), 100 - before, 1e-5);
}

TEST_F(MisusedModel, APartThatIsSteppedLeavesTheOthersToTheirBackward) {
  Root root(Seed{1});
  Linear trunk(&root, "trunk", 3, 2), head(&root, "head", 2, 2);
  SGD sgd(root, {.learning_rate = 0.5, .groups = {{.names = {"trunk"}, .learning_rate_factor = 0}}});
  const auto step = tape.record();
  const Tensor hidden = trunk(input());
  const Tensor second = sum(square(hidden));
  const Tensor third = sum(head(hidden));
  tape.backward(sum(head(hidden)), {.retain_graph = true});
  sgd.step();
  tape.backward(second, {.retain_graph = true});
  EXPECT_TRUE(root.parameters().entry(0).has_gradient);
  expect_error<StateError>([&] { tape.backward(third); }, "\"head.weight\" changed", another_line);
}

TEST_F(MisusedModel, BackwardTwice) {
  const auto step = tape.record();
  const Tensor loss = cross_entropy(model(input()), labels);
  tape.backward(loss);
  expect_error<StateError>([&] { tape.backward(loss); }, "retain_graph", another_line);
}

TEST_F(MisusedModel, BackwardOfItsLogits) {
  const auto step = tape.record();
  expect_error<ShapeError>([&] { tape.backward(model(input())); }, "must have one element");
}

TEST_F(MisusedModel, BackwardInInference) {
  const auto step = tape.inference();
  expect_error<StateError>([&] { tape.backward(cross_entropy(model(input()), labels)); }, "inference");
}

TEST_F(MisusedModel, GrownAfterItsOptimizerWasMade) {
  AdamW adam(model);
  model.parameters().add("later", {2}, true);
  expect_error<StateError>([&] { adam.step(); }, "parameters were added");
}

TEST_F(MisusedModel, SteppedWithoutAGradient) {
  AdamW adam(model, {.weight_decay = 0.5}), second(model);
  const std::string before = fingerprint(model.parameters(), &adam);
  const char* message = "AdamW: no backward has reached any of its parameters since the last step";
  expect_error<StateError>([&] { adam.step(); }, message);
  Tape exact(Precision::f64);
  {
    const auto step = exact.record();
    exact.backward(cross_entropy(model(exact.constant({1.0, 2.0, 3.0}, {1, 3})), labels));
    expect_error<StateError>([&] { adam.step(); }, "gradients of an f64 or dual tape stay on the tape");
  }
  EXPECT_EQ(fingerprint(model.parameters(), &adam), before);
  const auto step = tape.record();
  tape.backward(cross_entropy(model(input()), labels));
  second.step();
  expect_error<StateError>([&] { adam.step(); },
                           "another optimizer of the same parameters may have taken them");
  EXPECT_EQ(adam.step_count(), 0);
}

TEST_F(MisusedModel, AnExceptionInTheMiddleOfAStepLeavesNothingBehind) {
  AdamW adam(model);
  try {
    const auto step = tape.record();
    tape.backward(cross_entropy(model(input()), labels));
    throw std::runtime_error("the user's own");
  } catch (const std::runtime_error&) {
    adam.zero_grad();
  }
  const std::string before = fingerprint(model.parameters());
  expect_error<StateError>([&] { adam.step(); }, "no backward has reached");
  EXPECT_EQ(fingerprint(model.parameters()), before);
}

TEST_F(MisusedModel, AnOptimizerThatOutlivesItsTape) {
  AdamW adam(model);
  {
    Tape short_lived;
    const auto step = short_lived.record();
    short_lived.backward(cross_entropy(model(short_lived.constant({1.0, 2.0, 3.0}, {1, 3})), labels));
  }
  EXPECT_FALSE(adam.step().skipped);  // gradients live with the model
}

TEST_F(MisusedModel, LabelsThatAreNoClasses) {
  const auto step = tape.record();
  const std::vector<std::int32_t> wrong = {2};
  expect_error<ValueError>([&] { cross_entropy(model(input()), wrong); }, "label 2 of row 0 is not a class");
}

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

TEST(MisusedModules, LayersOfAttentionGivenWhatDoesNotFit) {
  const GptConfig config{.vocabulary = 5, .context = 3, .layers = 1, .heads = 2, .width = 8};
  Root root(Seed{1});
  const MultiHeadSelfAttention layer(&root, "attn", 8, 2);
  expect_error<ValueError>([&] { MultiHeadSelfAttention(&root, "b", 1 << 30, 1); },
                           "linear: out = 3221225472");
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
  expect_error<StateError>([&] { gpt.next(tape, 0, cache); }, "misuse_test.cpp");
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

// The layer that an anomaly stands in may be one of a model that is no more.
TEST(DestroyedModel, IsNotAskedForTheNameOfALayer) {
  Tape tape;
  tape.detect_anomaly(true);
  const auto step = tape.record();
  Tensor h;
  {
    const Mlp model(Seed{1}, {2, 3});
    h = model(tape.constant({1, 2}, {1, 2}));
  }
  expect_error<NonFiniteError>([&] { log(h - h - 1.0); }, "log: value 0 is");
}

TEST(DestroyedModel, ThatIsDestroyedInsideAStepIsNamedByBackward) {
  Tape tape;
  const auto step = tape.record();
  auto model = std::make_unique<Mlp>(Seed{1}, std::vector<std::int64_t>{2, 3, 1});
  const Tensor loss = sum((*model)(tape.constant({1.0, 2.0}, {1, 2})));
  model.reset();
  try {
    tape.backward(loss);
    FAIL() << "no error";
  } catch (const StateError& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("misuse_test.cpp"));
    EXPECT_THAT(e.what(), testing::HasSubstr("was destroyed"));
  }
}

// A tensor that is a parameter, or a view of one, has no memory of its own.
struct Growing final : Module {
  using Module::Module;
  Parameter scale = add_parameter("scale", {1}, false);
  Linear layer{this, "layer", 3, 4};
  void grow() { add_parameter("late", {1000, 1000}, true); }
};

class LentMemory : public testing::Test {
 protected:
  LentMemory() { tape.backward(loss, {.retain_graph = true}); }
  void expect_refusals(const char* part) {
    expect_error<StateError>([&] { weight.values(); }, part);
    expect_error<StateError>([&] { weight.gradient(); }, part);
    expect_error<StateError>([&] { view.values(); }, part);
    expect_error<StateError>([&] { view.data(); }, part);
    expect_error<StateError>([&] { scale.item(); }, part);
    expect_error<StateError>([&] { sum(view); }, part);
    expect_error<StateError>([&] { reshape(weight, {3, 4}); }, part);
    expect_error<StateError>([&] { tape.autopsy(loss); }, part);
    expect_error<StateError>([&] { tape.backward(loss); }, part);
    EXPECT_NO_THROW((loss + loss).item());  // these have their own
  }

  Tape tape;
  std::unique_ptr<Growing> model = std::make_unique<Growing>(Seed{1});
  Step step = (tape.watch(true), tape.record());
  Tensor weight = tape.leaf(model->layer.weight);
  Tensor scale = tape.leaf(model->scale);
  Tensor view = reshape(reshape(weight, {3, 4}), {-1});
  Tensor loss = sum(square(view));
};

TEST_F(LentMemory, OfAModelThatIsGoneIsNotRead) {
  model.reset();
  expect_refusals("was destroyed");
}

TEST_F(LentMemory, OfAModelThatGrewIsNotRead) {
  model->grow();
  expect_refusals("parameters were added");
  EXPECT_EQ(tape.leaf(model->layer.weight).data().data(), std::as_const(model->layer.weight).values().data());
}

TEST(DestroyedModel, ThatTakesThePlaceOfADestroyedOneIsNotTakenForIt) {
  Tape tape;
  for (int i = 0; i < 3; ++i) {
    Mlp model(Seed{static_cast<std::uint64_t>(i)}, std::vector<std::int64_t>{2, 3, 1});
    const auto step = tape.record();
    tape.backward(sum(model(tape.constant({1.0, 2.0}, {1, 2}))));
    EXPECT_EQ(model.parameters().entry(0).has_gradient, true);
  }
}

// Its state is read by the places of the block's parameters: another block's lie outside it.
TEST(MisusedOptimizer, OfAnotherModelIsNotReadBesideTheParametersOfThis) {
  Mlp large(Seed{1}, {20, 30, 10}), small(Seed{1}, {2, 2}), twin(Seed{1}, {20, 30, 10});
  for (Mlp* other : {&small, &twin}) {
    Adam adam(*other);
    expect_error<StateError>([&] { Checkpoint(testing::TempDir(), large.parameters(), adam); },
                             "checkpoint: the Adam was made for the parameters of another model");
    expect_error<StateError>([&] { fingerprint(large.parameters(), &adam); }, "fingerprint: the Adam was");
  }
}

TEST(MisusedOptimizer, OfAModelThatGrewIsNeitherReadNorWritten) {
  Root root(Seed{1});
  const Linear layer(&root, "layer", 2, 2);
  Adam adam(root);
  Checkpoint checkpoint(testing::TempDir(), root.parameters(), adam);
  root.add_parameter("late", {1000}, true);
  expect_error<StateError>([&] { Checkpoint(testing::TempDir(), root.parameters(), adam); }, "were added");
  expect_error<StateError>([&] { checkpoint.save(1); }, "parameters were added");
  expect_error<StateError>([&] { checkpoint.load(); }, "parameters were added");
  expect_error<StateError>([&] { fingerprint(root.parameters(), &adam); }, "parameters were added");
  expect_error<StateError>([&] { adam.slots(); }, "parameters were added");
}

TEST(MisusedOptimizer, OfAModelWithoutParameters) {
  Root root(Seed{1});
  expect_error<ValueError>([&] { Adam adam(root); }, "Adam: the model has no parameters");
}

TEST(MisusedOptimizer, ThatOutlivesItsModelSaysSo) {
  auto model = std::make_unique<Mlp>(Seed{1}, std::vector<std::int64_t>{2, 3, 1});
  AdamW adam(*model);
  model.reset();
  try {
    adam.step();
    FAIL() << "no error";
  } catch (const StateError& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("AdamW: the model"));
    EXPECT_THAT(e.what(), testing::HasSubstr("outlive"));
  }
}

}  // namespace
}  // namespace reel::nn
