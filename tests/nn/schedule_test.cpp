#include "nn/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "autograd/error.h"

namespace reel::nn {
namespace {

using ::testing::HasSubstr;

// The rates that PyTorch gave to consecutive steps; written by tests/golden/optimizers.py.
std::vector<double> golden(const std::string& wanted) {
  std::ifstream file(REEL_SOURCE_DIR "/tests/golden/optimizers.txt");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    int step = 0;
    words >> name >> step;
    if (name != wanted) continue;
    std::vector<double> rates;
    for (double rate = 0; words >> rate;) rates.push_back(rate);
    return rates;
  }
  return {};
}

void expect_golden(const Schedule& schedule, const std::string& name) {
  const std::vector<double> rates = golden(name);
  ASSERT_GT(rates.size(), 7U) << name;
  for (std::size_t i = 0; i < rates.size(); ++i) {
    EXPECT_NEAR(schedule(static_cast<std::int64_t>(i)), rates[i], 1e-14) << name << " step " << i;
  }
}

TEST(Schedule, FollowsPyTorch) {
  expect_golden(Schedule::step_decay({.learning_rate = 0.5, .every = 3}), "step_decay");
  expect_golden(Schedule::linear_warmup({.learning_rate = 0.5, .warmup_steps = 5, .start_factor = 0.2}),
                "linear_warmup");
  expect_golden(Schedule::cosine({.learning_rate = 0.5, .steps = 10, .minimum = 0.05}), "cosine");
  expect_golden(
      Schedule::cosine(
          {.learning_rate = 0.5, .steps = 14, .warmup_steps = 4, .start_factor = 0.2, .minimum = 0.05}),
      "cosine_warmup");
  expect_golden(Schedule::one_cycle({.learning_rate = 0.5, .steps = 20}), "one_cycle");
  expect_golden(Schedule::one_cycle({.learning_rate = 0.5,
                                     .steps = 17,
                                     .pct_start = 0.4,
                                     .div_factor = 10,
                                     .final_div_factor = 100,
                                     .linear = true}),
                "one_cycle_linear");
}

TEST(Schedule, HandValues) {
  const Schedule cosine = Schedule::cosine(
      {.learning_rate = 1, .steps = 12, .warmup_steps = 4, .start_factor = 0, .minimum = 0.2});
  EXPECT_DOUBLE_EQ(cosine(0), 0);
  EXPECT_DOUBLE_EQ(cosine(1), 0.25);
  EXPECT_DOUBLE_EQ(cosine(4), 1);
  EXPECT_DOUBLE_EQ(cosine(8), 0.6);
  EXPECT_DOUBLE_EQ(cosine(6), 0.6 + 0.4 * std::sqrt(0.5));
  EXPECT_EQ(cosine(12), 0.2);
  EXPECT_EQ(cosine(1000000), 0.2);
  EXPECT_EQ(Schedule::constant(0.25)(0), 0.25);
  EXPECT_EQ(Schedule::constant(0.25)(1 << 30), 0.25);
  EXPECT_DOUBLE_EQ(Schedule::linear_warmup({.learning_rate = 3, .warmup_steps = 2})(0), 1);
  EXPECT_DOUBLE_EQ(Schedule::linear_warmup({.learning_rate = 3, .warmup_steps = 2})(1), 2);
  EXPECT_EQ(Schedule::linear_warmup({.learning_rate = 3, .warmup_steps = 2})(2), 3);
  EXPECT_EQ(Schedule::linear_warmup({.learning_rate = 3})(0), 3);
  EXPECT_DOUBLE_EQ(Schedule::step_decay({.learning_rate = 8, .every = 2, .gamma = 0.5})(5), 2);
  const Schedule cycle = Schedule::one_cycle({.learning_rate = 1, .steps = 10, .pct_start = 0.5});
  EXPECT_DOUBLE_EQ(cycle(0), 0.04);
  EXPECT_DOUBLE_EQ(cycle(2), 0.52);
  EXPECT_EQ(cycle(4), 1);
  EXPECT_DOUBLE_EQ(cycle(9), 0.04e-4);
  EXPECT_EQ(cycle(10), cycle(9));
  // All of it rises: the last step has the peak.
  const Schedule rise = Schedule::one_cycle({.learning_rate = 1, .steps = 10, .pct_start = 1});
  EXPECT_DOUBLE_EQ(rise(0), 0.04);
  EXPECT_LT(rise(8), 1);
  EXPECT_EQ(rise(9), 1);
  EXPECT_EQ(rise(10), 1);
}

TEST(Schedule, EdgesAreFinite) {
  EXPECT_EQ(Schedule::constant(0.5)(-3), 0.5);
  EXPECT_EQ(Schedule::cosine({.learning_rate = 1, .steps = 4})(-1), 1);
  EXPECT_EQ(Schedule::cosine({.learning_rate = 1, .steps = 4, .warmup_steps = 4, .minimum = 0.5})(4), 0.5);
  EXPECT_EQ(Schedule::one_cycle({.learning_rate = 1, .steps = 9, .pct_start = 0})(0), 1);
  for (const double share : {0.0, 0.01, 0.5, 1.0}) {
    for (const std::int64_t steps : {1, 2, 3, 7}) {
      for (const bool linear : {false, true}) {
        const Schedule s =
            Schedule::one_cycle({.learning_rate = 1, .steps = steps, .pct_start = share, .linear = linear});
        double largest = 0;
        for (std::int64_t t = 0; t < steps + 2; ++t) {
          ASSERT_TRUE(s(t) >= 0 && s(t) <= 1) << share << " " << steps << " " << t;
          largest = std::max(largest, s(t));
        }
        EXPECT_TRUE(steps < 4 || largest > 0.5);
      }
    }
  }
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

TEST(Schedule, RefusesOptionsOutOfRange) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(error_of([] { Schedule::constant(-1); }),
              HasSubstr("Schedule::constant: learning_rate = -1 is not"));
  EXPECT_THAT(error_of([&] { Schedule::constant(nan); }), HasSubstr("learning_rate = nan"));
  EXPECT_THAT(error_of([] { Schedule::constant(1e39); }), HasSubstr("finite"));
  EXPECT_THAT(error_of([] { Schedule::constant(-1); }), HasSubstr("schedule_test.cpp:"));
  EXPECT_THAT(error_of([] { Schedule::linear_warmup({.warmup_steps = -1}); }),
              HasSubstr("warmup_steps = -1"));
  EXPECT_THAT(error_of([] { Schedule::linear_warmup({.start_factor = 2}); }), HasSubstr("start_factor = 2"));
  EXPECT_THAT(error_of([] { Schedule::cosine({}); }), HasSubstr("steps = 0 is less than 1"));
  EXPECT_THAT(error_of([] { Schedule::cosine({.steps = 3, .warmup_steps = 4}); }),
              HasSubstr("warmup_steps = 4"));
  EXPECT_THAT(error_of([] { Schedule::cosine({.steps = 3, .minimum = 1}); }), HasSubstr("minimum = 1"));
  EXPECT_THAT(error_of([&] { Schedule::cosine({.steps = 3, .minimum = nan}); }), HasSubstr("minimum = nan"));
  EXPECT_THAT(error_of([] { Schedule::step_decay({.every = 0}); }), HasSubstr("every = 0"));
  EXPECT_THAT(error_of([] { Schedule::step_decay({.gamma = 1.5}); }), HasSubstr("gamma = 1.5"));
  EXPECT_THAT(error_of([] { Schedule::one_cycle({}); }), HasSubstr("steps = 0"));
  EXPECT_THAT(error_of([] { Schedule::one_cycle({.steps = 5, .pct_start = -0.1}); }),
              HasSubstr("pct_start = -0.1"));
  EXPECT_THAT(error_of([] { Schedule::one_cycle({.steps = 5, .div_factor = 0}); }),
              HasSubstr("div_factor = 0"));
  EXPECT_THAT(error_of([] { Schedule::one_cycle({.steps = 5, .final_div_factor = -2}); }),
              HasSubstr("final_div_factor = -2"));
}

}  // namespace
}  // namespace reel::nn
