#include "tests/kernels/attention_problem.h"

#include "kernels/parallel.h"

namespace reel::kernels {
namespace {

TEST(Attention, EveryLengthAndCausality) {
  for (std::int64_t time = 1; time <= 70; ++time) {
    for (const bool causal : {false, true}) {
      Problem<float> p{.batch = 1,
                       .heads = 2,
                       .queries = time,
                       .keys = time,
                       .channels = 5,
                       .value_channels = 7,
                       .causal = causal};
      p.fill(static_cast<std::uint64_t>(time));
      expect_like_naive(p, 2e-5, "time " + std::to_string(time) + (causal ? " causal" : ""));
    }
  }
}

TEST(Attention, EveryNumberOfChannels) {
  for (std::int64_t channels = 1; channels <= 65; ++channels) {
    Problem<double> p{.batch = 2,
                      .heads = 1,
                      .queries = 19,
                      .keys = 35,
                      .channels = channels,
                      .value_channels = 66 - channels,
                      .causal = channels % 2 == 0};
    p.fill(static_cast<std::uint64_t>(channels));
    expect_like_naive(p, 1e-12, "channels " + std::to_string(channels));
    Problem<float> f{.batch = 1,
                     .heads = 1,
                     .queries = 9,
                     .keys = 18,
                     .channels = channels,
                     .value_channels = channels,
                     .causal = channels % 3 == 0};
    f.fill(static_cast<std::uint64_t>(channels));
    expect_like_naive(f, 5e-5, "f32 channels " + std::to_string(channels));
  }
}

TEST(Attention, QueriesAndKeysOfDifferentNumber) {
  for (const std::int64_t queries : {0, 1, 3, 33, 80}) {
    for (const std::int64_t keys : {0, 1, 2, 64, 65, 150}) {
      for (const bool causal : {false, true}) {
        Problem<double> p{.batch = 1,
                          .heads = 3,
                          .queries = queries,
                          .keys = keys,
                          .channels = 4,
                          .value_channels = 3,
                          .causal = causal};
        p.fill(3);
        expect_like_naive(p, 1e-12, std::to_string(queries) + " queries, " + std::to_string(keys) + " keys");
      }
    }
  }
}

TEST(Attention, MasksOfEveryBroadcastShape) {
  for (int bits = 0; bits < 16; ++bits) {
    for (const bool causal : {false, true}) {
      Problem<double> p{.batch = 2,
                        .heads = 3,
                        .queries = 21,
                        .keys = 37,
                        .channels = 6,
                        .value_channels = 5,
                        .causal = causal};
      p.fill(static_cast<std::uint64_t>(bits));
      p.fill_mask({(bits & 8) != 0, (bits & 4) != 0, (bits & 2) != 0, (bits & 1) != 0}, 11, 0.6);
      expect_like_naive(p, 1e-12, "mask " + std::to_string(bits));
    }
  }
}

TEST(Attention, ARowThatSeesNothingIsZeroAndPassesNothing) {
  Problem<float> p{.batch = 1, .heads = 2, .queries = 6, .keys = 6, .channels = 3, .value_channels = 4};
  p.fill(1);
  p.fill_mask({false, false, true, true}, 2, 2.0);
  for (std::size_t j = 0; j < 6; ++j) p.mask[3 * 6 + j] = 0;
  const std::vector<float> others = [&] {
    Problem<float> q = p;
    q.run();
    return q.dk;
  }();
  // The unseen row's own numbers do not matter, nor does what arrives for it.
  for (std::size_t h = 0; h < 2; ++h) {
    for (std::size_t c = 0; c < 3; ++c) p.q[(h * 6 + 3) * 3 + c] = static_cast<float>(nan);
    for (std::size_t c = 0; c < 4; ++c) p.dy[(h * 6 + 3) * 4 + c] = static_cast<float>(infinity);
  }
  p.run();
  for (std::size_t h = 0; h < 2; ++h) {
    for (std::size_t c = 0; c < 4; ++c) EXPECT_EQ(p.y[(h * 6 + 3) * 4 + c], 0.0F);
    for (std::size_t c = 0; c < 3; ++c) EXPECT_EQ(p.dq[(h * 6 + 3) * 3 + c], 0.0F);
    const float* kept = p.kept_of(static_cast<std::int64_t>(h) * 6 + 3);
    EXPECT_EQ(kept[0], -static_cast<float>(infinity));
    EXPECT_EQ(kept[1], 0.0F);
  }
  EXPECT_TRUE(same_bits(p.dk, others));
}

TEST(Attention, ANumberThatIsSeenAndIsNoneShows) {
  Problem<float> p{.queries = 4, .keys = 4, .channels = 3, .value_channels = 3, .causal = true};
  p.fill(8);
  p.k[2 * 3] = static_cast<float>(nan);
  p.run();
  EXPECT_FALSE(std::isnan(p.y[1 * 3]));
  EXPECT_TRUE(std::isnan(p.y[2 * 3]));
  EXPECT_TRUE(std::isnan(p.y[3 * 3]));
}

TEST(Attention, OneQueryAtATimeGivesTheSameBits) {
  for (const std::int64_t channels : {1, 16, 32, 40, 64}) {
    Problem<float> all{.batch = 1,
                       .heads = 1,
                       .queries = 75,
                       .keys = 75,
                       .channels = channels,
                       .value_channels = channels,
                       .causal = true};
    all.fill(4);
    all.forward();
    for (std::int64_t t = 0; t < 75; ++t) {
      Problem<float> one = all;
      one.queries = 1;
      one.keys = t + 1;
      const auto cut = [&](std::vector<float>& x, std::int64_t first, std::int64_t last) {
        x = std::vector<float>(x.begin() + first * channels, x.begin() + last * channels);
      };
      cut(one.q, t, t + 1), cut(one.k, 0, t + 1), cut(one.v, 0, t + 1), cut(one.dy, t, t + 1);
      one.forward();
      ASSERT_EQ(std::memcmp(one.y.data(), all.y.data() + t * channels,
                            static_cast<std::size_t>(channels) * sizeof(float)),
                0)
          << "row " << t << " with " << channels << " channels";
      ASSERT_EQ(one.kept_of(0)[0], all.kept_of(t)[0]);
      ASSERT_EQ(one.kept_of(0)[1], all.kept_of(t)[1]);
    }
  }
}

// A query alone reads keys and values where they lie, if nothing hides one of them.
TEST(Attention, AQueryAloneIsAsSafeFromWhatItDoesNotSee) {
  for (const std::int64_t keys : {3, 16, 45}) {
    Problem<float> p{
        .batch = 1, .heads = 2, .queries = 1, .keys = keys, .channels = 16, .value_channels = 16};
    p.mask.assign(static_cast<std::size_t>(keys), 1);
    p.mask[1] = p.mask[static_cast<std::size_t>(keys) - 1] = 0;
    p.mask_shape[3] = keys;
    p.fill(3);
    p.forward();
    const std::vector<float> before = p.y;
    for (std::int64_t h = 0; h < p.heads; ++h) {
      for (const std::int64_t j : {std::int64_t{1}, keys - 1}) {
        const std::int64_t first = (h * keys + j) * 16;
        std::fill_n(p.k.begin() + first, 16, static_cast<float>(nan));
        std::fill_n(p.v.begin() + first, 16, static_cast<float>(nan));
      }
    }
    p.forward();
    EXPECT_EQ(before, p.y) << keys;
  }
}

TEST(Attention, WhatAnEarlierCallLeftInMemoryDoesNotMatter) {
  const int before = threads();
  set_threads(1);
  const auto leave_nan = [] {
    Problem<float> p{
        .batch = 1, .heads = 1, .queries = 130, .keys = 130, .channels = 20, .value_channels = 20};
    p.fill(1);
    for (auto* x : {&p.q, &p.k, &p.v, &p.dy}) std::fill(x->begin(), x->end(), static_cast<float>(nan));
    p.run();
  };
  for (const std::int64_t keys : {0, 1, 40, 90}) {  // with fewer keys than queries the first rows see nothing
    Problem<float> p{.batch = 1,
                     .heads = 1,
                     .queries = 100,
                     .keys = keys,
                     .channels = 3,
                     .value_channels = 5,
                     .causal = true};
    p.fill(2);
    leave_nan();
    expect_like_naive(p, 1e-5, std::to_string(keys) + " keys");
  }
  set_threads(before);
}

TEST(Attention, SameBitsForAnyNumberOfThreads) {
  const int before = threads();
  for (const std::int64_t heads : {1, 16}) {
    Problem<float> p{.batch = 1,
                     .heads = heads,
                     .queries = 600,
                     .keys = 600,
                     .channels = 8,
                     .value_channels = 8,
                     .causal = true};
    p.fill(4);
    set_threads(1);
    p.run();
    expect_close(p.y, naive_attention(p), 1e-5, std::to_string(heads) + " heads");
    for (const int n : {2, 3, 5}) {
      Problem<float> q = p;
      set_threads(n);
      q.run();
      EXPECT_TRUE(same_bits(p.y, q.y) && same_bits(p.dq, q.dq) && same_bits(p.dk, q.dk) &&
                  same_bits(p.dv, q.dv))
          << n;
    }
  }
  set_threads(before);
}

TEST(Attention, ExtremeScores) {
  for (const double size : {1e4, 1e18}) {
    Problem<float> p{.queries = 5, .keys = 9, .channels = 2, .value_channels = 3};
    p.fill(2);
    for (float& x : p.q) x *= static_cast<float>(size);
    p.run();
    for (const float y : p.y) EXPECT_TRUE(std::isfinite(y));
    for (const float d : p.dv) EXPECT_TRUE(std::isfinite(d));
    expect_close(p.y, naive_attention(p), 1e-5, "large");
  }
}

TEST(Attention, TiesOfEnormousScoresShareTheWeightBothWays) {
  // Beyond 2^24 the logarithm of a sum of exponentials is lost next to the largest score.
  for (const double size : {1e3, 1e8, 1e30}) {
    Problem<float> p{.queries = 2, .keys = 4, .channels = 1, .value_channels = 2, .scale = 1};
    p.fill(3);
    p.q = {static_cast<float>(size), static_cast<float>(-size)};
    p.k = {1, 0.5F, 1, 0.5F};
    expect_like_naive(p, 1e-6, std::to_string(size));
  }
}

TEST(Attention, StridesReachAPackedProjection) {
  constexpr std::int64_t batch = 2, time = 35, heads = 3, channels = 6;
  Problem<double> p{.batch = batch,
                    .heads = heads,
                    .queries = time,
                    .keys = time,
                    .channels = channels,
                    .value_channels = channels,
                    .causal = true};
  p.fill(6);
  p.run();
  constexpr std::int64_t width = heads * channels;
  std::vector<double> qkv(batch * time * 3 * width), dqkv(qkv.size(), 1), y(batch * time * width),
      dy(y.size());
  const auto to = [&](std::vector<double>& packed, std::int64_t row, std::int64_t part,
                      const std::vector<double>& x) {
    for (std::int64_t b = 0; b < batch; ++b)
      for (std::int64_t h = 0; h < heads; ++h)
        for (std::int64_t t = 0; t < time; ++t)
          for (std::int64_t c = 0; c < channels; ++c)
            packed[static_cast<std::size_t>((b * time + t) * row + part * width + h * channels + c)] =
                x[static_cast<std::size_t>(((b * heads + h) * time + t) * channels + c)];
  };
  to(qkv, 3 * width, 0, p.q), to(qkv, 3 * width, 1, p.k), to(qkv, 3 * width, 2, p.v), to(dy, width, 0, p.dy);
  Attention<double> a = p.attention_of();
  const auto part = [&](std::int64_t i) {
    return Heads<const double>{qkv.data() + i * width, time * 3 * width, channels, 3 * width};
  };
  const auto into = [&](std::int64_t i) {
    return HeadsInto<double>{{dqkv.data() + i * width, true}, time * 3 * width, channels, 3 * width};
  };
  a.q = part(0), a.k = part(1), a.v = part(2);
  std::vector<double> kept(static_cast<std::size_t>(attention_kept(a)));
  attention(a, {y.data(), time * width, channels, width}, kept.data());
  attention_grad(a, {y.data(), time * width, channels, width}, kept.data(),
                 {dy.data(), time * width, channels, width}, into(0), into(1), into(2));
  std::vector<double> expected(y.size()), expected_gradient(qkv.size());
  to(expected, width, 0, p.y);
  to(expected_gradient, 3 * width, 0, p.dq), to(expected_gradient, 3 * width, 1, p.dk),
      to(expected_gradient, 3 * width, 2, p.dv);
  EXPECT_TRUE(same_bits(y, expected));
  for (double& x : expected_gradient) x += 1;  // it was added to
  expect_close(dqkv, expected_gradient, 1e-13, "dqkv");
}

TEST(Attention, WeightsForLooking) {
  Problem<float> p{
      .batch = 2, .heads = 2, .queries = 40, .keys = 70, .channels = 5, .value_channels = 1, .causal = true};
  p.fill(6);
  p.fill_mask({true, false, true, true}, 4, 0.1);
  std::vector<float> w(2 * 2 * 40 * 70, static_cast<float>(nan));
  attention_weights(p.attention_of(), w.data());
  expect_close(w, naive_weights(p), 1e-5, "weights");
}

}  // namespace
}  // namespace reel::kernels
