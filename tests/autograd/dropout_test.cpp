#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "autograd/autograd.h"

namespace reel {
namespace {

TEST(Dropout, GradientHasTheMaskOfTheValues) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable(std::vector<float>(300, 1.0F), Shape({3, 100}));
  const Tensor y = dropout(x, {.p = 0.25, .seed = 1, .stream = 2, .step = 3});
  tape.backward(sum(y));
  const std::vector<double> values = y.values();
  EXPECT_EQ(values, x.gradient());  // ones in, so both are the factors
  EXPECT_THAT(values, testing::Contains(0.0));
  EXPECT_THAT(values, testing::Contains(static_cast<double>(1.0F / 0.75F)));
}

TEST(Dropout, SameNumbersGiveTheSameMask) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.constant(std::vector<float>(300, 1.0F), Shape({300}));
  const auto mask = [&](DropoutOptions options) { return dropout(x, options).values(); };
  const std::vector<double> first = mask({.p = 0.5, .seed = 1, .stream = 2, .step = 3});
  EXPECT_EQ(first, mask({.p = 0.5, .seed = 1, .stream = 2, .step = 3}));
  EXPECT_NE(first, mask({.p = 0.5, .seed = 2, .stream = 2, .step = 3}));
  EXPECT_NE(first, mask({.p = 0.5, .seed = 1, .stream = 3, .step = 3}));
  EXPECT_NE(first, mask({.p = 0.5, .seed = 1, .stream = 2, .step = 4}));
}

TEST(Dropout, OfNothingReturnsTheValues) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.constant({1, -2, 3.5}, {3});
  EXPECT_THAT(dropout(x, {.p = 0}).values(), testing::ElementsAre(1, -2, 3.5));
}

TEST(Dropout, RefusesWhatIsNoProbability) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.constant({1, 2}, {2});
  for (const double p : {1.0, -0.1, 2.0, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THROW(dropout(x, {.p = p}), ValueError) << p;
  }
  try {
    dropout(x, {.p = 1.5});
    FAIL();
  } catch (const ValueError& e) {
    EXPECT_THAT(std::string(e.what()), testing::HasSubstr("dropout_test.cpp:"));
    EXPECT_THAT(std::string(e.what()), testing::HasSubstr("error: dropout: p = 1.5 is not in [0, 1)"));
  }
}

}  // namespace
}  // namespace reel
