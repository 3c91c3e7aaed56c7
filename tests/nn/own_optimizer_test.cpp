#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <utility>
#include <vector>

#include "autograd/autograd.h"
#include "nn/checkpoint.h"
#include "nn/optimizer.h"
#include "tests/nn/checkpoint_problem.h"

// An optimizer that a user writes: what its update is given, and that checkpoints keep what it remembers.

namespace reel::nn {
namespace {

// Adds up gradients, remembers the last, and notes every call.
class Recorder final : public Optimizer {
 public:
  explicit Recorder(ModelParameters model, std::vector<ParameterGroup> groups = {}, double clip_norm = 0)
      : Optimizer("Recorder", model, {0.5, 0.1, clip_norm, groups, Place::here()}) {
    add_slot("sum");
    add_slot("last");
  }
  std::vector<Run> runs;

 private:
  void update(const Run& run) override {
    runs.push_back(run);
    for (std::int64_t i = 0; i < run.count; ++i) {
      slot(0)[run.offset + i] += static_cast<float>(run.scale) * run.gradients[i];
      slot(1)[run.offset + i] = run.gradients[i];
    }
  }
};

// Parameters at 0, 16 and 32 of the block.
struct ThreeOfTwo {
  ParameterBlock block;
  ThreeOfTwo() {
    block.add("a.weight", {2}, true);
    block.add("b.weight", {2}, true);
    block.add("b.bias", {2}, false);
  }
  void give(std::size_t i, float gradient) {
    for (float& g : block.gradients(i)) g = gradient;
    block.entry(i).has_gradient = true;
  }
};

TEST(OwnOptimizer, IsGivenStretchesThatAreTreatedAlike) {
  ThreeOfTwo model;
  Recorder recorder(model.block, {}, 2.0);
  for (std::size_t i = 0; i < 3; ++i) model.give(i, 3);
  recorder.step();
  // The weights together, over the gap between them; the bias does not decay.
  ASSERT_EQ(recorder.runs.size(), 2u);
  const auto& weights = recorder.runs[0];
  EXPECT_EQ(weights.first, 0u);
  EXPECT_EQ(weights.last, 2u);
  EXPECT_EQ(weights.values, std::as_const(model.block).values());
  EXPECT_EQ(weights.offset, 0);
  EXPECT_EQ(weights.count, 18);
  EXPECT_EQ(weights.step, 1);
  EXPECT_EQ(weights.learning_rate, 0.5);
  EXPECT_EQ(weights.weight_decay, 0.1);
  EXPECT_NEAR(weights.scale, 2 / std::sqrt(6 * 9.0), 1e-6);
  const auto& bias = recorder.runs[1];
  EXPECT_EQ(bias.first, 2u);
  EXPECT_EQ(bias.last, 3u);
  EXPECT_EQ(bias.values, std::as_const(model.block).values(2).data());
  EXPECT_EQ(bias.offset, 32);
  EXPECT_EQ(bias.count, 2);
  EXPECT_EQ(bias.weight_decay, 0);
  EXPECT_EQ(recorder.slots()[0].values[2], 0);  // a gap holds zeros
  EXPECT_EQ(model.block.steps(), 1u);
}

TEST(OwnOptimizer, IsNotGivenWhatIsFrozenOrHasNoGradient) {
  ThreeOfTwo model;
  Recorder recorder(model.block, {{.names = {"a"}, .learning_rate_factor = 0},
                                  {.names = {"b.bias"}, .learning_rate_factor = 2}});
  model.give(0, 1);
  model.give(2, 1);
  for (float& g : model.block.gradients(1)) g = 7;  // without has_gradient it is what an old backward left
  EXPECT_FALSE(recorder.step().skipped);
  ASSERT_EQ(recorder.runs.size(), 1u);
  EXPECT_EQ(recorder.runs[0].offset, 32);
  EXPECT_EQ(recorder.runs[0].learning_rate, 1.0);
  for (std::size_t i = 0; i < 3; ++i) model.give(i, 1);
  recorder.step();
  ASSERT_EQ(recorder.runs.size(), 3u);
  EXPECT_EQ(recorder.runs[1].offset, 16);
  EXPECT_EQ(recorder.runs[1].step, 1);
  EXPECT_EQ(recorder.runs[2].offset, 32);
  EXPECT_EQ(recorder.runs[2].step, 2);
}

TEST(OwnOptimizer, IsNotGivenWhatWasFrozenAfterItsGradientCame) {
  ThreeOfTwo model;
  Recorder recorder(model.block, {}, 1.0);
  for (std::size_t i = 0; i < 3; ++i) model.give(i, i == 0 ? std::nanf("") : 1);
  Parameter(model.block, 0).requires_grad(false);
  const StepReport report = recorder.step();
  EXPECT_FALSE(report.skipped);
  EXPECT_FLOAT_EQ(static_cast<float>(report.gradient_norm), 2);
  ASSERT_EQ(recorder.runs.size(), 2u);
  EXPECT_EQ(recorder.runs[0].first, 1u);
  EXPECT_EQ(recorder.runs[0].last, 2u);
}

TEST(OwnOptimizer, HasSlotsOfDifferentNames) {
  struct Twice final : Optimizer {
    explicit Twice(ParameterBlock& block) : Optimizer("Twice", block, {0.5, 0, 0, {}, Place::here()}) {
      add_slot("m");
      EXPECT_THROW(slot(1), ValueError);
      slot(0)[0] = 1;
      add_slot("m");
    }
    void update(const Run&) override {}
  };
  ThreeOfTwo model;
  try {
    Twice twice(model.block);
    FAIL() << "no error";
  } catch (const ValueError& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("Twice: the slot \"m\" is added twice"));
  }
}

TEST(OwnOptimizer, IsKeptByCheckpoints) {
  const TemporaryDirectory directory;
  ThreeOfTwo model;
  Recorder recorder(model.block);
  for (std::size_t i = 0; i < 3; ++i) model.give(i, static_cast<float>(i + 1));
  recorder.step();
  Checkpoint(directory.path(), model.block, recorder).save(1);

  ThreeOfTwo again;
  Recorder loaded(again.block);
  EXPECT_EQ(Checkpoint(directory.path(), again.block, loaded).load(), 1);
  EXPECT_EQ(loaded.step_count(), 1);
  for (std::size_t s = 0; s < 2; ++s)
    EXPECT_THAT(loaded.slots()[s].values, testing::ElementsAreArray(recorder.slots()[s].values));
  again.give(1, 1);
  loaded.step();
  EXPECT_EQ(loaded.runs.back().step, 2);
}

}  // namespace
}  // namespace reel::nn
