#include "nn/model_parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "autograd/autograd.h"
#include "nn/checkpoint.h"
#include "nn/error.h"
#include "nn/linear.h"
#include "nn/optimizer.h"
#include "nn/weights.h"
#include "tests/nn/checkpoint_problem.h"
#include "tests/support/count_allocations.h"
#include "tests/support/memory_held.h"

// Optimizers of a part of a model: what they move, what they leave alone, and how several share a model.

namespace reel::nn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr float infinity = std::numeric_limits<float>::infinity();

struct Body final : Module {
  using Module::Module;
  Linear first{this, "first", 2, 3};
  Linear second{this, "second", 3, 2};
};
// A module whose path begins with that of another, and one inside another.
struct Net final : Module {
  using Module::Module;
  Body body{this, "body"};
  Linear body2{this, "body2", 2, 2};
  Module empty{this, "empty"};
  Tensor operator()(Here x) const { return body2(tanh(body.second(tanh(body.first(x))))); }
};

std::vector<std::string> names_of(const Optimizer& optimizer) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < optimizer.block().count(); ++i) {
    if (optimizer.moves(i)) names.push_back(optimizer.block().entry(i).name);
  }
  return names;
}

void give(ParameterBlock& block, std::size_t i, float gradient) {
  for (float& g : block.gradients(i)) g = gradient;
  block.entry(i).has_gradient = true;
}

std::vector<float> numbers_of(const ParameterBlock& block, std::size_t i) {
  return {block.values(i).begin(), block.values(i).end()};
}

TEST(ModelParameters, AreThoseOfAModuleAndBelowIt) {
  Net net(Seed{1});
  EXPECT_THAT(names_of(SGD(net.body)),
              ElementsAre("body.first.weight", "body.first.bias", "body.second.weight", "body.second.bias"));
  EXPECT_THAT(names_of(SGD(net.body.second)), ElementsAre("body.second.weight", "body.second.bias"));
  EXPECT_EQ(names_of(SGD(net)).size(), 6u);
  EXPECT_EQ(names_of(SGD(net.parameters())).size(), 6u);
  EXPECT_FALSE(SGD(net).moves(6));
}

TEST(ModelParameters, AreParametersAndSeveralPartsAndWhatMatches) {
  Net net(Seed{1});
  EXPECT_THAT(names_of(Adam(net.body2.weight)), ElementsAre("body2.weight"));
  EXPECT_THAT(names_of(Adam({net.body2, net.body.first.weight, net.body2.weight}, {})),
              ElementsAre("body.first.weight", "body2.weight", "body2.bias"));
  const auto is_matrix = [](const auto& entry) { return entry.shape.rank() == 2; };
  AdamW matrices({net.body, is_matrix});
  EXPECT_THAT(names_of(matrices), ElementsAre("body.first.weight", "body.second.weight"));
  EXPECT_THAT(names_of(AdamW({net.body2, nullptr}, {})), ElementsAre("body2.weight", "body2.bias"));
}

TEST(PartOptimizer, NeitherReadsNorClearsNorMovesTheRest) {
  Net net(Seed{1});
  ParameterBlock& block = net.parameters();
  const ParameterBlock& read = block;
  Adam adam(net.body2, {.learning_rate = 0.5, .weight_decay = 0.1, .clip_norm = 1});
  for (std::size_t i = 0; i < 4; ++i) give(block, i, infinity);
  give(block, 4, 3);
  give(block, 5, 4);
  std::vector<std::vector<float>> before;
  std::vector<std::uint64_t> versions;
  for (std::size_t i = 0; i < 6; ++i) {
    before.push_back(numbers_of(read, i));
    versions.push_back(read.version(i));
  }
  const StepReport report = adam.step();
  EXPECT_FALSE(report.skipped);
  EXPECT_DOUBLE_EQ(report.gradient_norm, std::sqrt(4 * 9.0 + 2 * 16.0));
  for (std::size_t i = 0; i < 6; ++i) {
    const bool rest = i < 4;
    EXPECT_EQ(numbers_of(read, i) == before[i], rest) << i;
    EXPECT_EQ(read.version(i) == versions[i], rest) << i;
    EXPECT_EQ(read.entry(i).has_gradient, rest) << i;
    for (const Optimizer::Slot& slot : adam.slots())
      EXPECT_EQ(slot.values[static_cast<std::size_t>(read.entry(i).offset)] == 0, rest) << i;
  }
  EXPECT_THAT(adam.counters()[1].values, ElementsAre(0, 0, 0, 0, 1, 1));
}

TEST(PartOptimizer, NamesTheGradientThatIsNotFiniteAndClearsItsOwnAlone) {
  Net net(Seed{1});
  ParameterBlock& block = net.parameters();
  SGD sgd(net.body2);
  give(block, 0, infinity);
  give(block, 5, infinity);
  const StepReport report = sgd.step();
  EXPECT_TRUE(report.skipped);
  EXPECT_EQ(report.parameter, 5);
  EXPECT_FALSE(block.entry(5).has_gradient);
  EXPECT_TRUE(block.entry(0).has_gradient);
  give(block, 4, 1);
  sgd.zero_grad();
  EXPECT_FALSE(block.entry(4).has_gradient);
  EXPECT_TRUE(block.entry(0).has_gradient);
  EXPECT_THAT([&] { sgd.step(); },
              ThrowsMessage<StateError>(HasSubstr("no backward has reached any of its parameters")));
}

// Trains in one step of the tape per step of both.
template <class Step>
void train(Net& net, int steps, Step step) {
  Tape tape;
  for (int i = 0; i < steps; ++i) {
    const auto recording = tape.record();
    const Tensor x = tape.constant({0.5, -1, 2, 0.25 * i, -0.5, 1}, {3, 2});
    tape.backward(mean(square(net(x) - 1.0)));
    step();
  }
}

TEST(PartOptimizer, TwoOfPartsDoWhatOneOfAllDoes) {
  Net together(Seed{3}), apart(Seed{3});
  AdamW whole(together, {.learning_rate = 0.05});
  AdamW body(apart.body, {.learning_rate = 0.05}), rest(apart.body2, {.learning_rate = 0.05});
  train(together, 5, [&] { whole.step(); });
  train(apart, 5, [&] { body.step(), rest.step(); });
  EXPECT_EQ(fingerprint(together.parameters()), fingerprint(apart.parameters()));
}

TEST(PartOptimizer, AsksTheHeapForNothing) {
  Net net(Seed{3});
  AdamW body(net.body), rest(net.body2);
  const auto step = [&] {
    for (std::size_t i = 0; i < 6; ++i) net.parameters().entry(i).has_gradient = true;
    body.step();
    rest.step();
  };
  step();
  const std::size_t before = support::allocations();
  step();
  EXPECT_EQ(support::allocations(), before);
}

TEST(PartOptimizer, GroupsAreOfItsPart) {
  Net net(Seed{1});
  ParameterBlock& block = net.parameters();
  SGD sgd(net.body, {.learning_rate = 1,
                     .groups = {{.matches = [](std::string_view name) { return name.ends_with("bias"); },
                                 .learning_rate_factor = 0}}});
  const std::vector<float> start = numbers_of(block, 5);
  for (std::size_t i = 0; i < 6; ++i) give(block, i, 1);
  sgd.step();
  EXPECT_EQ(numbers_of(block, 5), start);
  EXPECT_TRUE(block.entry(5).has_gradient);
  EXPECT_FALSE(block.entry(1).has_gradient);

  // Outside of its part groups may overlap.
  const auto matching = [](std::string_view part) {
    return ParameterGroup{
        .matches = [part](std::string_view name) { return name == part || name == "body2.weight"; }};
  };
  EXPECT_NO_THROW(SGD(net.body, {.groups = {matching("body.first.bias"), matching("body.second.bias")}}));

  const auto with_group = [&](ParameterGroup group) {
    return [&net, group] { SGD(net.body, {.groups = {group}}); };
  };
  EXPECT_THAT(
      with_group({.names = {"body2"}}),
      ThrowsMessage<ValueError>(HasSubstr("groups[0] names \"body2\", which is not among the parameters")));
  EXPECT_THAT(with_group({.names = {"nobody"}}),
              ThrowsMessage<ValueError>(HasSubstr("names \"nobody\", which is no parameter or module")));
  EXPECT_THAT(with_group({.matches = [](std::string_view name) { return name == "body2.bias"; }}),
              ThrowsMessage<ValueError>(HasSubstr("groups[0] holds no parameter")));
}

TEST(PartOptimizer, TakesAListMadeAtRunTime) {
  Net net(Seed{1});
  const std::vector<ModelParameters> parts = {net.body2.bias(), net.body.first};
  EXPECT_THAT(names_of(Adam(ModelParameters(parts))),
              ElementsAre("body.first.weight", "body.first.bias", "body2.bias"));
}

TEST(PartOptimizer, NeedsAParameter) {
  Net net(Seed{1});
  const auto refused = ThrowsMessage<ValueError>(HasSubstr("SGD: there is no parameter in the part"));
  const auto none = [](const auto& entry) { return entry.shape.rank() == 7; };
  const ModelParameters nothing{};
  EXPECT_THAT([&] { SGD{net.empty}; }, refused);
  EXPECT_THAT([&] { SGD({}, {}); }, refused);
  EXPECT_THAT([&] { SGD({net, none}, {}); }, refused);
  EXPECT_THAT([&] { SGD({nothing, none}, {}); }, refused);
  EXPECT_EQ(names_of(SGD({net.body2, nothing}, {})).size(), 2u);
  EXPECT_EQ(names_of(SGD({nothing, net.body2}, {})).size(), 2u);
  ParameterBlock block;
  EXPECT_THAT([&] { SGD{block}; }, ThrowsMessage<ValueError>(HasSubstr("SGD: the model has no parameters")));
}

TEST(PartOptimizer, NeedsAPartOfOneModel) {
  Net net(Seed{1}), other(Seed{2});
  const auto refused = ThrowsMessage<ValueError>(HasSubstr("SGD: the parts are of several models"));
  const ModelParameters both{net.body, other.body2};
  EXPECT_THAT([&] { SGD{both}; }, refused);
  EXPECT_THAT([&] { SGD({both, net.body}, {}); }, refused);
  EXPECT_THAT([&] { SGD({net.body, both}, {}); }, refused);
}

TEST(PartOptimizer, NeedsAPartOfTheModelAsItIs) {
  ParameterBlock block;
  block.add("w", {2}, true);
  const ModelParameters part = block;
  for (int i = 0; i < 200; ++i) block.add("v" + std::to_string(i), {2}, true);
  const auto grown =
      ThrowsMessage<StateError>(HasSubstr("SGD: parameters were added to the model after a part"));
  EXPECT_THAT([&] { SGD{part}; }, grown);
  EXPECT_THAT([&] { SGD({part, block}, {}); }, grown);
  EXPECT_THAT([&] { SGD({block, part}, {}); }, grown);
  auto net = std::make_unique<Net>(Seed{1});
  const ModelParameters body = net->body;
  net.reset();
  EXPECT_THAT(
      [&] {
        SGD({body, [](const auto&) {
               ADD_FAILURE() << "there is nothing to ask about";
               return true;
             }});
      },
      ThrowsMessage<StateError>(HasSubstr("SGD: the model was destroyed after a part")));
  ParameterBlock* const place = &block;
  std::destroy_at(place);
  std::construct_at(place);  // another model where one was
  block.add("w", {2}, true);
  for (const bool first : {true, false}) {
    EXPECT_THAT(
        [&] {
          first ? SGD({part, block}, {}) : SGD({block, part}, {});
        },
        ThrowsMessage<ValueError>(HasSubstr("SGD: the parts are of several models")));
  }
  EXPECT_THAT([&] { SGD{body}; },
              ThrowsMessage<StateError>(HasSubstr("SGD: the model was destroyed after a part")));
}

// Which names begin with another does not matter: a parameter is a part by itself.
TEST(PartOptimizer, OfAParameterMovesThatAlone) {
  ParameterBlock block;
  block.add("w.scale", {2}, true);
  const Parameter w(block, block.add("w", {2}, true)), unnamed(block, block.add("", {2}, true));
  EXPECT_THAT(names_of(SGD(w)), ElementsAre("w"));
  EXPECT_THAT(names_of(SGD(unnamed)), ElementsAre(""));
}

TEST(PartOptimizer, ClearsNothingOnceTheModelHasGrown) {
  ParameterBlock block;
  block.add("w", {2}, true);
  SGD sgd(block);
  block.add("v", {2}, true);
  EXPECT_THAT([&] { sgd.zero_grad(); }, ThrowsMessage<StateError>(HasSubstr("parameters were added")));
}

// ---- checkpoints of several ----

struct TwoOptimizers {
  Net net{Seed{4}};
  AdamW body{net.body, {.learning_rate = 0.05}};
  SGD rest{net.body2, {.learning_rate = 0.1, .momentum = 0.9}};

  void go(int steps) {
    train(net, steps, [&] { body.step(), rest.step(); });
  }
  std::string fingerprint() { return nn::fingerprint(net.parameters(), {body, rest}); }
};

TEST(SeveralOptimizers, GoOnWithTheSameBits) {
  const TemporaryDirectory directory;
  TwoOptimizers whole, first, second;
  whole.go(3), whole.go(4);
  first.go(3);
  Checkpoint(directory.path(), first.net.parameters(), {first.body, first.rest}).save(3);
  Checkpoint again(directory.path(), second.net.parameters(), {second.body, second.rest});
  EXPECT_EQ(again.load(), 3);
  EXPECT_EQ(second.fingerprint(), first.fingerprint());
  EXPECT_EQ(second.net.step(), 6u);  // each of them counts
  second.go(4);
  EXPECT_EQ(second.fingerprint(), whole.fingerprint());
}

TEST(SeveralOptimizers, SaveTheStateOfTheirPartsUnderNumbers) {
  const TemporaryDirectory directory;
  TwoOptimizers run;
  run.go(1);
  Checkpoint checkpoint(directory.path(), run.net.parameters(), {run.body, run.rest});
  checkpoint.save(1);
  const Safetensors file = read_checkpoint(checkpoint.path());
  EXPECT_EQ(file.metadata().at("optimizer"), "AdamW, SGD");
  std::vector<std::string> names;
  for (const SafetensorsEntry& entry : file.entries()) {
    if (entry.name.starts_with("optimizer.")) names.push_back(entry.name);
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAre(
                         "optimizer.1.m.body.first.weight", "optimizer.1.m.body.first.bias",
                         "optimizer.1.m.body.second.weight", "optimizer.1.m.body.second.bias",
                         "optimizer.1.v.body.first.weight", "optimizer.1.v.body.first.bias",
                         "optimizer.1.v.body.second.weight", "optimizer.1.v.body.second.bias",
                         "optimizer.1.steps", "optimizer.1.parameter_steps", "optimizer.2.m.body2.weight",
                         "optimizer.2.m.body2.bias", "optimizer.2.steps", "optimizer.2.parameter_steps"));
}

TEST(SeveralOptimizers, AreLoadedAsTheyWereSaved) {
  const TemporaryDirectory directory;
  TwoOptimizers run;
  run.go(1);
  ParameterBlock& parameters = run.net.parameters();
  Checkpoint(directory.path(), parameters, {run.body, run.rest}).save(1);
  const auto load = [&](Optimizers optimizers) {
    return [&, optimizers] { Checkpoint(directory.path(), parameters, optimizers).load(); };
  };
  const std::string before = run.fingerprint();
  EXPECT_THAT(load({run.rest, run.body}),
              ThrowsMessage<FileError>(HasSubstr(
                  "it was made with \"AdamW, SGD\", not with \"SGD, AdamW\"; give the optimizers")));
  EXPECT_THAT(load({}),
              ThrowsMessage<FileError>(HasSubstr("it was made with \"AdamW, SGD\", not with no optimizer")));
  AdamW other(run.net.body2);
  SGD another(run.net.body, {.momentum = 0.9});
  EXPECT_THAT(load({other, another}),
              ThrowsMessage<FileError>(
                  HasSubstr("counts steps of \"body.first.weight\", which this AdamW does not move")));
  run.body.counters()[1].values[0] = 0;  // as if there had been no step
  Checkpoint(directory.path(), parameters, {run.body, run.rest}).save(1);
  EXPECT_THAT(
      load({other, another}),
      ThrowsMessage<FileError>(HasSubstr("\"optimizer.1.m.body.first.weight\" is of \"body.first.weight\"")));
  run.body.counters()[1].values[0] = 1;
  EXPECT_EQ(run.fingerprint(), before);

  Checkpoint(directory.path(), parameters, {}).save(2);
  EXPECT_THAT(load({run.body, run.rest}),
              ThrowsMessage<FileError>(HasSubstr("it was made with no optimizer, not with \"AdamW, SGD\"")));
  EXPECT_EQ(Checkpoint(directory.path(), parameters, {}).load(), 2);
}

// SGD remembers nothing whose name would tell that it was of another part.
TEST(SeveralOptimizers, OfAnotherPartAreNoticedByTheirCounts) {
  const TemporaryDirectory directory;
  Net net(Seed{1});
  ParameterBlock& parameters = net.parameters();
  SGD body(net.body), rest(net.body2);
  Checkpoint checkpoint(directory.path(), parameters, {body, rest});
  checkpoint.save(0);
  EXPECT_EQ(Checkpoint(directory.path(), parameters, {rest, body}).load(),
            0);  // there is nothing to lose yet
  train(net, 2, [&] { body.step(), rest.step(); });
  checkpoint.save(2);
  const std::string before = fingerprint(parameters, {body, rest});
  EXPECT_THAT(
      [&] {
        Checkpoint(directory.path(), parameters, {rest, body}).load();
      },
      ThrowsMessage<FileError>(HasSubstr("\"optimizer.1.parameter_steps\" counts steps of "
                                         "\"body.first.weight\", which this SGD does not move")));
  EXPECT_EQ(fingerprint(parameters, {body, rest}), before);
  EXPECT_EQ(checkpoint.load(), 2);
}

// A vector would take two pointers for a range.
template <class Pointer>
concept TakesPointers = requires(ParameterBlock& block, Pointer one) {
  fingerprint(block, {one, one});
}
|| requires(ParameterBlock& block, Pointer one) { Checkpoint("", block, {one, one}); };
static_assert(!TakesPointers<Adam*>);

TEST(SeveralOptimizers, AreAListOfAnyLength) {
  TwoOptimizers run;
  const std::vector<Optimizers::Reference> list = {run.body, run.rest};
  EXPECT_EQ(fingerprint(run.net.parameters(), Optimizers(list)), run.fingerprint());
}

TEST(SeveralOptimizers, MayNotBeOneTwice) {
  const TemporaryDirectory directory;
  TwoOptimizers run;
  ParameterBlock& parameters = run.net.parameters();
  EXPECT_THAT(
      [&] {
        Checkpoint(directory.path(), parameters, {run.body, run.rest, run.body});
      },
      ThrowsMessage<ValueError>(
          HasSubstr("checkpoint: the AdamW stands in the list twice, as number 1 and 3")));
  EXPECT_THAT(
      [&] {
        fingerprint(parameters, {run.rest, run.rest});
      },
      ThrowsMessage<ValueError>(HasSubstr("fingerprint: the SGD stands in the list twice")));
}

// A small part beside 64 MiB that are never trained, as an adapter of a large model: those are held once.
TEST(SeveralOptimizers, WhatNoneOfThemMovesTakesNoMemoryButItsValues) {
  if (support::memory_held() == 0) GTEST_SKIP() << "no /proc/self/statm";
  constexpr std::int64_t large = 64 << 20;
  const std::int64_t before = support::memory_held();
  const auto growth = [before] { return support::memory_held() - before; };
  ParameterBlock block;
  const Parameter adapter(block, block.add("adapter", {16}, true));
  block.add("frozen", {4096, 4096}, true);
  EXPECT_GT(growth(), large * 7 / 8);
  EXPECT_LT(growth(), large * 5 / 4);
  Adam adam(adapter);
  AdamW adamw(adapter);
  for (Optimizer* optimizer : {static_cast<Optimizer*>(&adam), static_cast<Optimizer*>(&adamw)}) {
    give(block, 0, 1.0F);
    optimizer->step();
  }
  EXPECT_LT(adapter.values()[0], 0);
  EXPECT_LT(growth(), large * 3 / 2);
}

TEST(SeveralOptimizers, AllCountInTheFingerprintAndMustBeOfTheModel) {
  TwoOptimizers run, other;
  run.go(2), other.go(2);
  EXPECT_EQ(run.fingerprint(), other.fingerprint());
  EXPECT_NE(run.fingerprint(), fingerprint(run.net.parameters(), &run.body));
  EXPECT_EQ(fingerprint(run.net.parameters(), {run.body}), fingerprint(run.net.parameters(), &run.body));
  other.rest.slots()[0].values[static_cast<std::size_t>(other.net.parameters().entry(4).offset)] += 1;
  EXPECT_NE(run.fingerprint(), other.fingerprint());
  EXPECT_THAT(
      [&] {
        fingerprint(run.net.parameters(), {run.body, other.rest});
      },
      ThrowsMessage<StateError>(HasSubstr("the SGD was made for the parameters of another model")));
  const TemporaryDirectory directory;
  EXPECT_THAT(
      [&] {
        Checkpoint(directory.path(), run.net.parameters(), {run.body, other.rest});
      },
      ThrowsMessage<StateError>(HasSubstr("the SGD was made for the parameters of another model")));
}

}  // namespace
}  // namespace reel::nn
