#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <type_traits>
#include <vector>

#include "nn/nn.h"

// What a user of modules and optimizers can do wrong, and the error that says so.

namespace reel::nn {
namespace {

using testing::HasSubstr;

template <class Type, class Work>
void expect_error(Work work, const char* part) {
  try {
    work();
    ADD_FAILURE() << "no error; expected: " << part;
  } catch (const Type& e) {
    EXPECT_THAT(e.what(), HasSubstr(part));
  }
}

static_assert(!std::is_copy_constructible_v<Mlp> && !std::is_copy_assignable_v<Mlp>);
static_assert(!std::is_move_constructible_v<Mlp> && !std::is_move_assignable_v<Mlp>);
static_assert(!std::is_copy_constructible_v<Gpt> && !std::is_move_constructible_v<Gpt>);
static_assert(!std::is_copy_constructible_v<AdamW> && !std::is_copy_assignable_v<AdamW>);
static_assert(!std::is_copy_constructible_v<ParameterBlock> && !std::is_move_constructible_v<ParameterBlock>);
static_assert(!std::is_copy_constructible_v<Tape> && !std::is_move_constructible_v<Tape>);
static_assert(!std::is_copy_constructible_v<Step> && !std::is_copy_assignable_v<Step>);

class MisusedModel : public testing::Test {
 protected:
  const std::vector<std::int64_t> sizes = {3, 4, 2};
  Mlp model{Seed{1}, sizes};
  Tape tape;
  const std::vector<std::int32_t> labels = {1};
  Tensor input() { return tape.constant({1.0, 2.0, 3.0}, {1, 3}); }
};

TEST_F(MisusedModel, CalledWithoutAStep) {
  expect_error<StateError>([&] { model(input()); }, "no step is open");
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
  expect_error<StateError>([&] { tape.backward(second); }, "changed after this step recorded it");
}

TEST_F(MisusedModel, LoadedBetweenForwardAndBackward) {
  const auto step = tape.record();
  const Tensor loss = cross_entropy(model(input()), labels);
  SafetensorsWriter writer;
  add_weights(writer, model.parameters());
  const std::string text = writer.bytes();
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  load_weights(Safetensors::parse({bytes, bytes + text.size()}, "weights"), model.parameters());
  expect_error<StateError>([&] { tape.backward(loss); }, "changed after this step recorded it");
}

TEST_F(MisusedModel, BackwardTwice) {
  const auto step = tape.record();
  const Tensor loss = cross_entropy(model(input()), labels);
  tape.backward(loss);
  expect_error<StateError>([&] { tape.backward(loss); }, "retain_graph");
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

TEST_F(MisusedModel, ParametersThatNoBackwardReachedStayAsTheyAre) {
  AdamW adam(model, {.weight_decay = 0.5});
  const std::string before = fingerprint(model.parameters());
  adam.step();
  EXPECT_EQ(fingerprint(model.parameters()), before);
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
  adam.step();
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
  expect_error<ValueError>([] { const Twins twins(Seed{1}); }, "\"twin\" is there twice");
  struct Dotted final : Module {
    using Module::Module;
    Linear a{this, "a.b", 1, 1};
  };
  expect_error<ValueError>([] { const Dotted dotted(Seed{1}); }, "is not a name");
  struct Negative final : Module {
    using Module::Module;
    Linear a{this, "a", -1, 1};
  };
  expect_error<ShapeError>([] { const Negative negative(Seed{1}); }, "-1");
}

TEST(MisusedModules, TokensAndLengthsOfAGpt) {
  const Gpt gpt(Seed{1}, {.vocabulary = 5, .context = 4, .layers = 1, .heads = 2, .width = 8});
  Tape tape;
  const auto step = tape.record();
  const std::vector<std::int32_t> five = {0, 1, 2, 3, 4}, wrong = {0, 5}, two = {0, 1};
  expect_error<ValueError>([&] { gpt(tape, five, 1, 5); }, "5 tokens, the context is 4");
  expect_error<ValueError>([&] { gpt(tape, wrong, 1, 2); }, "token 5");
  expect_error<ShapeError>([&] { gpt(tape, two, 1, 3); }, "2 tokens");
  expect_error<ValueError>([&] { gpt(tape, {}, 1, 0); }, "at least one token");
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

TEST(DestroyedModel, ThatTakesThePlaceOfADestroyedOneIsNotTakenForIt) {
  Tape tape;
  for (int i = 0; i < 3; ++i) {
    Mlp model(Seed{static_cast<std::uint64_t>(i)}, std::vector<std::int64_t>{2, 3, 1});
    const auto step = tape.record();
    tape.backward(sum(model(tape.constant({1.0, 2.0}, {1, 2}))));
    EXPECT_EQ(model.parameters().entry(0).has_gradient, true);
  }
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
