#include "nn/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "autograd/error.h"
#include "tests/support/count_allocations.h"

namespace reel::nn {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr float inf = std::numeric_limits<float>::infinity();

TEST(Sampler, AtTemperatureZeroTakesTheFirstLargest) {
  Sampler sampler({.temperature = 0});
  const float logits[] = {-1, 3, 2, 3};
  for (std::uint64_t position = 0; position < 20; ++position) EXPECT_EQ(sampler(logits, position), 1);
  EXPECT_THAT(sampler.probabilities(), ElementsAre(0, 1, 0, 0));
}

TEST(Sampler, ChoosesAsOftenAsTheProbabilitiesSay) {
  const float logits[] = {0, 1, -2, 3, 2.5F};
  for (const double temperature : {0.5, 1.0, 3.0}) {
    Sampler sampler({.temperature = temperature});
    double total = 0;
    for (const float z : logits) total += std::exp(static_cast<double>(z) / temperature);
    std::vector<double> counts(5);
    constexpr int draws = 40000;
    for (std::uint64_t i = 0; i < draws; ++i) ++counts[static_cast<std::size_t>(sampler(logits, i))];
    for (std::size_t k = 0; k < 5; ++k) {
      const double p = std::exp(static_cast<double>(logits[k]) / temperature) / total;
      EXPECT_NEAR(sampler.probabilities()[k], p, 1e-15);
      EXPECT_NEAR(counts[k] / draws, p, 4.5 * std::sqrt(p * (1 - p) / draws)) << temperature << " " << k;
    }
  }
}

TEST(Sampler, TheChoiceFollowsFromSeedAndPosition) {
  const float logits[] = {0, 0, 0, 0, 0, 0, 0, 0};
  Sampler a({.seed = 1}), b({.seed = 1}), c({.seed = 2});
  std::vector<std::int32_t> forward, backward, other;
  for (std::uint64_t i = 0; i < 40; ++i) {
    forward.push_back(a(logits, i));
    backward.push_back(b(logits, 39 - i));
    other.push_back(c(logits, i));
  }
  std::reverse(backward.begin(), backward.end());
  EXPECT_EQ(forward, backward);
  EXPECT_NE(forward, other);
}

TEST(Sampler, TopKKeepsTheLargestAndOfEqualsTheFirst) {
  const float logits[] = {1, 2, 2, 0, 2};
  Sampler sampler({.top_k = 2});
  for (std::uint64_t i = 0; i < 200; ++i) EXPECT_THAT(sampler(logits, i), testing::AnyOf(1, 2));
  EXPECT_THAT(sampler.probabilities(), ElementsAre(0, 0.5, 0.5, 0, 0));
  Sampler all({.top_k = 99});
  all(logits, 0);
  EXPECT_EQ(std::count(all.probabilities().begin(), all.probabilities().end(), 0.0), 0);
  Sampler one({.temperature = 5, .top_k = 1});
  for (std::uint64_t i = 0; i < 50; ++i) EXPECT_EQ(one(logits, i), 1);
}

TEST(Sampler, TopPKeepsTheFewestThatHaveTheProbabilityTogether) {
  const float logits[] = {std::log(0.1F), std::log(0.5F), std::log(0.3F), std::log(0.1F)};
  const auto kept = [&](double top_p) {
    Sampler sampler({.top_p = top_p});
    for (std::uint64_t i = 0; i < 50; ++i) {
      const auto chosen = static_cast<std::size_t>(sampler(logits, i));
      EXPECT_GT(sampler.probabilities()[chosen], 0);
    }
    return 4 - std::count(sampler.probabilities().begin(), sampler.probabilities().end(), 0.0);
  };
  EXPECT_EQ(kept(1e-9), 1);
  EXPECT_EQ(kept(0.45), 1);
  EXPECT_EQ(kept(0.55), 2);
  EXPECT_EQ(kept(0.75), 2);
  EXPECT_EQ(kept(0.85), 3);
  EXPECT_EQ(kept(0.95), 4);
  EXPECT_EQ(kept(1), 4);
  Sampler sampler({.top_p = 0.6});
  sampler(logits, 0);
  EXPECT_NEAR(sampler.probabilities()[1], 0.625, 1e-7);  // 0.5 of the 0.8 that are left
}

TEST(Sampler, TopPCountsWhatTopKLeft) {
  const float logits[] = {std::log(0.4F), std::log(0.3F), std::log(0.2F), std::log(0.1F)};
  Sampler sampler({.top_k = 2, .top_p = 0.55});
  sampler(logits, 0);
  EXPECT_THAT(sampler.probabilities(), ElementsAre(1, 0, 0, 0));  // 0.4 / 0.7 > 0.55
}

TEST(Sampler, StaysFiniteAtEveryTemperatureAndSize) {
  const std::vector<std::vector<float>> rows = {
      {1, 2, 3}, {-1e38F, 1e38F, 0}, {-inf, 0, -inf}, {3e38F, -3e38F, -inf}, {1e-45F, 0, 0}, {7}};
  for (const double temperature : {5e-324, 1e-300, 1e-9, 1.0, 1e9, 1e300, 1.7e308}) {
    for (const auto& logits : rows) {
      Sampler sampler({.temperature = temperature});
      for (std::uint64_t i = 0; i < 20; ++i) {
        const auto chosen = static_cast<std::size_t>(sampler(logits, i));
        ASSERT_LT(chosen, logits.size());
        EXPECT_NE(logits[chosen], -inf);
      }
      const auto& p = sampler.probabilities();
      EXPECT_NEAR(std::accumulate(p.begin(), p.end(), 0.0), 1, 1e-15);
    }
  }
  Sampler cold({.temperature = 1e-300});
  Sampler hot({.temperature = 1e300});
  cold(rows[0], 0);
  hot(rows[0], 0);
  EXPECT_THAT(cold.probabilities(), ElementsAre(0, 0, 1));
  EXPECT_THAT(hot.probabilities(), testing::Each(testing::DoubleEq(1.0 / 3)));
}

TEST(Sampler, RefusesLogitsItCannotChooseFrom) {
  for (const double temperature : {0.0, 1.0}) {
    Sampler sampler({.temperature = temperature});
    const float nothing[] = {-inf, -inf}, nan[] = {0, std::nanf("")}, infinite[] = {5, inf};
    EXPECT_THAT([&] { sampler(nothing, 0); }, ThrowsMessage<ValueError>(HasSubstr("larger than -inf")));
    EXPECT_THAT([&] { sampler({}, 0); }, ThrowsMessage<ValueError>(HasSubstr("larger than -inf")));
    EXPECT_THAT([&] { sampler(nan, 0); },
                ThrowsMessage<ValueError>(AllOf(HasSubstr("sampler_test.cpp:"), HasSubstr("NaN"))));
    EXPECT_EQ(sampler(infinite, 0), 1);
  }
}

TEST(Sampler, RefusesOptionsOutOfTheirRange) {
  const auto with = [](SamplerOptions options) { return [options] { Sampler sampler(options); }; };
  const double nan = std::nan("");
  for (const double temperature : {-0.5, nan, static_cast<double>(inf)}) {
    EXPECT_THAT(with({.temperature = temperature}),
                ThrowsMessage<ValueError>(
                    AllOf(HasSubstr("sampler_test.cpp:"), HasSubstr("sampler: temperature = "))));
  }
  EXPECT_THAT(with({.top_k = -1}),
              ThrowsMessage<ValueError>(HasSubstr("sampler: top_k = -1 is less than 0")));
  for (const double top_p : {0.0, -1.0, 1.5, nan}) {
    EXPECT_THAT(with({.top_p = top_p}), ThrowsMessage<ValueError>(HasSubstr("is not in (0, 1]")));
  }
}

TEST(Sampler, AsksForMemoryOnce) {
  std::vector<float> logits(300);
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = std::sin(static_cast<float>(i));
  Sampler sampler({.top_k = 50, .top_p = 0.9});
  sampler(logits, 0);
  const std::size_t before = support::allocations();
  sampler(logits, 1);
  EXPECT_EQ(support::allocations(), before);
}

}  // namespace
}  // namespace reel::nn
