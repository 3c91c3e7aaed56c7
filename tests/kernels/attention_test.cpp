#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernels/dual.h"
#include "kernels/parallel.h"
#include "kernels/philox.h"

namespace reel::kernels {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

// A whole problem with contiguous heads, [batch, heads, time, channels].
template <class T>
struct Problem {
  std::int64_t batch = 1, heads = 1, queries = 1, keys = 1, channels = 1, value_channels = 1;
  bool causal = false;
  double scale = 0.5;
  double dropout = 0;
  std::vector<std::uint8_t> mask = {};  // [mask_shape]
  std::int64_t mask_shape[4] = {1, 1, 1, 1};
  std::vector<T> q = {}, k = {}, v = {}, dy = {};
  std::vector<T> y = {}, lse = {}, dq = {}, dk = {}, dv = {};

  void fill(std::uint64_t seed) {
    const auto random = [&](std::int64_t n, std::uint64_t stream) {
      std::vector<T> x(static_cast<std::size_t>(n));
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = T(Philox(seed, stream).uniform(i) * 4 - 2);
      return x;
    };
    const std::int64_t all = batch * heads;
    q = random(all * queries * channels, 1);
    k = random(all * keys * channels, 2);
    v = random(all * keys * value_channels, 3);
    dy = random(all * queries * value_channels, 4);
  }
  void fill_mask(std::initializer_list<bool> whole, std::uint64_t seed, double visible) {
    const std::int64_t sizes[4] = {batch, heads, queries, keys};
    std::int64_t n = 1;
    int d = 0;
    for (const bool w : whole) {
      mask_shape[d] = w ? sizes[d] : 1;
      n *= mask_shape[d++];
    }
    mask.resize(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = Philox(seed, 9).uniform(i) < visible;
  }
  Attention<T> attention_of() const {
    Attention<T> p;
    p.batch = batch, p.heads = heads, p.queries = queries, p.keys = keys;
    p.channels = channels, p.value_channels = value_channels;
    p.q = {q.data(), heads * queries * channels, queries * channels, channels};
    p.k = {k.data(), heads * keys * channels, keys * channels, channels};
    p.v = {v.data(), heads * keys * value_channels, keys * value_channels, value_channels};
    p.scale = T(scale);
    p.causal = causal;
    p.dropout = dropout;
    p.seed = 5, p.stream = 6, p.step = 7;
    if (!mask.empty()) {
      std::int64_t stride = 1;
      std::int64_t strides[4];
      for (int d = 3; d >= 0; --d) {
        strides[d] = mask_shape[d] == 1 ? 0 : stride;
        stride *= mask_shape[d];
      }
      p.mask = {mask.data(), strides[0], strides[1], strides[2], strides[3]};
    }
    return p;
  }
  bool sees(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) const {
    if (causal && j > i + keys - queries) return false;
    const AttentionMask m = attention_of().mask;
    return m.data == nullptr || m.data[b * m.batch + h * m.head + i * m.query + j * m.key] != 0;
  }
  void forward() {
    y.assign(dy.size(), T(nan));
    lse.assign(static_cast<std::size_t>(batch * heads * queries), T(nan));
    attention(attention_of(),
              {y.data(), heads * queries * value_channels, queries * value_channels, value_channels},
              lse.data());
  }
  void run() {
    forward();
    dq.assign(q.size(), T(nan)), dk.assign(k.size(), T(nan)), dv.assign(v.size(), T(nan));
    const Attention<T> p = attention_of();
    const auto like = [](Heads<const T> h, T* data) {
      return HeadsInto<T>{{data, false}, h.batch, h.head, h.time};
    };
    const Heads<const T> rows{y.data(), heads * queries * value_channels, queries * value_channels,
                              value_channels};
    attention_grad(p, rows, lse.data(), {dy.data(), rows.batch, rows.head, rows.time}, like(p.q, dq.data()),
                   like(p.k, dk.data()), like(p.v, dv.data()));
  }
};

// The weights by the definition, one by one: [batch, heads, queries, keys].
template <class T>
std::vector<double> naive_weights(const Problem<T>& p) {
  std::vector<double> w(static_cast<std::size_t>(p.batch * p.heads * p.queries * p.keys));
  for (std::int64_t row = 0; row < p.batch * p.heads * p.queries; ++row) {
    const std::int64_t head = row / p.queries;
    double* weights = w.data() + row * p.keys;
    double most = -infinity;
    double sum = 0;
    for (std::int64_t j = 0; j < p.keys; ++j) {
      weights[j] = 0;
      for (std::int64_t c = 0; c < p.channels; ++c) {
        weights[j] +=
            static_cast<double>(p.q[static_cast<std::size_t>(row * p.channels + c)]) *
            static_cast<double>(p.k[static_cast<std::size_t>((head * p.keys + j) * p.channels + c)]);
      }
      weights[j] =
          p.sees(head / p.heads, head % p.heads, row % p.queries, j) ? weights[j] * p.scale : -infinity;
      most = std::max(most, weights[j]);
    }
    for (std::int64_t j = 0; j < p.keys; ++j)
      sum += weights[j] = most == -infinity ? 0 : std::exp(weights[j] - most);
    for (std::int64_t j = 0; j < p.keys && sum > 0; ++j) weights[j] /= sum;
  }
  return w;
}

template <class T>
std::vector<double> naive_attention(const Problem<T>& p) {
  const std::vector<double> w = naive_weights(p);
  std::vector<double> y(p.dy.size(), 0);
  for (std::int64_t row = 0; row < p.batch * p.heads * p.queries; ++row) {
    for (std::int64_t j = 0; j < p.keys; ++j) {
      for (std::int64_t c = 0; c < p.value_channels; ++c) {
        y[static_cast<std::size_t>(row * p.value_channels + c)] +=
            w[static_cast<std::size_t>(row * p.keys + j)] *
            static_cast<double>(
                p.v[static_cast<std::size_t>((row / p.queries * p.keys + j) * p.value_channels + c)]);
      }
    }
  }
  return y;
}

// By the formulas of the header, without tiles.
template <class T>
void naive_gradient(const Problem<T>& p, std::vector<double>& dq, std::vector<double>& dk,
                    std::vector<double>& dv) {
  const std::vector<double> w = naive_weights(p);
  dq.assign(p.q.size(), 0), dk.assign(p.k.size(), 0), dv.assign(p.v.size(), 0);
  const auto at = [](const std::vector<T>& x, std::int64_t row, std::int64_t n, std::int64_t c) {
    return static_cast<double>(x[static_cast<std::size_t>(row * n + c)]);
  };
  for (std::int64_t row = 0; row < p.batch * p.heads * p.queries; ++row) {
    const std::int64_t first_key = row / p.queries * p.keys;
    std::vector<double> dp(static_cast<std::size_t>(p.keys), 0);
    double delta = 0;
    for (std::int64_t j = 0; j < p.keys; ++j) {
      const double weight = w[static_cast<std::size_t>(row * p.keys + j)];
      for (std::int64_t c = 0; c < p.value_channels; ++c) {
        dp[static_cast<std::size_t>(j)] +=
            at(p.dy, row, p.value_channels, c) * at(p.v, first_key + j, p.value_channels, c);
        dv[static_cast<std::size_t>((first_key + j) * p.value_channels + c)] +=
            weight * at(p.dy, row, p.value_channels, c);
      }
      delta += weight * dp[static_cast<std::size_t>(j)];
    }
    for (std::int64_t j = 0; j < p.keys; ++j) {
      const double ds =
          w[static_cast<std::size_t>(row * p.keys + j)] * (dp[static_cast<std::size_t>(j)] - delta) * p.scale;
      for (std::int64_t c = 0; c < p.channels; ++c) {
        dq[static_cast<std::size_t>(row * p.channels + c)] += ds * at(p.k, first_key + j, p.channels, c);
        dk[static_cast<std::size_t>((first_key + j) * p.channels + c)] += ds * at(p.q, row, p.channels, c);
      }
    }
  }
}

template <class T>
void expect_close(const std::vector<T>& x, const std::vector<double>& expected, double tolerance,
                  const std::string& what) {
  ASSERT_EQ(x.size(), expected.size()) << what;
  for (std::size_t i = 0; i < x.size(); ++i) {
    ASSERT_NEAR(static_cast<double>(x[i]), expected[i], tolerance * (1 + std::fabs(expected[i])))
        << what << " element " << i;
  }
}

template <class T>
void expect_like_naive(Problem<T> p, double tolerance, const std::string& what) {
  p.run();
  expect_close(p.y, naive_attention(p), tolerance, what + " y");
  std::vector<double> dq, dk, dv;
  naive_gradient(p, dq, dk, dv);
  expect_close(p.dq, dq, 4 * tolerance, what + " dq");
  expect_close(p.dk, dk, 4 * tolerance, what + " dk");
  expect_close(p.dv, dv, 4 * tolerance, what + " dv");
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

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
    EXPECT_EQ(p.lse[h * 6 + 3], -static_cast<float>(infinity));
  }
  EXPECT_TRUE(same_bits(p.dk, others));
}

// Keys and values that nobody sees are replaced by NaN, inf and huge numbers: no bit of any result may
// change, and their own gradients are 0.
template <class T>
void expect_hidden_keys_do_not_matter() {
  Problem<T> p{.batch = 1, .heads = 2, .queries = 40, .keys = 70, .channels = 5, .value_channels = 18};
  p.fill(5);
  p.fill_mask({false, false, false, true}, 3, 0.5);
  p.run();
  for (const double poison : {nan, infinity, -infinity, 1e30, 0.0}) {
    Problem<T> q = p;
    for (std::int64_t h = 0; h < 2; ++h) {
      for (std::int64_t j = 0; j < p.keys; ++j) {
        bool seen = false;
        for (std::int64_t i = 0; i < p.queries; ++i) seen = seen || p.sees(0, h, i, j);
        if (seen) continue;
        for (std::int64_t c = 0; c < 5; ++c)
          q.k[static_cast<std::size_t>((h * p.keys + j) * 5 + c)] = T(poison);
        for (std::int64_t c = 0; c < 18; ++c) {
          q.v[static_cast<std::size_t>((h * p.keys + j) * 18 + c)] = T(poison);
          EXPECT_EQ(static_cast<double>(p.dv[static_cast<std::size_t>((h * p.keys + j) * 18 + c)]), 0);
        }
      }
    }
    q.run();
    EXPECT_TRUE(same_bits(p.y, q.y)) << poison;
    EXPECT_TRUE(same_bits(p.lse, q.lse)) << poison;
    EXPECT_TRUE(same_bits(p.dq, q.dq)) << poison;
    EXPECT_TRUE(same_bits(p.dk, q.dk)) << poison;
    EXPECT_TRUE(same_bits(p.dv, q.dv)) << poison;
  }
}
TEST(Attention, HiddenKeysDoNotMatter) {
  expect_hidden_keys_do_not_matter<float>();
  expect_hidden_keys_do_not_matter<double>();
  expect_hidden_keys_do_not_matter<Dual>();
}

// A later key or value, and the gradient of a later query, do not touch what comes before or after in time.
TEST(Attention, TheFutureDoesNotTouchThePast) {
  Problem<float> p{.batch = 1,
                   .heads = 1,
                   .queries = 45,
                   .keys = 45,
                   .channels = 16,
                   .value_channels = 16,
                   .causal = true};
  p.fill(8);
  p.run();
  for (const std::int64_t t : {0, 1, 20, 31, 32, 44}) {
    for (const double poison : {nan, infinity, 1e30}) {
      Problem<float> q = p;
      for (std::int64_t c = 0; c < 16; ++c) {
        q.k[static_cast<std::size_t>(t * 16 + c)] = static_cast<float>(poison);
        q.v[static_cast<std::size_t>(t * 16 + c)] = static_cast<float>(poison);
      }
      q.run();
      const std::size_t before = static_cast<std::size_t>(t * 16) * sizeof(float);
      EXPECT_EQ(std::memcmp(q.y.data(), p.y.data(), before), 0) << t;
      EXPECT_EQ(std::memcmp(q.dq.data(), p.dq.data(), before), 0) << t;
      Problem<float> g = p;
      for (std::int64_t c = 0; c < 16; ++c) {
        g.dy[static_cast<std::size_t>(t * 16 + c)] = static_cast<float>(poison);
        g.q[static_cast<std::size_t>(t * 16 + c)] = static_cast<float>(poison);
      }
      g.run();
      const std::size_t after = static_cast<std::size_t>((t + 1) * 16);
      EXPECT_EQ(std::memcmp(g.dk.data() + after, p.dk.data() + after, (45 * 16 - after) * sizeof(float)), 0)
          << t;
      EXPECT_EQ(std::memcmp(g.dv.data() + after, p.dv.data() + after, (45 * 16 - after) * sizeof(float)), 0)
          << t;
    }
  }
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
      ASSERT_EQ(one.lse[0], all.lse[static_cast<std::size_t>(t)]);
    }
  }
}

TEST(Attention, SameBitsForAnyNumberOfThreads) {
  const int before = threads();
  for (const std::int64_t heads : {2, 24}) {
    Problem<float> p{.batch = 1,
                     .heads = heads,
                     .queries = 300,
                     .keys = 300,
                     .channels = 8,
                     .value_channels = 8,
                     .causal = true};
    p.fill(4);
    set_threads(1);
    p.run();
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
  std::vector<double> lse(batch * heads * time);
  attention(a, {y.data(), time * width, channels, width}, lse.data());
  attention_grad(a, {y.data(), time * width, channels, width}, lse.data(),
                 {dy.data(), time * width, channels, width}, into(0), into(1), into(2));
  std::vector<double> expected(y.size()), expected_gradient(qkv.size());
  to(expected, width, 0, p.y);
  to(expected_gradient, 3 * width, 0, p.dq), to(expected_gradient, 3 * width, 1, p.dk),
      to(expected_gradient, 3 * width, 2, p.dv);
  EXPECT_TRUE(same_bits(y, expected));
  for (double& x : expected_gradient) x += 1;  // it was added to
  expect_close(dqkv, expected_gradient, 1e-13, "dqkv");
}

TEST(Attention, GradientsThatNobodyWantsAreLeftOut) {
  Problem<double> p{.queries = 20, .keys = 30, .channels = 4, .value_channels = 5};
  p.fill(6);
  p.run();
  const Attention<double> a = p.attention_of();
  const Heads<const double> y{p.y.data(), 0, 0, 5}, dy{p.dy.data(), 0, 0, 5};
  std::vector<double> dq(p.q.size()), dk(p.k.size()), dv(p.v.size());
  attention_grad(a, y, p.lse.data(), dy, HeadsInto<double>{{dq.data(), false}, 0, 0, 4}, {}, {});
  attention_grad(a, y, p.lse.data(), dy, {}, HeadsInto<double>{{dk.data(), false}, 0, 0, 4}, {});
  attention_grad(a, y, p.lse.data(), dy, {}, {}, HeadsInto<double>{{dv.data(), false}, 0, 0, 5});
  EXPECT_TRUE(same_bits(dq, p.dq));
  EXPECT_TRUE(same_bits(dk, p.dk));
  EXPECT_TRUE(same_bits(dv, p.dv));
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

// sum of dy y, whose gradient by definition is what attention_grad computes.
double objective(const Problem<double>& problem) {
  Problem<double> p = problem;
  p.forward();
  double sum = 0;
  for (std::size_t i = 0; i < p.y.size(); ++i) sum += p.y[i] * p.dy[i];
  return sum;
}

TEST(Attention, GradientsAgainstDifferencesAndDualsWithDropout) {
  for (const double dropout : {0.0, 0.3}) {
    Problem<double> p{
        .batch = 1, .heads = 2, .queries = 9, .keys = 12, .channels = 3, .value_channels = 4, .causal = true};
    p.dropout = dropout;
    p.fill(10);
    p.fill_mask({false, true, true, true}, 3, 0.7);
    p.run();
    Problem<Dual> duals{
        .batch = 1, .heads = 2, .queries = 9, .keys = 12, .channels = 3, .value_channels = 4, .causal = true};
    duals.dropout = dropout;
    duals.mask = p.mask;
    std::copy(std::begin(p.mask_shape), std::end(p.mask_shape), std::begin(duals.mask_shape));
    const auto lifted = [](const std::vector<double>& x) { return std::vector<Dual>(x.begin(), x.end()); };
    duals.q = lifted(p.q), duals.k = lifted(p.k), duals.v = lifted(p.v), duals.dy = lifted(p.dy);
    const auto check = [&](std::vector<double> Problem<double>::*x, std::vector<Dual> Problem<Dual>::*dual,
                           const std::vector<double>& gradient) {
      for (std::size_t i = 0; i < (p.*x).size(); i += 3) {
        Problem<double> moved = p;
        constexpr double h = 1e-3;
        double values[4];
        const double steps[4] = {-2 * h, -h, h, 2 * h};
        for (int s = 0; s < 4; ++s) {
          (moved.*x)[i] = (p.*x)[i] + steps[s];
          values[s] = objective(moved);
        }
        const double difference = (8 * (values[2] - values[1]) - (values[3] - values[0])) / (12 * h);
        ASSERT_NEAR(gradient[i], difference, 1e-8) << i;
        Problem<Dual> turned = duals;
        (turned.*dual)[i].tangent = 1;
        turned.run();
        double along = 0;
        for (std::size_t e = 0; e < turned.y.size(); ++e) along += turned.y[e].tangent * p.dy[e];
        ASSERT_NEAR(gradient[i], along, 1e-12) << i;
      }
    };
    check(&Problem<double>::q, &Problem<Dual>::q, p.dq);
    check(&Problem<double>::k, &Problem<Dual>::k, p.dk);
    check(&Problem<double>::v, &Problem<Dual>::v, p.dv);
  }
}

TEST(Attention, DropoutTakesItsShareAndKeepsTheMean) {
  // With v = 1 everywhere y is the sum of the weights that are left: 1 on average.
  Problem<double> p{.batch = 1, .heads = 8, .queries = 64, .keys = 64, .channels = 2, .value_channels = 1};
  p.dropout = 0.25;
  p.fill(10);
  for (double& x : p.q) x = 0;
  for (double& x : p.v) x = 1;
  p.forward();
  double mean = 0;
  double square = 0;
  for (const double y : p.y) mean += y / 512, square += y * y / 512;
  EXPECT_NEAR(mean, 1, 0.01);
  EXPECT_NEAR(square - mean * mean, 0.25 / 0.75 / 64, 0.001);
}

}  // namespace
}  // namespace reel::kernels
