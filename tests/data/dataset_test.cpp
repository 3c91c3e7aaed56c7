#include "data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "data/addition.h"
#include "data/batches.h"
#include "data/digits.h"
#include "data/error.h"
#include "data/file.h"
#include "data/synthetic.h"
#include "data/text.h"

namespace reel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(Split, KeepsTheShareOfEveryClassAndLosesNothing) {
  const Dataset all = iris();
  const Split s = split(all, 0.2, 3);
  EXPECT_EQ(s.train.count, 120);
  EXPECT_EQ(s.test.count, 30);
  for (int c = 0; c < 3; ++c) EXPECT_EQ(std::count(s.test.labels.begin(), s.test.labels.end(), c), 10);
  std::multiset<std::vector<float>> rows;
  for (const Dataset* part : {&s.train, &s.test}) {
    for (std::int64_t i = 0; i < part->count; ++i) {
      rows.emplace(part->inputs.begin() + 4 * i, part->inputs.begin() + 4 * i + 4);
    }
  }
  std::multiset<std::vector<float>> expected;
  for (std::int64_t i = 0; i < all.count; ++i)
    expected.emplace(all.inputs.begin() + 4 * i, all.inputs.begin() + 4 * i + 4);
  EXPECT_EQ(rows, expected);
  EXPECT_EQ(split(all, 0.2, 3).test.inputs, s.test.inputs);
  EXPECT_NE(split(all, 0.2, 4).test.inputs, s.test.inputs);
}

TEST(Split, RefusesAnEmptyPart) {
  EXPECT_THROW(split(iris(), 0, 1), DataError);
  EXPECT_THROW(split(iris(), 1, 1), DataError);
}

TEST(Split, RefusesAShareThatIsNone) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const auto refused = [](double share, const std::string& text) {
    EXPECT_THAT([&] { split(iris(), share, 1); },
                ThrowsMessage<DataError>("iris: there is no test share of " + text +
                                         "; choose a number between 0 and 1"));
  };
  refused(-0.5, "-0.5");
  refused(1.5, "1.5");
  refused(std::numeric_limits<double>::quiet_NaN(), "nan");
  refused(infinity, "inf");
  refused(-infinity, "-inf");
}

TEST(Standardizer, GivesMeanZeroAndDeviationOne) {
  Dataset d = iris();
  const Standardizer s = Standardizer::fit(d);
  s.apply(d);
  for (std::size_t f = 0; f < 4; ++f) {
    double sum = 0, squares = 0;
    for (std::size_t i = f; i < d.inputs.size(); i += 4) {
      sum += static_cast<double>(d.inputs[i]);
      squares += static_cast<double>(d.inputs[i]) * static_cast<double>(d.inputs[i]);
    }
    EXPECT_NEAR(sum / 150, 0, 1e-5);
    EXPECT_NEAR(squares / 150, 1, 1e-5);
  }
  Dataset other = moons();
  EXPECT_THAT([&] { s.apply(other); },
              ThrowsMessage<DataError>(HasSubstr("has 2 features, the model was trained on 4")));
}

TEST(Standardizer, RefusesOtherFeaturesThanItsOwn) {
  Dataset d = iris();
  Standardizer s = Standardizer::fit(d);
  s.deviation.pop_back();
  EXPECT_THAT([&] { s.apply(d); },
              ThrowsMessage<DataError>(HasSubstr("4 means of features, but 3 deviations")));
  s.mean.pop_back();
  EXPECT_THAT([&] { s.apply(d); }, ThrowsMessage<DataError>(HasSubstr("the model was trained on 3")));
  EXPECT_EQ(d.inputs, iris().inputs);
}

TEST(Standardizer, RefusesASetThatHasNothingToMeasure) {
  const Dataset good{
      .name = "mine", .count = 2, .features = 1, .class_names = {}, .inputs = {1, 2}, .labels = {}};
  EXPECT_NO_THROW(Standardizer::fit(good));
  const auto refused = [&](auto change, const std::string& why) {
    Dataset bad = good;
    change(bad);
    EXPECT_THAT([&] { Standardizer::fit(bad); }, ThrowsMessage<DataError>(HasSubstr("mine: " + why)));
  };
  const auto set = [](Dataset& d, std::int64_t count, std::int64_t features, std::size_t inputs) {
    d.count = count;
    d.features = features;
    d.inputs.resize(inputs);
  };
  const std::string nothing =
      "a mean and a deviation need at least one sample of at least one feature; it has ";
  refused([&](Dataset& d) { set(d, 2, 0, 0); }, nothing + "2 samples of 0 features");
  refused([&](Dataset& d) { set(d, 0, 1, 0); }, nothing + "0 samples of 1 features");
  refused([&](Dataset& d) { set(d, 2, 0, 2); }, "2 inputs for 2 samples of 0 features");
  refused([&](Dataset& d) { set(d, 2, 2, 2); }, "2 inputs for 2 samples of 2 features");
  refused([&](Dataset& d) { set(d, -2, 1, 2); }, "-2 samples of 1 features");

  Dataset numbers = good;
  numbers.features = 0;
  EXPECT_THAT([&] { Standardizer{}.apply(numbers); },
              ThrowsMessage<DataError>(HasSubstr("mine: 2 inputs for 2 samples of 0 features")));
}

TEST(Standardizer, LeavesAFeatureThatDoesNotVary) {
  Dataset d;
  d.count = 2;
  d.features = 2;
  d.inputs = {5, 1, 5, 3};
  const Standardizer s = Standardizer::fit(d);
  s.apply(d);
  EXPECT_THAT(d.inputs, ElementsAre(0, -1, 0, 1));
}

TEST(Standardizer, ScalesAFeatureHoweverSmallOrLargeItsNumbersAre) {
  for (const float size : {1e-44F, 1e-30F, 1e-9F, 1.0F, 1e9F, 1e37F}) {
    Dataset d;
    d.count = 4;
    d.features = 1;
    d.inputs = {size, 3 * size, size, 3 * size};
    const Standardizer s = Standardizer::fit(d);
    s.apply(d);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(d.inputs[i], i % 2 == 0 ? -1 : 1, 1e-5) << size;
  }
}

TEST(Standardizer, ScalesNumbersThatLieFurtherApartThanAFloatReaches) {
  Dataset d;
  d.count = 4;
  d.features = 1;
  d.inputs = {3.4e38F, -3.4e38F, 3.4e38F, 3.4e38F};
  const Standardizer s = Standardizer::fit(d);
  s.apply(d);
  const float near = 1 / std::sqrt(3.0F);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(d.inputs[i], i == 1 ? -std::sqrt(3.0F) : near, 1e-5F);
}

TEST(Standardizer, DoesNotBlowUpTheRoundingOfAConstant) {
  Dataset d;
  d.count = 3;
  d.features = 3;
  d.inputs = {0.1F, 1e9F, 0, 0.1F, 1e9F + 64, 0, 0.1F, 1e9F, 0};  // neighbours as floats
  const Standardizer s = Standardizer::fit(d);
  EXPECT_THAT(s.deviation, ElementsAre(1, 1, 1));
}

TEST(Batches, DealOutEverySampleOnceAnEpoch) {
  const Dataset d = iris();
  Batches batches(d, 32, 1);
  ASSERT_EQ(batches.per_epoch(), 5);
  std::map<float, int> seen;
  std::int64_t total = 0;
  for (std::int64_t i = 0; i < 5; ++i) {
    const Batch& b = batches.shuffled(i);
    EXPECT_EQ(b.count, i < 4 ? 32 : 22);
    total += b.count;
    for (std::size_t r = 0; r < static_cast<std::size_t>(b.count); ++r) seen[b.inputs[4 * r]]++;
  }
  EXPECT_EQ(total, 150);
  std::map<float, int> expected;
  for (std::size_t r = 0; r < 150; ++r) expected[d.inputs[4 * r]]++;
  EXPECT_EQ(seen, expected);
}

TEST(Batches, CanBeEnteredAnywhere) {
  const Dataset d = iris();
  Batches walk(d, 32, 1);
  std::vector<std::vector<float>> all;
  for (std::int64_t i = 0; i < 12; ++i) {
    const Batch& b = walk.shuffled(i);
    all.emplace_back(b.inputs.begin(), b.inputs.end());
  }
  EXPECT_NE(all[0], all[5]);  // another epoch, another order
  for (const std::int64_t i : {11, 3, 7, 0}) {
    Batches jump(d, 32, 1);
    const Batch& b = jump.shuffled(i);
    EXPECT_TRUE(std::ranges::equal(b.inputs, all[static_cast<std::size_t>(i)])) << i;
  }
}

TEST(Batches, TheSeedDecidesTheOrder) {
  const Dataset d = iris();
  Batches one(d, 150, 1);
  Batches other(d, 150, 2);
  EXPECT_FALSE(std::ranges::equal(one.shuffled(0).inputs, other.shuffled(0).inputs));
}

TEST(Batches, RefuseASetWhoseSizesDoNotAgree) {
  const Dataset good{.name = "mine",
                     .count = 2,
                     .features = 3,
                     .class_names = {"a", "b"},
                     .inputs = {1, 2, 3, 4, 5, 6},
                     .labels = {0, 1}};
  EXPECT_NO_THROW(Batches(good, 1, 1));
  const auto refused = [&](auto change, const std::string& why) {
    Dataset bad = good;
    change(bad);
    const auto says = [&](auto use) {
      EXPECT_THAT(use, testing::ThrowsMessage<DataError>(testing::HasSubstr("mine: " + why)));
    };
    says([&] { Batches(bad, 1, 1); });
    says([&] { split(bad, 0.5, 1); });
  };
  refused([](Dataset& d) { d.inputs.pop_back(); }, "5 inputs for 2 samples of 3 features");
  refused([](Dataset& d) { d.inputs.resize(9); }, "9 inputs for 2 samples of 3 features");
  refused([](Dataset& d) { d.features = 0; }, "6 inputs for 2 samples of 0 features");
  refused([](Dataset& d) { d.labels.clear(); }, "0 labels for 2 samples");
  refused([](Dataset& d) { d.count = -1; }, "-1 samples");
  refused([](Dataset& d) { d.labels[1] = 2; }, "sample 1 has the label 2");
  refused([](Dataset& d) { d.labels[0] = -1; }, "sample 0 has the label -1");
}

// y = 10 x and -x, for every x once.
Dataset lines() {
  Dataset d{.name = "lines",
            .count = 7,
            .features = 1,
            .class_names = {},
            .inputs = {},
            .labels = {},
            .outputs = 2};
  for (int i = 0; i < 7; ++i) {
    const auto x = static_cast<float>(i);
    d.inputs.push_back(x);
    d.targets.insert(d.targets.end(), {10 * x, -x});
  }
  return d;
}

TEST(Batches, OfARegressionHaveTheTargetsOfTheirInputs) {
  const Dataset d = lines();
  Batches batches(d, 3, 1);
  std::vector<float> seen;
  for (std::int64_t step = 0; step < 6; ++step) {
    const Batch& b = batches.shuffled(step);
    EXPECT_TRUE(b.labels.empty());
    ASSERT_EQ(b.targets.size(), 2 * b.inputs.size());
    for (std::size_t i = 0; i < b.inputs.size(); ++i) {
      EXPECT_EQ(b.targets[2 * i], 10 * b.inputs[i]);
      EXPECT_EQ(b.targets[2 * i + 1], -b.inputs[i]);
      if (step < 3) seen.push_back(b.inputs[i]);
    }
  }
  EXPECT_THAT(seen, testing::UnorderedElementsAre(0, 1, 2, 3, 4, 5, 6));
  EXPECT_THAT(batches.in_order(2).targets, testing::ElementsAre(60, -6));
  const Split parts = split(d, 0.3, 1);
  EXPECT_EQ(parts.train.count, 5);
  EXPECT_EQ(parts.test.count, 2);
  for (const Dataset* part : {&parts.train, &parts.test}) {
    EXPECT_NO_THROW(part->check());
    for (std::size_t i = 0; i < part->inputs.size(); ++i)
      EXPECT_EQ(part->targets[2 * i], 10 * part->inputs[i]);
  }
}

TEST(Batches, RefuseTargetsThatDoNotFit) {
  const auto refused = [](auto change, const std::string& why) {
    Dataset bad = lines();
    change(bad);
    EXPECT_THAT([&] { bad.check(); }, ThrowsMessage<DataError>(HasSubstr("lines: " + why)));
  };
  refused([](Dataset& d) { d.targets.pop_back(); }, "13 targets for 7 samples of 2 outputs");
  refused([](Dataset& d) { d.outputs = 0; }, "14 targets for 7 samples of 0 outputs");
  refused([](Dataset& d) { d.outputs = -2; }, "14 targets for 7 samples of -2 outputs");
  refused([](Dataset& d) { d.outputs = 1; }, "14 targets for 7 samples of 1 outputs");
  refused([](Dataset& d) { d.targets.clear(), d.outputs = 0; }, "0 labels for 7 samples");
  refused([](Dataset& d) { d.labels = {0, 0}; }, "2 labels for 7 samples");
}

TEST(Batches, RefuseASizeThatDoesNotFit) {
  const Dataset d = iris();
  const Batches three(d, 50, 1);
  EXPECT_NO_THROW(three.in_order(2));
  EXPECT_THAT([&] { three.in_order(3); },
              ThrowsMessage<DataError>(HasSubstr("iris: there is no batch 3; there are 3")));
  EXPECT_THROW(three.in_order(-1), DataError);
  EXPECT_THAT([&] { Batches(d, 151, 1); },
              ThrowsMessage<DataError>(HasSubstr("a batch of 151 samples does not fit iris, which has 150")));
  EXPECT_THROW(Batches(d, 0, 1), DataError);
}

TEST(Synthetic, SetsAreSeededAndInterleaveTheirClasses) {
  EXPECT_EQ(spirals({.seed = 4}).inputs, spirals({.seed = 4}).inputs);
  EXPECT_NE(spirals({.seed = 4}).inputs, spirals({.seed = 5}).inputs);
  const Dataset b = blobs({.count = 900, .classes = 3, .noise = 0});
  EXPECT_NEAR(b.inputs[2], -0.5, 1e-6);  // the second class, a third of a turn away
  EXPECT_NEAR(b.inputs[3], std::sqrt(0.75), 1e-6);
  EXPECT_EQ(moons({.count = 7}).classes(), 2);
  EXPECT_EQ(blobs({.count = 30}).inputs, blobs({.count = 30, .noise = 0.2}).inputs);
}

TEST(Synthetic, RefuseWhatIsNoSet) {
  const auto says = [](auto use, const std::string& why) {
    EXPECT_THAT(use, ThrowsMessage<DataError>(HasSubstr(why)));
  };
  says([] { blobs({.count = 2, .classes = 3}); }, "blobs: 2 samples in 3 classes");
  says([] { spirals({.classes = 1}); }, "spirals: 1500 samples in 1 classes");
  says([] { moons({.count = 1}); }, "moons: 1 samples in 2 classes");
  says([] { moons({.noise = -1}); }, "moons: noise is a deviation, a number >= 0, not -1");
  says([] { moons({.noise = std::nan("")}); }, "not nan");
}

// ---- text

TEST(Text, TheFirstNineTenthsTrain) {
  std::string bytes;
  for (int i = 0; i < 100; ++i) bytes += static_cast<char>('a' + i % 7);
  const Text t(bytes, "t", 8);
  EXPECT_EQ(t.train().size(), 90u);
  EXPECT_EQ(t.validation().size(), 10u);
  EXPECT_EQ(t.vocabulary().bytes(), "abcdefg");
}

TEST(Text, TargetsAreTheTokensOneLater) {
  const Text t("the quick brown fox jumps over the lazy dog, and again", "t", 5);
  TokenBatch b;
  t.random_batch(1, 7, 4, b);
  for (std::size_t r = 0; r < 4; ++r) {
    for (std::size_t i = 0; i + 1 < 5; ++i) EXPECT_EQ(b.targets[r * 5 + i], b.tokens[r * 5 + i + 1]);
  }
  TokenBatch again;
  t.random_batch(1, 7, 4, again);
  EXPECT_EQ(again.tokens, b.tokens);
  t.random_batch(1, 8, 4, again);
  EXPECT_NE(again.tokens, b.tokens);
}

TEST(Text, TrainingReachesItsLastTokenAndNoneOfTheValidation) {
  const Text t(std::string(89, 'a') + 'b' + std::string(10, 'c'), "t", 4);
  TokenBatch b;
  t.random_batch(1, 0, 5000, b);
  EXPECT_EQ(std::ranges::count(b.targets, 2), 0);
  EXPECT_GT(std::ranges::count(b.targets, 1), 0);
}

TEST(Text, ValidationPredictsEveryTokenOnceAndSoDoesTheWhole) {
  std::string bytes(400, 'x');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>('a' + i * i % 11);
  const Text t(bytes, "t", 8);
  std::vector<std::int32_t> targets;
  TokenBatch b;
  for (std::int64_t i = 0; t.validation_batch(i, 2, b); ++i)
    targets.insert(targets.end(), b.targets.begin(), b.targets.end());
  EXPECT_TRUE(std::ranges::equal(targets, t.validation().subspan(1)));
  std::string whole;
  for (std::int64_t i = 0; t.whole_batch(i, 3, b); ++i) {
    for (const std::int32_t token : b.targets) whole += t.vocabulary().decode(token);
  }
  EXPECT_EQ(whole, bytes.substr(1));
}

TEST(Text, AVeryLargeBatchHasAllWindowsThatAreWhole) {
  const Text t("abcdefghijklmnopqrst", "t", 3);  // 6 windows, and one of a single token
  constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
  TokenBatch b;
  for (const std::int64_t batch : {std::int64_t{6}, std::int64_t{100}, largest - 1, largest}) {
    ASSERT_TRUE(t.whole_batch(0, batch, b)) << batch;
    EXPECT_EQ(b.batch, 6);
    ASSERT_TRUE(t.whole_batch(1, batch, b)) << batch;
    EXPECT_EQ(b.batch, 1);
    EXPECT_EQ(b.time, 1);
    EXPECT_FALSE(t.whole_batch(2, batch, b)) << batch;
    EXPECT_FALSE(t.whole_batch(largest, batch, b)) << batch;
  }
}

TEST(Text, RefusesABatchThatNoMemoryHolds) {
  const Text t("abcdefghijklmnopqrst", "t", 4);
  TokenBatch b;
  // 2^62 windows of 4 tokens are none if they are counted in 64 bits.
  EXPECT_THAT([&] { t.random_batch(1, 0, std::int64_t{1} << 62, b); },
              ThrowsMessage<DataError>(HasSubstr("a batch of 4611686018427387904 windows of a text")));
  EXPECT_THROW(t.random_batch(1, 0, std::int64_t{1} << 60, b), DataError);
  t.random_batch(1, std::numeric_limits<std::int64_t>::max(), 2, b);
  EXPECT_EQ(b.batch, 2);
}

TEST(Text, NeedsOneByteMoreThanTheContext) {
  EXPECT_THAT([] { Text("abcdefgh", "t", 8); },
              ThrowsMessage<DataError>(HasSubstr("has 8 bytes; a context of 8 needs 9")));
  EXPECT_THAT([] { Text("", "t", 8); }, ThrowsMessage<DataError>(HasSubstr("has 0 bytes")));
  const Text exact("abcdefghi", "t", 8);
  TokenBatch b;
  exact.random_batch(1, 0, 3, b);
  EXPECT_EQ(b.tokens[0], 0);
  EXPECT_TRUE(exact.validation_batch(0, 4, b));
}

TEST(Text, RefusesAContextOrABatchOfNothing) {
  for (const std::int64_t context : {std::int64_t{0}, std::int64_t{-1}}) {
    EXPECT_THAT([&] { Text("abcdefgh", "t", context); },
                ThrowsMessage<DataError>(HasSubstr("t: a context of " + std::to_string(context) + " bytes")));
  }
  const Text t("abcdefgh", "t", 2);
  TokenBatch out;
  for (const std::int64_t batch : {std::int64_t{0}, std::int64_t{-1}}) {
    const auto refused = ThrowsMessage<DataError>(HasSubstr("a batch of " + std::to_string(batch)));
    EXPECT_THAT([&] { t.random_batch(1, 0, batch, out); }, refused);
    EXPECT_THAT([&] { t.validation_batch(0, batch, out); }, refused);
    EXPECT_THAT([&] { t.whole_batch(0, batch, out); }, refused);
  }
  EXPECT_THAT([&] { t.whole_batch(-1, 1, out); }, ThrowsMessage<DataError>(HasSubstr("no batch -1")));
}

TEST(Text, NulIsAByteLikeAnyOther) {
  const Text t(std::string("ab\0cd\0efgh", 10), "t", 8);
  EXPECT_EQ(t.vocabulary().size(), 9);
}

TEST(Text, IsReadWithTheBytesThatAModelKnows) {
  const Vocabulary known("abc");
  const Text text("cacacaca", "t", 2, known);
  EXPECT_EQ(text.vocabulary().bytes(), "abc");
  EXPECT_EQ(text.train()[0], 2);
  EXPECT_EQ(text.train()[1], 0);
  EXPECT_THAT([&] { Text("cacaca\x01z", "t", 2, known); },
              ThrowsMessage<DataError>(HasSubstr("t: byte 0x01 at position 6 never occurs")));
}

TEST(Vocabulary, AnUnknownByteIsNamed) {
  const Vocabulary v("abc");
  EXPECT_EQ(v.encode("cab", "prompt"), (std::vector<std::int32_t>{2, 0, 1}));
  EXPECT_THAT([&] { v.encode("abz", "prompt"); },
              ThrowsMessage<DataError>(HasSubstr("prompt: 'z' at position 2 never occurs")));
  EXPECT_THAT([&] { v.encode("a\xC3", "prompt"); },
              ThrowsMessage<DataError>(HasSubstr("byte 0xc3 at position 1")));
  EXPECT_THROW(Vocabulary("aa"), DataError);
  EXPECT_THROW(Vocabulary(""), DataError);
}

// ---- sums

TEST(Addition, SumsAreRightAndHeldOutPairsAreNeverTrainedOn) {
  TokenBatch b;
  for (std::int64_t i = 0; i < 50; ++i) {
    Addition::training_batch(3, i, 64, b);
    for (std::size_t r = 0; r < 64; ++r) {
      const auto* t = b.tokens.data() + r * Addition::context;
      const std::int64_t x = 100 * t[0] + 10 * t[1] + t[2];
      const std::int64_t y = 100 * t[4] + 10 * t[5] + t[6];
      EXPECT_FALSE(Addition::held_out(x, y));
      EXPECT_FALSE(Addition::held_out(y, x));
      const auto* answer = b.targets.data() + r * Addition::context + Addition::prompt_length - 1;
      EXPECT_EQ(Addition::number({answer, 4}), x + y);
      EXPECT_EQ(b.targets[r * Addition::context], Addition::ignored);
    }
  }
}

TEST(Addition, EveryHeldOutPairIsOnTheListOnce) {
  TokenBatch b;
  std::set<std::pair<std::int64_t, std::int64_t>> seen;
  const auto see = [&](std::int64_t first, std::int64_t count) {
    Addition::held_out_batch(first, count, b);
    for (std::size_t r = 0; r < static_cast<std::size_t>(count); ++r) {
      const auto* t = b.tokens.data() + r * Addition::context;
      const std::int64_t x = 100 * t[0] + 10 * t[1] + t[2];
      const std::int64_t y = 100 * t[4] + 10 * t[5] + t[6];
      EXPECT_TRUE(Addition::held_out(x, y));
      EXPECT_TRUE(seen.emplace(x, y).second) << x << "+" << y << " is there twice";
    }
  };
  see(0, 900);
  const auto small = [](const auto& pair) {
    return std::min(pair.first, pair.second) < 10 || std::max(pair.first, pair.second) < 100;
  };
  EXPECT_EQ(std::count_if(seen.begin(), seen.end(), small), 292);
  see(900, 9069);
  for (std::int64_t x = 0; x < 1000; x += 3) {
    for (std::int64_t y = 0; y < 1000; y += 7) EXPECT_EQ(Addition::held_out(x, y), seen.contains({x, y}));
  }
  EXPECT_THAT([&] { Addition::held_out_batch(9000, 970, b); },
              ThrowsMessage<DataError>(HasSubstr("970 held-out sums from number 9000 on; there are 9969")));
  EXPECT_THROW(Addition::held_out_batch(-1, 1, b), DataError);
}

TEST(Addition, OnePairInAHundredIsHeldOut) {
  int held = 0;
  for (std::int64_t a = 0; a < 1000; a += 3) {
    for (std::int64_t b = 0; b < 1000; b += 7) held += Addition::held_out(a, b) ? 1 : 0;
  }
  EXPECT_NEAR(held, 334 * 143 / 100, 80);
}

TEST(Addition, PromptsReadNormally) {
  EXPECT_EQ(Addition::parse("47+385=").a, 47);
  EXPECT_EQ(Addition::parse(" 47 + 385 ").b, 385);
  for (const char* bad :
       {"", "=", "+", "4+", "+4=", "1+2+3=", "1000+1=", "12", "a+1=", "1-2=", "99999999999999999999+1="}) {
    EXPECT_THROW(Addition::parse(bad), DataError) << bad;
  }
}

TEST(Addition, TokensOfNoPromptAndOfNoAnswerAreRefused) {
  EXPECT_EQ(Addition::prompt_tokens({999, 0}), (std::vector<std::int32_t>{9, 9, 9, 10, 0, 0, 0, 11}));
  for (const auto& [a, b] : {std::pair{1234, 5}, {1000, 0}, {5, 1000}, {-7, 5}, {5, -1}}) {
    const auto refused = ThrowsMessage<DataError>(
        HasSubstr("addition: " + std::to_string(a) + " + " + std::to_string(b) + " is no sum"));
    EXPECT_THAT(([a = a, b = b] { Addition::prompt_tokens({a, b}); }), refused);
    EXPECT_THAT(([a = a, b = b] { Addition::held_out(a, b); }), refused);
  }
  using Tokens = std::vector<std::int32_t>;
  EXPECT_EQ(Addition::number(Tokens{2, 3, 4, 0}), 432);
  EXPECT_EQ(Addition::number(Tokens{0}), 0);
  for (const Tokens& none :
       {Tokens{0, -9}, Tokens{-1, 2, 3, 4}, Tokens{1, 2, 3, 10}, Tokens{}, Tokens(30, 9)}) {
    EXPECT_EQ(Addition::number(none), std::nullopt);
  }
}

TEST(Addition, ABatchOfNothingIsRefused) {
  TokenBatch out;
  constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
  const auto refused = [&](std::int64_t index, std::int64_t batch, const std::string& why) {
    EXPECT_THAT([&] { Addition::training_batch(1, index, batch, out); },
                ThrowsMessage<DataError>(HasSubstr("addition: " + why)));
  };
  refused(0, 0, "a batch of 0 sums");
  refused(0, -1, "a batch of -1 sums");
  refused(-1, 1, "there is no batch -1");
  refused(0, largest / 16, "a batch of 576460752303423487 sums is more than memory");
  refused(largest, 2, "there is no batch 9223372036854775807");  // the pairs of all are counted
}

// ---- files

class Files : public testing::Test {
 protected:
  Files()
      : folder(std::filesystem::temp_directory_path() / ("reel_files_test_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder);
  }
  ~Files() override { std::filesystem::remove_all(folder); }
  std::filesystem::path folder;
};

TEST_F(Files, AreReadWhole) {
  const auto path = folder / "name with spaces \xC3\xA4\n.bin";
  std::ofstream(path, std::ios::binary) << std::string("a\0b", 3);
  EXPECT_EQ(read_file(path), std::string("a\0b", 3));
}

TEST_F(Files, ThatCannotBeReadAreNamedWithTheReason) {
  EXPECT_THAT([&] { read_file(folder / "missing"); }, ThrowsMessage<IoError>(HasSubstr("No such file")));
  EXPECT_THAT([&] { read_file(folder); }, ThrowsMessage<IoError>(HasSubstr("is a directory")));
  EXPECT_THAT([] { read_file("/dev/zero"); }, ThrowsMessage<IoError>(HasSubstr("not a regular file")));
  const auto pipe = folder / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT([&] { read_file(pipe); }, ThrowsMessage<IoError>(HasSubstr("not a regular file")));
  std::filesystem::create_symlink(folder / "loop", folder / "loop");
  EXPECT_THAT([&] { read_file(folder / "loop"); }, ThrowsMessage<IoError>(HasSubstr("symbolic links")));
}

}  // namespace
}  // namespace reel::data
