#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/autopsy.h"
#include "nn/nn.h"
#include "tests/nn/misuse.h"

// What a user can do with a model, its optimizer and a step in the wrong order or after their end, and the
// error that says so.

namespace reel::nn {
namespace {

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

TEST(DestroyedModel, IsNamedByAParameterThatWasTakenFromIt) {
  auto model = std::make_unique<Mlp>(Seed{1}, std::vector<std::int64_t>{2, 3, 1});
  Parameter parameter(model->parameters(), 0);
  model.reset();
  const char* const gone = "parameter: the model that it is one of was destroyed";
  const auto refused = testing::ThrowsMessage<StateError>(testing::StartsWith(gone));
  EXPECT_THAT([&] { parameter.name(); }, refused);
  EXPECT_THAT([&] { parameter.shape(); }, refused);
  EXPECT_THAT([&] { parameter.values(); }, refused);
  EXPECT_THAT([&] { std::as_const(parameter).values(); }, refused);
  EXPECT_THAT([&] { parameter.gradient(); }, refused);
  EXPECT_THAT([&] { parameter.requires_grad(false); }, refused);
  EXPECT_THAT([&] { parameter.requires_grad(); }, refused);
  EXPECT_THAT([&] { SGD(parameter, {.learning_rate = 1}); }, refused);
  Tape tape;
  const auto step = tape.record();
  try {
    tape.leaf(parameter);
    FAIL() << "no error";
  } catch (const StateError& e) {
    EXPECT_THAT(e.what(), testing::AllOf(testing::HasSubstr("misuse_test.cpp"), testing::HasSubstr(gone)));
  }
}

TEST(DestroyedModel, IsNamedByItsCheckpoint) {
  auto model = std::make_unique<Mlp>(Seed{1}, std::vector<std::int64_t>{2, 3, 1});
  Checkpoint checkpoint(testing::TempDir(), model->parameters(), Optimizers{});
  model.reset();
  expect_error<StateError>([&] { checkpoint.save(1); }, "was destroyed");
  expect_error<StateError>([&] { checkpoint.load(); }, "was destroyed");
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
