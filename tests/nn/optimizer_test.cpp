#include "nn/optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "autograd/error.h"
#include "nn/clip.h"
#include "nn/mlp.h"
#include "tests/nn/three_parameters.h"
#include "tests/support/count_allocations.h"

namespace reel::nn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
constexpr float infinity = std::numeric_limits<float>::infinity();
const double nan_value = std::numeric_limits<double>::quiet_NaN();

std::vector<double> golden(const std::string& wanted, int step) {
  std::ifstream file(REEL_SOURCE_DIR "/tests/golden/optimizers.txt");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    int number = 0;
    words >> name >> number;
    if (name != wanted || number != step) continue;
    std::vector<double> w;
    for (double x = 0; words >> x;) w.push_back(x);
    return w;
  }
  return {};
}

void expect_golden(const std::string& name, const std::function<std::unique_ptr<Optimizer>(Model&)>& make) {
  Model model;
  const std::unique_ptr<Optimizer> optimizer = make(model);
  for (int step = 1; step <= 10; ++step) {
    model.set_gradients(step);
    EXPECT_FALSE(optimizer->step().skipped);
    if (step != 1 && step != 3 && step != 10) continue;
    const std::vector<double> expected = golden(name, step);
    const std::vector<float> w = model.all();
    ASSERT_EQ(expected.size(), w.size());
    for (std::size_t i = 0; i < w.size(); ++i) {
      EXPECT_NEAR(static_cast<double>(w[i]), expected[i], 2e-6)
          << name << " step " << step << " element " << i;
    }
  }
  model.expect_gaps_are_zero();
}

TEST(Optimizer, FollowsPyTorchWithGroupsAndMissingGradients) {
  expect_golden("groups_adamw", [](Model& m) {
    return std::make_unique<AdamW>(m, AdamWOptions{.learning_rate = 0.05, .weight_decay = 0.1});
  });
  expect_golden("groups_adam", [](Model& m) {
    return std::make_unique<Adam>(m, AdamOptions{.learning_rate = 0.05, .weight_decay = 0.1});
  });
  expect_golden("groups_rmsprop", [](Model& m) {
    return std::make_unique<RMSprop>(
        m, RMSpropOptions{.learning_rate = 0.05, .weight_decay = 0.1, .momentum = 0.3});
  });
  expect_golden("groups_sgd", [](Model& m) {
    return std::make_unique<SGD>(
        m,
        SGDOptions{.learning_rate = 0.1,
                   .momentum = 0.9,
                   .dampening = 0.25,
                   .groups = {{.names = {"first.bias"}, .learning_rate_factor = 0.5, .weight_decay = 0.2}}});
  });
}

// One parameter of 8 numbers: every option reaches its place.
TEST(Optimizer, PassesEveryOptionOn) {
  using Make = std::function<std::unique_ptr<Optimizer>(ParameterBlock&)>;
  const std::pair<const char*, Make> cases[] = {
      {"sgd_dampening",
       [](ParameterBlock& b) {
         return std::make_unique<SGD>(
             b, SGDOptions{.learning_rate = 0.1, .momentum = 0.9, .dampening = 0.5, .weight_decay = 0.05});
       }},
      {"sgd_nesterov",
       [](ParameterBlock& b) {
         return std::make_unique<SGD>(
             b, SGDOptions{.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.05, .nesterov = true});
       }},
      {"sgd_clipped",
       [](ParameterBlock& b) {
         return std::make_unique<SGD>(b, SGDOptions{.learning_rate = 0.1, .momentum = 0.9, .clip_norm = 0.5});
       }},
      {"adam_l2",
       [](ParameterBlock& b) {
         return std::make_unique<Adam>(
             b,
             AdamOptions{
                 .learning_rate = 0.05, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-3, .weight_decay = 0.1});
       }},
      {"adamw_betas",
       [](ParameterBlock& b) {
         return std::make_unique<AdamW>(
             b,
             AdamWOptions{
                 .learning_rate = 0.05, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-3, .weight_decay = 0.2});
       }},
      {"adamw",
       [](ParameterBlock& b) { return std::make_unique<AdamW>(b, AdamWOptions{.learning_rate = 0.05}); }},
      {"adamw_clipped",
       [](ParameterBlock& b) {
         return std::make_unique<AdamW>(b, AdamWOptions{.learning_rate = 0.05, .clip_norm = 0.5});
       }},
      {"rmsprop", [](ParameterBlock& b) { return std::make_unique<RMSprop>(b); }},
      {"rmsprop_all",
       [](ParameterBlock& b) {
         return std::make_unique<RMSprop>(b, RMSpropOptions{.learning_rate = 0.02,
                                                            .alpha = 0.9,
                                                            .weight_decay = 0.1,
                                                            .momentum = 0.5,
                                                            .centered = true});
       }},
      {"rmsprop_centered",
       [](ParameterBlock& b) {
         return std::make_unique<RMSprop>(
             b, RMSpropOptions{.learning_rate = 0.02, .alpha = 0.9, .epsilon = 1e-4, .centered = true});
       }},
  };
  for (const auto& [name, make] : cases) {
    ParameterBlock block;
    block.add("w", Shape({8}), true);
    set_start(block.values(0));
    const auto optimizer = make(block);
    for (int step = 1; step <= 10; ++step) {
      for (int i = 0; i < 8; ++i) {
        block.gradients()[i] = 0.125F * static_cast<float>((i * 7 + step * 3) % 11 - 5);
      }
      block.entry(0).has_gradient = true;
      optimizer->step();
    }
    const std::vector<double> expected = golden(name, 10);
    ASSERT_EQ(expected.size(), 8U) << name;
    for (std::size_t i = 0; i < 8; ++i) {
      EXPECT_NEAR(static_cast<double>(block.values(0)[i]), expected[i], 2e-6) << name << " element " << i;
    }
  }
}

// Neighbours that are treated alike but are at different steps have different corrections.
TEST(Optimizer, NeighboursCountTheirOwnSteps) {
  ParameterBlock block;
  for (const char* name : {"a", "b", "c"}) block.add(name, Shape({16}), true);
  Adam adam(block, {.learning_rate = 0.1});
  const auto step = [&](bool second) {
    for (std::size_t i = 0; i < 3; ++i) {
      if (i == 1 && !second) continue;
      for (float& g : block.gradients(i)) g = 1;
      block.entry(i).has_gradient = true;
    }
    adam.step();
  };
  step(true);
  step(false);
  step(true);
  EXPECT_THAT(adam.counters()[1].values, ElementsAre(3, 2, 3));
  EXPECT_NEAR(block.values(0)[0], -0.3F, 1e-6F);
  EXPECT_NEAR(block.values(1)[0], -0.2F, 1e-6F);
  EXPECT_NEAR(block.values(2)[15], -0.3F, 1e-6F);
}

TEST(Optimizer, TakesABlockOrAModelAndFloatOptions) {
  Model model;
  AdamW by_model(model, {.learning_rate = 1e-3f});
  AdamW by_block(model.block, {.learning_rate = 1e-3f});
  SGD plain(model);
  EXPECT_EQ(&by_model.block(), &model.block);
  EXPECT_EQ(&by_block.block(), &model.block);
  EXPECT_EQ(by_model.name(), "AdamW");
  EXPECT_EQ(plain.name(), "SGD");
  EXPECT_EQ(by_model.learning_rate(), static_cast<double>(1e-3f));
}

TEST(Optimizer, StepClearsGradientsAndCountsVersions) {
  Model model;
  SGD sgd(model, {.learning_rate = 0.5});
  model.fill_gradient(0, 2);
  const std::uint64_t version = model.block.version();
  const StepReport report = sgd.step();
  EXPECT_DOUBLE_EQ(report.gradient_norm, 2 * std::sqrt(5.0));
  EXPECT_EQ(report.parameter, -1);
  EXPECT_GT(model.block.version(), version);
  EXPECT_FALSE(model.block.entry(0).has_gradient);
  EXPECT_EQ(sgd.step_count(), 1);
  const std::vector<float> before = model.all();
  EXPECT_EQ(before[0], -1.5F - 1.0F);
  EXPECT_THROW(sgd.step(), StateError);  // nothing to apply
  model.fill_gradient(0, 2);
  sgd.zero_grad();
  EXPECT_THROW(sgd.step(), StateError);
  EXPECT_EQ(model.all(), before);
}

TEST(Optimizer, ParametersWithoutGradientKeepEverything) {
  Model model;
  AdamW adam(model, {.weight_decay = 0.5});
  for (int step = 1; step <= 3; ++step) {
    model.fill_gradient(0, 1);
    adam.step();
  }
  Model fresh;
  const std::vector<float> w = model.all();
  const std::vector<float> start = fresh.all();
  EXPECT_NE(w[0], start[0]);
  EXPECT_EQ(std::vector<float>(w.begin() + 5, w.end()), std::vector<float>(start.begin() + 5, start.end()));
  for (const Optimizer::Slot& slot : adam.slots()) {
    EXPECT_NE(slot.values[0], 0.0F);
    EXPECT_EQ(slot.values[16], 0.0F);
    EXPECT_EQ(slot.values[32], 0.0F);
  }
  EXPECT_THAT(adam.counters()[1].values, ElementsAre(3, 0, 0));
}

TEST(Optimizer, DecayLeavesOutBiases) {
  Model model;
  AdamW adam(model, {.learning_rate = 0.1, .weight_decay = 0.5});
  for (std::size_t i = 0; i < 3; ++i) model.fill_gradient(i, 0);
  adam.step();
  Model fresh;
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t k = 0; k < model.block.values(i).size(); ++k) {
      const float before = fresh.block.values(i)[k];
      EXPECT_FLOAT_EQ(model.block.values(i)[k], i == 1 ? before : before * 0.95F);
    }
  }
}

TEST(Optimizer, GroupsByPathAndByTest) {
  Model model;
  SGD sgd(model, {.learning_rate = 1,
                  .groups = {{.names = {"first"}, .learning_rate_factor = 0},
                             {.matches = [](std::string_view name) { return name.ends_with("d.weight"); },
                              .learning_rate_factor = 2}}});
  for (std::size_t i = 0; i < 3; ++i) model.fill_gradient(i, 1);
  sgd.step();
  Model fresh;
  EXPECT_EQ(model.block.values(0)[0], fresh.block.values(0)[0]);
  EXPECT_EQ(model.block.values(1)[0], fresh.block.values(1)[0]);
  EXPECT_EQ(model.block.values(2)[0], fresh.block.values(2)[0] - 2);
}

TEST(Optimizer, AFrozenGroupKeepsEverythingAndDoesNotCountInTheNorm) {
  Model frozen, without;
  AdamW adam(frozen, {.clip_norm = 1, .groups = {{.names = {"first.weight"}, .learning_rate_factor = 0}}});
  AdamW other(without, {.clip_norm = 1});
  const std::vector<float> start(frozen.block.values(0).begin(), frozen.block.values(0).end());
  for (const float large : {1e3F, infinity}) {
    frozen.fill_gradient(0, large);
    for (const std::size_t i : {1U, 2U}) {
      frozen.fill_gradient(i, 2);
      without.fill_gradient(i, 2);
    }
    const StepReport report = adam.step();
    EXPECT_FALSE(report.skipped);
    EXPECT_EQ(report.gradient_norm, other.step().gradient_norm);
    for (const std::size_t i : {1U, 2U}) {
      const auto got = frozen.block.values(i), expected = without.block.values(i);
      EXPECT_TRUE(std::equal(got.begin(), got.end(), expected.begin()));
    }
  }
  EXPECT_TRUE(std::equal(start.begin(), start.end(), frozen.block.values(0).begin()));
  for (const Optimizer::Slot& slot : adam.slots()) EXPECT_EQ(slot.values[0], 0);
  EXPECT_EQ(adam.counters()[1].values[0], 0);
  frozen.fill_gradient(0, infinity);
  frozen.fill_gradient(2, infinity);
  EXPECT_EQ(adam.step().parameter, 2);
}

// Only what changed counts as changed: a backward through the others goes on.
TEST(Optimizer, AStepChangesTheParametersItUpdatesAlone) {
  Model model;
  AdamW adam(model, {.groups = {{.names = {"first.bias"}, .learning_rate_factor = 0}}});
  const ParameterBlock& block = model.block;
  const std::uint64_t whole = block.version();
  const std::uint64_t before[3] = {block.version(0), block.version(1), block.version(2)};
  model.fill_gradient(0, 1);
  model.fill_gradient(1, 1);
  adam.step();
  EXPECT_GT(block.version(), whole);
  EXPECT_GT(block.version(0), before[0]);
  EXPECT_EQ(block.version(1), before[1]);
  EXPECT_EQ(block.version(2), before[2]);
  model.block.values(2)[0] = 1;
  EXPECT_GT(block.version(2), before[2]);
  EXPECT_EQ(block.version(1), before[1]);
  model.block.values()[0] = 1;
  EXPECT_GT(block.version(1), before[1]);
}

TEST(Optimizer, AdamWHasGroupsToo) {
  Model model;
  AdamW adam(model, {.learning_rate = 0.1,
                     .weight_decay = 0,
                     .groups = {{.names = {"first"}, .learning_rate_factor = 0.5}}});
  for (std::size_t i = 0; i < 3; ++i) model.fill_gradient(i, 1);
  adam.step();
  EXPECT_FLOAT_EQ(model.block.values(0)[0], -1.55F);
  EXPECT_FLOAT_EQ(model.block.values(2)[0], -1.6F);
}

// They are gone through side by side, and a load waits for a store to the same place of another page.
TEST(Optimizer, NoTwoOfItsArraysBeginAtTheSamePlaceOfAPage) {
  Mlp model(Seed{1}, {100, 100, 10});
  RMSprop rmsprop(model, {.momentum = 0.9, .centered = true});
  ParameterBlock& block = model.parameters();
  std::vector<const float*> arrays = {block.values(), block.gradients()};
  for (const Optimizer::Slot& slot : rmsprop.slots()) arrays.push_back(slot.values.data());
  ASSERT_EQ(arrays.size(), 5U);
  std::set<std::uintptr_t> places;
  for (const float* array : arrays) places.insert(reinterpret_cast<std::uintptr_t>(array) % 4096 / 64);
  EXPECT_EQ(places.size(), arrays.size());
}

TEST(Optimizer, ClippingIsTheSameAsClippingFirst) {
  for (const double limit : {0.1, 1.0, 1e6}) {
    Model fused;
    Model separate;
    AdamW with_clip(fused, {.learning_rate = 0.05, .clip_norm = limit});
    AdamW without(separate, {.learning_rate = 0.05});
    for (int step = 1; step <= 4; ++step) {
      fused.set_gradients(step);
      separate.set_gradients(step);
      const double norm = clip_grad_norm(separate.block, limit);
      EXPECT_EQ(with_clip.step().gradient_norm, norm);
      EXPECT_NEAR(without.step().gradient_norm, std::min(norm, limit), 1e-5 * limit);
    }
    EXPECT_EQ(fused.all(), separate.all());
  }
}

TEST(Optimizer, GradientsThatAreNotFiniteAreSkipped) {
  for (const float bad : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
    for (const double clip : {0.0, 1.0}) {
      Model model;
      AdamW adam(model, {.clip_norm = clip});
      model.set_gradients(1);
      adam.step();
      const std::vector<float> before = model.all();
      const std::vector<float> moments(adam.slots()[1].values.begin(), adam.slots()[1].values.end());
      const std::uint64_t version = model.block.version();
      for (int again = 1; again <= 2; ++again) {
        model.set_gradients(4);
        model.block.gradients(2)[7] = bad;
        const StepReport report = adam.step();
        EXPECT_TRUE(report.skipped);
        EXPECT_FALSE(std::isfinite(report.gradient_norm));
        EXPECT_EQ(report.parameter, 2);
        EXPECT_EQ(adam.skipped_steps(), again);
        EXPECT_EQ(adam.skipped_in_a_row(), again);
        EXPECT_FALSE(model.block.entry(2).has_gradient);
      }
      EXPECT_EQ(model.all(), before);
      EXPECT_EQ(model.block.version(), version);
      EXPECT_EQ(moments, std::vector<float>(adam.slots()[1].values.begin(), adam.slots()[1].values.end()));
      EXPECT_EQ(adam.step_count(), 1);
      EXPECT_THAT(adam.counters()[1].values, ElementsAre(1, 1, 1));
      model.set_gradients(5);
      EXPECT_FALSE(adam.step().skipped);
      EXPECT_EQ(adam.skipped_steps(), 2);
      EXPECT_EQ(adam.skipped_in_a_row(), 0);
      EXPECT_NE(model.all(), before);
    }
  }
}

TEST(Optimizer, StateMovesToAnotherOptimizer) {
  const std::function<std::unique_ptr<Optimizer>(Model&)> makers[] = {
      [](Model& m) {
        return std::make_unique<AdamW>(m, AdamWOptions{.learning_rate = 0.05, .weight_decay = 0.1});
      },
      [](Model& m) { return std::make_unique<SGD>(m, SGDOptions{.momentum = 0.9, .dampening = 0.5}); },
      [](Model& m) {
        return std::make_unique<RMSprop>(m, RMSpropOptions{.momentum = 0.9, .centered = true});
      },
  };
  for (const auto& make : makers) {
    Model straight;
    const auto whole = make(straight);
    Model before;
    const auto first = make(before);
    for (int step = 1; step <= 4; ++step) {
      straight.set_gradients(step);
      whole->step();
      before.set_gradients(step);
      first->step();
    }
    Model after;
    const auto second = make(after);
    for (std::size_t i = 0; i < 3; ++i)
      std::ranges::copy(before.block.values(i), after.block.values(i).begin());
    const auto from = first->slots();
    const auto to = second->slots();
    ASSERT_EQ(from.size(), to.size());
    for (std::size_t i = 0; i < from.size(); ++i) {
      EXPECT_EQ(from[i].name, to[i].name);
      EXPECT_EQ(from[i].values.size(), static_cast<std::size_t>(before.block.length()));
      std::ranges::copy(from[i].values, to[i].values.begin());
    }
    for (std::size_t i = 0; i < 2; ++i)
      std::ranges::copy(first->counters()[i].values, second->counters()[i].values.begin());
    EXPECT_EQ(second->step_count(), 4);
    for (int step = 5; step <= 10; ++step) {
      straight.set_gradients(step);
      whole->step();
      after.set_gradients(step);
      second->step();
    }
    EXPECT_EQ(straight.all(), after.all()) << whole->name();
  }
}

TEST(Optimizer, SlotsHaveTheirNames) {
  Model model;
  const auto names = [](Optimizer& optimizer) {
    std::string all;
    for (const auto& slot : optimizer.slots()) all += std::string(slot.name) + " ";
    return all;
  };
  Adam adam(model);
  SGD plain(model);
  SGD heavy(model, {.momentum = 0.5});
  RMSprop rms(model);
  RMSprop all(model, {.momentum = 0.5, .centered = true});
  RMSprop pushed(model, {.momentum = 0.5});
  EXPECT_EQ(names(adam), "m v ");
  EXPECT_EQ(names(plain), "");
  EXPECT_EQ(names(heavy), "m ");
  EXPECT_EQ(names(rms), "v ");
  EXPECT_EQ(names(all), "v a m ");
  EXPECT_EQ(names(pushed), "v m ");
  EXPECT_EQ(adam.counters()[0].name, "steps");
  EXPECT_EQ(adam.counters()[1].name, "parameter_steps");
}

TEST(Optimizer, LearningRateCanChange) {
  Model model;
  SGD sgd(model, {.learning_rate = 1});
  sgd.set_learning_rate(0.25);
  EXPECT_EQ(sgd.learning_rate(), 0.25);
  model.fill_gradient(0, 1);
  const float before = model.block.values(0)[0];
  sgd.step();
  EXPECT_EQ(model.block.values(0)[0], before - 0.25F);
  sgd.set_learning_rate(0);  // a warm-up may begin there
  model.fill_gradient(0, 1);
  sgd.step();
  EXPECT_EQ(model.block.values(0)[0], before - 0.25F);
  EXPECT_THROW(sgd.set_learning_rate(-1), ValueError);
  EXPECT_THROW(sgd.set_learning_rate(nan_value), ValueError);
  EXPECT_THROW(sgd.set_learning_rate(1e39), ValueError);
  EXPECT_EQ(sgd.learning_rate(), 0);
}

TEST(Optimizer, RefusesAModelThatGrew) {
  Model model;
  AdamW adam(model);
  model.block.add("late", Shape({2}), true);
  EXPECT_THROW(adam.step(), StateError);
}

TEST(Optimizer, AWarmStepDoesNotAllocate) {
  if (!support::counts_allocations()) GTEST_SKIP() << "a sanitizer owns the allocator";
  Model model;
  AdamW adam(model, {.clip_norm = 1});
  RMSprop rms(model, {.momentum = 0.5, .centered = true});
  SGD sgd(model, {.momentum = 0.5});
  const auto round = [&](int step) {
    for (Optimizer* optimizer :
         {static_cast<Optimizer*>(&adam), static_cast<Optimizer*>(&rms), static_cast<Optimizer*>(&sgd)}) {
      model.set_gradients(step);
      optimizer->step();
      model.set_gradients(step);
      model.block.gradients(0)[0] = infinity;
      optimizer->step();
    }
  };
  round(1);
  const std::size_t before = support::allocations();
  for (int step = 2; step <= 8; ++step) round(step);
  EXPECT_EQ(support::allocations(), before);
}

template <class Make>
std::string error_of(Make make) {
  try {
    make();
  } catch (const ValueError& e) {
    return e.what();
  }
  return "no error";
}

TEST(Optimizer, RefusesOptionsOutOfRange) {
  Model m;
  const auto adam = [&](AdamOptions o) { return error_of([&] { Adam made(m, o); }); };
  const auto sgd = [&](SGDOptions o) { return error_of([&] { SGD made(m, o); }); };
  const auto rms = [&](RMSpropOptions o) { return error_of([&] { RMSprop made(m, o); }); };
  EXPECT_EQ(adam({}), "no error");
  EXPECT_EQ(adam({.learning_rate = 0}), "no error");
  EXPECT_THAT(adam({.learning_rate = -1e-3}), HasSubstr("Adam: learning_rate = -0.001"));
  EXPECT_THAT(adam({.learning_rate = -1e-3}), HasSubstr("optimizer_test.cpp:"));
  EXPECT_THAT(adam({.learning_rate = nan_value}), HasSubstr("learning_rate = nan"));
  EXPECT_THAT(adam({.learning_rate = 1e39}), HasSubstr("is not finite as a float"));
  EXPECT_THAT(adam({.beta1 = 1}), HasSubstr("beta1 = 1 is not in [0, 1)"));
  EXPECT_THAT(adam({.beta1 = -0.1}), HasSubstr("beta1 = -0.1"));
  EXPECT_THAT(adam({.beta2 = 1}), HasSubstr("beta2 = 1"));
  EXPECT_THAT(adam({.beta2 = 0.999999999}), HasSubstr("beta2 = "));
  EXPECT_THAT(adam({.beta2 = nan_value}), HasSubstr("beta2 = nan"));
  EXPECT_THAT(adam({.epsilon = 0}), HasSubstr("epsilon = 0 is not positive"));
  EXPECT_THAT(adam({.epsilon = -1e-8}), HasSubstr("epsilon"));
  EXPECT_THAT(adam({.epsilon = 1e-60}), HasSubstr("is zero as a float"));
  EXPECT_THAT(adam({.weight_decay = -1}), HasSubstr("weight_decay = -1"));
  EXPECT_THAT(adam({.weight_decay = nan_value}), HasSubstr("weight_decay = nan"));
  EXPECT_THAT(adam({.clip_norm = -1}), HasSubstr("clip_norm = -1"));
  EXPECT_THAT(adam({.clip_norm = nan_value}), HasSubstr("clip_norm = nan"));
  EXPECT_THAT(error_of([&] { AdamW made(m, {.epsilon = 0}); }), HasSubstr("AdamW: epsilon = 0"));
  EXPECT_THAT(sgd({.momentum = 1}), HasSubstr("SGD: momentum = 1"));
  EXPECT_THAT(sgd({.momentum = -0.5}), HasSubstr("momentum = -0.5"));
  EXPECT_THAT(sgd({.dampening = 1.5}), HasSubstr("dampening = 1.5"));
  EXPECT_THAT(sgd({.nesterov = true}), HasSubstr("momentum = 0"));
  EXPECT_THAT(sgd({.momentum = 0.9, .dampening = 0.1, .nesterov = true}), HasSubstr("dampening = 0.1"));
  EXPECT_THAT(rms({.alpha = 1}), HasSubstr("RMSprop: alpha = 1"));
  EXPECT_THAT(rms({.epsilon = 0}), HasSubstr("epsilon = 0"));
  EXPECT_THAT(rms({.momentum = 2}), HasSubstr("momentum = 2"));
  EXPECT_THAT(sgd({.groups = {{.names = {"frist"}}}}),
              HasSubstr("groups[0] names \"frist\", which is no parameter or module"));
  EXPECT_THAT(sgd({.groups = {{.names = {"fir"}}}}), HasSubstr("groups[0]"));
  EXPECT_THAT(sgd({.groups = {{}}}), HasSubstr("groups[0] holds no parameter"));
  EXPECT_THAT(sgd({.groups = {{.names = {"first"}}, {.names = {"first.bias"}}}}),
              HasSubstr("groups[1] holds \"first.bias\", which is in another group already"));
  EXPECT_THAT(sgd({.groups = {{.names = {"first"}, .learning_rate_factor = -1}}}),
              HasSubstr("learning_rate_factor = -1"));
  EXPECT_THAT(sgd({.groups = {{.names = {"first"}, .weight_decay = -1}}}), HasSubstr("weight_decay = -1"));
}

}  // namespace
}  // namespace reel::nn
