#include "nn/gpt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ostream>
#include <string>
#include <utility>

#include "autograd/autograd.h"
#include "kernels/parallel.h"
#include "nn/optimizer.h"
#include "tests/support/count_allocations.h"

namespace reel::nn {

// Or GoogleTest prints its bytes, also those between the fields that nobody set.
void PrintTo(const GptConfig& c, std::ostream* out) {
  *out << (c.rotary ? "rotary" : "learned") << " positions, " << (c.swiglu ? "swiglu" : "gelu") << ", "
       << (c.bias ? "biases" : "no biases") << ", " << (c.tie_head ? "tied head" : "own head");
}

namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr GptConfig plain{.vocabulary = 13, .context = 40, .layers = 2, .heads = 3, .width = 24};
constexpr GptConfig modern{.vocabulary = 13,
                           .context = 40,
                           .layers = 2,
                           .heads = 3,
                           .width = 24,
                           .bias = false,
                           .tie_head = false,
                           .rotary = true,
                           .swiglu = true};

std::vector<std::int32_t> some_tokens(std::int64_t count, std::int64_t vocabulary = 13) {
  std::vector<std::int32_t> tokens;
  for (std::int64_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<std::int32_t>((i * i + 3 * i + i / 7) % vocabulary));
  return tokens;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

// Weights as large as those of a trained model, so that every part of the sum shows.
void enlarge(Gpt& model, double deviation = 0.4) {
  for (std::size_t i = 0; i < model.parameters().count(); ++i)
    init::normal(Parameter(model.parameters(), i), Seed{5}, 0.1, deviation);
}

// Sets the number of threads, and the one before at the end.
class Threads {
 public:
  explicit Threads(int count) : before_(kernels::threads()) { kernels::set_threads(count); }
  ~Threads() { kernels::set_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

TEST(Gpt, NamesAndShapesAreGpt2s) {
  Gpt model(Seed{1}, {.vocabulary = 7, .context = 5, .layers = 1, .heads = 2, .width = 4});
  std::vector<std::string> all;
  for (const auto& e : model.parameters().entries()) all.push_back(e.name + " " + to_string(e.shape));
  EXPECT_THAT(all, testing::UnorderedElementsAre(
                       "transformer.wte.weight [7, 4]", "transformer.wpe.weight [5, 4]",
                       "transformer.h.0.ln_1.weight [4]", "transformer.h.0.ln_1.bias [4]",
                       "transformer.h.0.attn.c_attn.weight [12, 4]", "transformer.h.0.attn.c_attn.bias [12]",
                       "transformer.h.0.attn.c_proj.weight [4, 4]", "transformer.h.0.attn.c_proj.bias [4]",
                       "transformer.h.0.ln_2.weight [4]", "transformer.h.0.ln_2.bias [4]",
                       "transformer.h.0.mlp.c_fc.weight [16, 4]", "transformer.h.0.mlp.c_fc.bias [16]",
                       "transformer.h.0.mlp.c_proj.weight [4, 16]", "transformer.h.0.mlp.c_proj.bias [4]",
                       "transformer.ln_f.weight [4]", "transformer.ln_f.bias [4]"));
}

// Fine-tuning: the last block learns, and what is frozen has no gradients.
TEST(Gpt, TrainsOneBlockOfItAlone) {
  Gpt model(Seed{1}, {.vocabulary = 7, .context = 5, .layers = 2, .heads = 2, .width = 4});
  model.requires_grad(false);
  model.block(1).requires_grad(true);
  const std::vector<float> wte(model.wte().weight.values().begin(), model.wte().weight.values().end());
  const std::vector<float> first(model.block(0).mlp.c_fc.weight.values().begin(),
                                 model.block(0).mlp.c_fc.weight.values().end());
  AdamW adam(model.block(1));
  Tape tape;
  const auto step = tape.record();
  tape.backward(cross_entropy(reshape(model(tape, {1, 2, 3}, 1, 3), {3, 7}), {2, 3, 4}));
  const float before = model.block(1).mlp.c_fc.weight.values()[0];
  adam.step();
  EXPECT_NE(model.block(1).mlp.c_fc.weight.values()[0], before);
  EXPECT_TRUE(same_bits(model.wte().weight.values(), wte));
  EXPECT_TRUE(same_bits(model.block(0).mlp.c_fc.weight.values(), first));
}

TEST(Gpt, StartsAsGpt2Does) {
  const Gpt model(Seed{1}, {.vocabulary = 100, .context = 64, .layers = 3, .heads = 4, .width = 96});
  for (std::size_t i = 0; i < model.parameters().count(); ++i) {
    const auto& entry = model.parameters().entry(i);
    const std::span<const float> values = model.parameters().values(i);
    double squares = 0;
    for (const float v : values) squares += static_cast<double>(v) * static_cast<double>(v);
    const double size = std::sqrt(squares / static_cast<double>(values.size()));
    if (entry.name.ends_with(".bias")) {
      EXPECT_EQ(size, 0) << entry.name;
    } else if (entry.shape.rank() == 1) {
      EXPECT_EQ(size, 1) << entry.name;
    } else {
      const double want = entry.name.ends_with("c_proj.weight") ? 0.02 / std::sqrt(6.0) : 0.02;
      EXPECT_NEAR(size, want, want / 20) << entry.name;
    }
  }
}

TEST(Gpt, StartsWithTheLossOfAGuess) {
  const Gpt model(Seed{1}, plain);
  Tape tape;
  const auto step = tape.inference();
  const auto tokens = some_tokens(81);
  const Tensor logits = model(tape, std::span(tokens).first(80), 2, 40);
  EXPECT_NEAR(cross_entropy(logits, std::span(tokens).last(80)).item(), std::log(13.0), 0.05);
}

TEST(Gpt, RefusesSizesThatDoNotFit) {
  const auto with = [](auto change) {
    return [change] {
      GptConfig c = plain;
      change(c);
      Gpt model(Seed{1}, c);
    };
  };
  const auto says = [](const std::string& text) {
    return ThrowsMessage<ValueError>(testing::AllOf(HasSubstr("gpt_test.cpp:"), HasSubstr(text)));
  };
  EXPECT_THAT(with([](GptConfig& c) { c.heads = 5; }),
              says("error: gpt: 5 heads do not divide the width 24\n"
                   "    help     with these heads, a width of 20 or 25 would do"));
  EXPECT_THAT(with([](GptConfig& c) { c.heads = 25; }), says("with these heads, a width of 25 would do"));
  EXPECT_THAT(with([](GptConfig& c) { c.rotary = true, c.heads = 8; }),
              says("a head has 3\n    help     with 8 heads, a width of 32 would do"));
  EXPECT_THAT(with([](GptConfig& c) { c.context = 0; }), says("gpt: context = 0 is less than 1"));
  EXPECT_THAT(with([](GptConfig& c) { c.layers = -1; }), says("gpt: layers = -1 is less than 1"));
  EXPECT_THAT(with([](GptConfig& c) { c.vocabulary = 0; }), says("gpt: vocabulary = 0 is less than 1"));
  EXPECT_THAT(with([](GptConfig& c) { c.heads = 0; }), says("gpt: heads = 0 is less than 1"));
  EXPECT_THAT(with([](GptConfig& c) { c.width = 0; }), says("gpt: width = 0 is less than 1"));
  EXPECT_THAT(with([](GptConfig& c) { c.dropout = 1; }), says("gpt: dropout = 1 is not in [0, 1)"));
  GptConfig config = plain;
  config.context = 0;
  EXPECT_THAT([&] { KeyValueCache cache(config); }, says("context = 0"));
}

TEST(Gpt, RefusesTokensThatDoNotFitAndNamesTheLine) {
  const Gpt model(Seed{1}, plain);
  Tape tape;
  const auto step = tape.inference();
  const auto tokens = some_tokens(41);
  const auto here = HasSubstr("gpt_test.cpp:");
  EXPECT_THAT([&] { model(tape, tokens, 1, 41); },
              ThrowsMessage<ValueError>(testing::AllOf(here, HasSubstr("41 tokens, the context is 40"))));
  EXPECT_THAT([&] { model(tape, {}, 1, 0); }, ThrowsMessage<ValueError>(here));
  EXPECT_THAT([&] { model(tape, tokens, 3, 10); },
              ThrowsMessage<ShapeError>(testing::AllOf(here, HasSubstr("41 tokens do not fill"))));
  const std::int32_t wrong[] = {1, 13};
  EXPECT_THAT([&] { model(tape, wrong, 1, 2); },
              ThrowsMessage<ValueError>(testing::AllOf(here, HasSubstr("token 13 at position 1"))));
}

TEST(Gpt, RecordsOnTheTapeThatItIsGiven) {
  const Gpt model(Seed{1}, plain);
  Tape proof(Precision::f64);
  Tape other;
  const auto outer = proof.record();
  const auto inner = other.record();
  const std::int32_t token[] = {3};
  EXPECT_EQ(model(proof, token, 1, 1).precision(), Precision::f64);
}

class GptOfEveryKind : public testing::TestWithParam<GptConfig> {
 protected:
  GptOfEveryKind() : model(Seed{3}, GetParam()) {
    enlarge(model);
    model.eval();
  }
  Gpt model;
  Tape tape;
};

TEST_P(GptOfEveryKind, ItsGradientsAreProvenInDoublePrecision) {
  GptConfig small = GetParam();
  small.vocabulary = 5, small.context = 4, small.layers = 1, small.heads = 2, small.width = 8;
  small.dropout = 0.3;
  Gpt net(Seed{3}, small);
  enlarge(net, 0.2);
  net.set_step(7);
  const auto tokens = some_tokens(8, 5);
  // A small step: the norms of a narrow model bend so strongly that the usual one shows it.
  const auto loss = [&](Tape& on) {
    return cross_entropy(net(on, tokens, 2, 4), std::vector<std::int32_t>{0, 1, 2, 3, 4, 3, 2, 1});
  };
  const auto report = gradcheck(net.parameters(), loss, {.step = 2e-4});
  EXPECT_TRUE(report) << report.message;
}

TEST_P(GptOfEveryKind, StepByStepGivesTheBitsOfTheWholePass) {
  const auto tokens = some_tokens(40);
  std::vector<float> whole;
  {
    const auto step = tape.inference();
    const Tensor logits = model(tape, tokens, 1, 40);
    whole.assign(logits.data().begin(), logits.data().end());
  }
  KeyValueCache cache(model.config());
  for (int round = 0; round < 2; ++round) {
    for (std::size_t t = 0; t < 40; ++t) {
      const auto step = tape.inference();
      const std::span<const float> row = std::span(whole).subspan(t * 13, 13);
      EXPECT_TRUE(same_bits(model.next(tape, tokens[t], cache).data(), row)) << "token " << t;
    }
    EXPECT_EQ(cache.length, 40);
    cache.clear();
  }
}

TEST_P(GptOfEveryKind, APrefixGivesTheBitsOfTheWholePass) {
  const auto tokens = some_tokens(40);
  const auto step = tape.inference();
  const Tensor whole = model(tape, tokens, 1, 40);
  for (const std::size_t time : {1U, 2U, 7U, 16U, 33U}) {
    const Tensor part = model(tape, std::span(tokens).first(time), 1, static_cast<std::int64_t>(time));
    EXPECT_TRUE(same_bits(part.data(), whole.data().first(time * 13))) << time;
  }
}

TEST_P(GptOfEveryKind, NoTokenSeesALaterOneAndNoRowOfTheBatchAnother) {
  auto tokens = some_tokens(30);
  const auto step = tape.inference();
  const Tensor before = model(tape, tokens, 3, 10);
  tokens[16] = (tokens[16] + 1) % 13;  // row 1, position 6
  const Tensor after = model(tape, tokens, 3, 10);
  EXPECT_TRUE(same_bits(before.data().first(std::size_t{16} * 13), after.data().first(std::size_t{16} * 13)));
  EXPECT_TRUE(
      same_bits(before.data().subspan(std::size_t{20} * 13), after.data().subspan(std::size_t{20} * 13)));
  for (std::size_t t = 16; t < 20; ++t) {
    EXPECT_FALSE(same_bits(before.data().subspan(t * 13, 13), after.data().subspan(t * 13, 13))) << t;
  }
}

TEST_P(GptOfEveryKind, PositionMatters) {
  const auto step = tape.inference();
  const std::int32_t there[] = {1, 2, 3}, back[] = {2, 1, 3};
  EXPECT_FALSE(same_bits(model(tape, there, 1, 3).data().last(13), model(tape, back, 1, 3).data().last(13)));
}

TEST_P(GptOfEveryKind, HasTheSameBitsWithAnyNumberOfThreads) {
  const auto tokens = some_tokens(80);
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 2, 3, 5}) {
    const Threads with(threads);
    const auto step = tape.record();
    model.parameters().zero_grad();
    tape.backward(cross_entropy(model(tape, tokens, 2, 40), tokens));
    const float* all = model.parameters().gradients();
    results.emplace_back(all, all + model.parameters().length());
  }
  for (const auto& result : results) EXPECT_TRUE(same_bits(result, results.front()));
}

TEST_P(GptOfEveryKind, AttentionMapsAreWeightsOfEarlierTokens) {
  const auto tokens = some_tokens(12);
  const auto step = tape.inference();
  const auto maps = model.attention_maps(tape, tokens, 2, 6);
  ASSERT_EQ(maps.size(), 2u);
  for (const Tensor& map : maps) {
    ASSERT_EQ(map.shape(), (Shape{2, 3, 6, 6}));
    for (std::size_t row = 0; row < 36; ++row) {
      const auto weights = map.data().subspan(row * 6, 6);
      double total = 0;
      for (std::size_t key = 0; key < 6; ++key) {
        total += static_cast<double>(weights[key]);
        if (key > row % 6) {
          EXPECT_EQ(weights[key], 0);
        }
      }
      EXPECT_NEAR(total, 1, 1e-6);
    }
  }
}

TEST_P(GptOfEveryKind, LearnsABatchByHeartWithoutAskingForMemory) {
  const Threads one(1);  // a helper asks for its buffers when it first takes part, which may be late
  Gpt net(Seed{3}, GetParam());
  AdamW adam(net, {.learning_rate = 3e-3});
  const auto tokens = some_tokens(64);
  std::vector<std::int32_t> labels(tokens.begin() + 1, tokens.end());
  labels.push_back(0);
  double loss = 0;
  std::size_t before = 0;
  for (int i = 0; i < 300; ++i) {
    if (i == 3) before = support::allocations();
    const auto step = tape.record();
    const Tensor l = cross_entropy(net(tape, tokens, 2, 32), labels);
    tape.backward(l);
    loss = l.item();
    adam.step();
  }
  EXPECT_EQ(support::allocations(), before);
  EXPECT_LT(loss, 0.02);
}

TEST_P(GptOfEveryKind, TwoHalvesOfABatchGiveTheGradientOfTheWhole) {
  const auto tokens = some_tokens(80), labels = some_tokens(81);
  const auto add_gradient = [&](std::size_t first, std::size_t count, double weight) {
    const auto step = tape.record();
    const Tensor logits =
        model(tape, std::span(tokens).subspan(first, count), static_cast<std::int64_t>(count) / 20, 20);
    tape.backward(cross_entropy(logits, std::span(labels).subspan(first + 1, count)) * weight);
  };
  const auto gradients = [&] {
    const float* all = model.parameters().gradients();
    return std::vector<float>(all, all + model.parameters().length());
  };
  add_gradient(0, 80, 1);
  const auto whole = gradients();
  model.parameters().zero_grad();
  add_gradient(0, 40, 0.5);
  add_gradient(40, 40, 0.5);
  const auto halves = gradients();
  for (std::size_t i = 0; i < model.parameters().count(); ++i) {
    const auto begin = static_cast<std::size_t>(model.parameters().entry(i).offset);
    float largest = 0, difference = 0;
    for (std::size_t k = begin; k < begin + model.parameters().values(i).size(); ++k) {
      largest = std::max(largest, std::fabs(whole[k]));
      difference = std::max(difference, std::fabs(whole[k] - halves[k]));
    }
    EXPECT_GT(largest, 0);
    EXPECT_LE(difference, 1e-6F * largest) << model.parameters().entry(i).name;
  }
}

TEST_P(GptOfEveryKind, LearnsWithDropoutToo) {
  GptConfig config = GetParam();
  config.dropout = 0.1;
  Gpt net(Seed{3}, config);
  AdamW adam(net, {.learning_rate = 3e-3});
  const auto tokens = some_tokens(41);
  const auto loss = [&] {
    return cross_entropy(net(tape, std::span(tokens).first(40), 1, 40), std::span(tokens).last(40));
  };
  for (std::uint64_t i = 0; i < 200; ++i) {
    net.set_step(i);
    const auto step = tape.record();
    tape.backward(loss());
    adam.step();
  }
  const auto step = tape.inference();
  const double dropping = loss().item();
  net.eval();
  const double once = loss().item();
  EXPECT_LT(once, 0.3);
  EXPECT_LT(once, dropping);
  EXPECT_EQ(loss().item(), once);
}

INSTANTIATE_TEST_SUITE_P(Kinds, GptOfEveryKind, testing::Values(plain, modern),
                         [](const auto& kind) { return kind.param.rotary ? "modern" : "plain"; });

TEST(Gpt, StepByStepGivesTheSameBitsWhereProductsAreCutIntoTiles) {
  GptConfig config{.vocabulary = 67, .context = 70, .layers = 2, .heads = 4, .width = 136};
  for (const bool rotary : {false, true}) {
    config.rotary = rotary;
    Gpt model(Seed{3}, config);
    model.eval();
    Tape tape;
    const auto tokens = some_tokens(70, 67);
    std::vector<float> whole;
    {
      const Threads two(2);
      const auto step = tape.inference();
      const Tensor logits = model(tape, tokens, 1, 70);
      whole.assign(logits.data().begin(), logits.data().end());
    }
    KeyValueCache cache(config);
    for (std::size_t t = 0; t < 70; ++t) {
      const auto step = tape.inference();
      const std::span<const float> row = std::span(whole).subspan(t * 67, 67);
      ASSERT_TRUE(same_bits(model.next(tape, tokens[t], cache).data(), row)) << "token " << t;
    }
  }
}

TEST(Gpt, StepByStepGivesTheWholePassButForRoundingsInPieces) {
  Gpt model(Seed{4}, {.vocabulary = 80, .context = 100, .layers = 1, .heads = 2, .width = 64});
  const std::vector<std::int32_t> tokens(100, 7);
  Tape tape(Precision::f32, Products::bf16x6);
  KeyValueCache cache(model.config());
  const auto step = tape.inference();
  const Tensor whole = model(tape, tokens, 1, 100);
  for (std::size_t t = 0; t < 100; ++t) {
    const Tensor next = model.next(tape, tokens[t], cache);
    for (std::size_t i = 0; i < 80; ++i)
      ASSERT_NEAR(next.data()[i], whole.data()[t * 80 + i], 1e-5f) << t << ", " << i;
  }
}

// Sizes beyond a block of every kernel: a long context, and a width that is split into several sums.
TEST(Gpt, StepByStepGivesTheBitsOfTheWholePassForLargeSizesAndAnyNumberOfThreads) {
  for (const auto& [kind, is_wide] :
       {std::pair(plain, true), std::pair(modern, true), std::pair(plain, false), std::pair(modern, false)}) {
    GptConfig config = kind;
    config.layers = 1;
    config.context = is_wide ? 24 : 300;
    if (is_wide) config.width = 288;
    Gpt model(Seed{4}, config);
    enlarge(model, is_wide ? 0.1 : 0.4);
    const auto tokens = some_tokens(config.context);
    std::vector<float> first;
    for (const int threads : {1, 2, 3}) {
      const Threads with(threads);
      Tape tape;
      KeyValueCache cache(config);
      const auto step = tape.inference();
      const Tensor whole = model(tape, tokens, 1, config.context);
      if (first.empty()) first.assign(whole.data().begin(), whole.data().end());
      EXPECT_TRUE(same_bits(whole.data(), first)) << threads << " threads, width " << config.width;
      for (std::size_t t = 0; t < tokens.size(); ++t) {
        const auto inner = tape.inference();
        EXPECT_TRUE(
            same_bits(model.next(tape, tokens[t], cache).data(), std::span(first).subspan(t * 13, 13)))
            << threads << " threads, width " << config.width << ", token " << t;
      }
    }
  }
}

TEST(Gpt, AFullCacheOrAnotherModelsIsRefused) {
  const Gpt model(Seed{1}, {.vocabulary = 5, .context = 2, .layers = 1, .heads = 1, .width = 4});
  Tape tape;
  const auto step = tape.inference();
  KeyValueCache cache(model.config());
  model.next(tape, 1, cache);
  model.next(tape, 2, cache);
  EXPECT_THAT([&] { model.next(tape, 3, cache); },
              ThrowsMessage<ValueError>(HasSubstr("3 tokens, the context is 2")));
  EXPECT_EQ(cache.length, 2);
  // The last two take as much memory as this model's.
  for (const GptConfig& other :
       {plain, GptConfig{.vocabulary = 5, .context = 4, .layers = 1, .heads = 1, .width = 2},
        GptConfig{.vocabulary = 5, .context = 2, .layers = 1, .heads = 2, .width = 4}}) {
    KeyValueCache others(other);
    EXPECT_THAT([&] { model.next(tape, 1, others); },
                ThrowsMessage<ValueError>(HasSubstr("a model of another size")));
  }
}

TEST(Gpt, ACacheThatWasChangedByHandIsRefused) {
  const Gpt model(Seed{1}, plain);
  Tape tape;
  const auto step = tape.inference();
  KeyValueCache cache(model.config());
  for (const std::int64_t length : {-1, 1}) {
    cache.length = length;
    EXPECT_THAT([&] { model.next(tape, 1, cache); },
                ThrowsMessage<ValueError>(
                    HasSubstr("length is " + std::to_string(length) + ", it has seen 0 tokens")));
  }
  cache.length = 0;
  model.next(tape, 1, cache);
  const auto second = model.next(tape, 2, cache).values();
  cache.length = 1;
  EXPECT_EQ(model.next(tape, 2, cache).values(), second);
  cache.length = 3;
  EXPECT_THROW(model.next(tape, 2, cache), ValueError);
  cache.length = 2;
  cache.values.back().pop_back();
  EXPECT_THAT([&] { model.next(tape, 1, cache); }, ThrowsMessage<ValueError>(HasSubstr("another size")));
}

TEST(Gpt, GeneratesWithoutAskingForMemory) {
  const Threads one(1);
  const Gpt model(Seed{1}, plain);
  Tape tape;
  KeyValueCache cache(model.config());
  const auto tokens = some_tokens(40);
  std::size_t before = 0;
  for (int round = 0; round < 2; ++round) {
    before = support::allocations();
    for (const std::int32_t token : tokens) {
      const auto step = tape.inference();
      model.next(tape, token, cache);
    }
    cache.clear();
  }
  EXPECT_EQ(support::allocations(), before);
}

TEST(Gpt, DropoutFollowsTheStepAndStopsForEvaluation) {
  GptConfig config = plain;
  config.dropout = 0.2;
  Gpt model(Seed{1}, config);
  const Gpt without(Seed{1}, plain);
  Tape tape;
  const auto tokens = some_tokens(40);
  const auto run = [&](std::uint64_t step_number) {
    model.set_step(step_number);
    const auto step = tape.inference();
    return model(tape, tokens, 1, 40).values();
  };
  const auto first = run(0);
  EXPECT_NE(run(1), first);
  EXPECT_EQ(run(0), first);
  model.eval();
  const auto step = tape.inference();
  EXPECT_EQ(run(0), without(tape, tokens, 1, 40).values());
}

TEST(Gpt, TokensMayBeWrittenInBraces) {
  const Gpt model(Seed{1}, plain);
  Tape tape;
  const auto step = tape.inference();
  EXPECT_EQ(model(tape, {1, 2, 3, 4}, 2, 2).values(),
            model(tape, std::vector<std::int32_t>{1, 2, 3, 4}, 2, 2).values());
}

}  // namespace
}  // namespace reel::nn
