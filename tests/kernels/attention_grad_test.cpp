#include "tests/kernels/attention_problem.h"

namespace reel::kernels {
namespace {

// Keys and values that nobody sees are replaced by NaN, inf and huge numbers: no bit of any result may
// change, and their own gradients are 0.
template <class T>
void expect_hidden_keys_do_not_matter(std::int64_t keys) {
  Problem<T> p{.batch = 1, .heads = 2, .queries = 40, .keys = keys, .channels = 16, .value_channels = 18};
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
        for (std::int64_t c = 0; c < 16; ++c)
          q.k[static_cast<std::size_t>((h * p.keys + j) * 16 + c)] = T(poison);
        for (std::int64_t c = 0; c < 18; ++c) {
          q.v[static_cast<std::size_t>((h * p.keys + j) * 18 + c)] = T(poison);
          EXPECT_EQ(static_cast<double>(p.dv[static_cast<std::size_t>((h * p.keys + j) * 18 + c)]), 0);
        }
      }
    }
    q.run();
    EXPECT_TRUE(same_bits(p.y, q.y)) << poison;
    const auto kept_of_rows = [](const Problem<T>& x) {
      return std::vector<T>(x.kept_of(0), x.kept_of(2 * 40));
    };
    EXPECT_TRUE(same_bits(kept_of_rows(p), kept_of_rows(q))) << poison;
    EXPECT_TRUE(same_bits(p.dq, q.dq)) << poison;
    EXPECT_TRUE(same_bits(p.dk, q.dk)) << poison;
    EXPECT_TRUE(same_bits(p.dv, q.dv)) << poison;
  }
}
TEST(Attention, HiddenKeysDoNotMatter) {
  for (const std::int64_t keys : {50, 70}) {  // with weights that are kept, and not
    expect_hidden_keys_do_not_matter<float>(keys);
    expect_hidden_keys_do_not_matter<double>(keys);
    expect_hidden_keys_do_not_matter<Dual>(keys);
  }
}

// Weights of more than 64 keys are computed again. With keys that nobody sees there are so many.
template <class T>
void expect_the_same_gradients_from_weights_that_are_kept(bool causal) {
  Problem<T> few{.queries = 40, .keys = 50, .channels = 16, .value_channels = 18, .causal = causal};
  few.fill(9);
  few.mask.assign(40 * 50, 1);
  for (std::size_t i = 0; i < few.mask.size(); i += 7) few.mask[i] = 0;
  few.mask_shape[2] = 40, few.mask_shape[3] = 50;
  Problem<T> many = few;
  many.causal = false;
  many.keys = 70;
  many.k.resize(70 * 16), many.v.resize(70 * 18);
  many.mask.assign(40 * 70, 0);
  many.mask_shape[3] = 70;
  for (std::int64_t i = 0; i < 40; ++i) {
    for (std::int64_t j = 0; j < 50; ++j)
      many.mask[static_cast<std::size_t>(i * 70 + j)] = few.sees(0, 0, i, j);
  }
  few.run(), many.run();
  EXPECT_LT(many.kept.size(), few.kept.size());
  many.dk.resize(50 * 16), many.dv.resize(50 * 18);
  EXPECT_TRUE(same_bits(few.y, many.y));
  EXPECT_TRUE(same_bits(few.dq, many.dq));
  EXPECT_TRUE(same_bits(few.dk, many.dk));
  EXPECT_TRUE(same_bits(few.dv, many.dv));
}
TEST(Attention, WeightsThatAreKeptGiveTheSameGradients) {
  for (const bool causal : {false, true}) {
    expect_the_same_gradients_from_weights_that_are_kept<float>(causal);
    expect_the_same_gradients_from_weights_that_are_kept<double>(causal);
    expect_the_same_gradients_from_weights_that_are_kept<Dual>(causal);
  }
}

// Sums of negative numbers too small to be held end at a negative zero, and adding nothing makes a positive
// one of it.
TEST(Attention, NotEvenTheSignOfAZeroTellsOfHiddenKeys) {
  const auto tiny = -std::numeric_limits<float>::denorm_min();
  const auto result = [&](double hidden) {
    Problem<float> p{.queries = 3, .keys = 3, .channels = 1, .value_channels = 1};
    const auto h = static_cast<float>(hidden);
    p.q = {1, 1, h};
    p.k = {0, -4, h};
    p.v = {0, tiny, h};
    p.dy = {tiny, 1, h};
    p.mask = {1, 1, 0, 1, 0, 0, 0, 0, 0};  // query 2 sees nothing, key 2 is seen by nobody
    p.mask_shape[2] = p.mask_shape[3] = 3;
    p.run();
    std::vector<float> all = p.y;
    for (const auto* x : {&p.dq, &p.dk, &p.dv}) all.insert(all.end(), x->begin(), x->end());
    return all;
  };
  EXPECT_TRUE(same_bits(result(1.0), result(nan)));
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

TEST(Attention, GradientsThatNobodyWantsAreLeftOut) {
  Problem<double> p{.queries = 20, .keys = 30, .channels = 4, .value_channels = 5};
  p.fill(6);
  p.run();
  const Attention<double> a = p.attention_of();
  const Heads<const double> y{p.y.data(), 0, 0, 5}, dy{p.dy.data(), 0, 0, 5};
  std::vector<double> dq(p.q.size()), dk(p.k.size()), dv(p.v.size());
  attention_grad(a, y, p.kept.data(), dy, HeadsInto<double>{{dq.data(), false}, 0, 0, 4}, {}, {});
  attention_grad(a, y, p.kept.data(), dy, {}, HeadsInto<double>{{dk.data(), false}, 0, 0, 4}, {});
  attention_grad(a, y, p.kept.data(), dy, {}, {}, HeadsInto<double>{{dv.data(), false}, 0, 0, 5});
  EXPECT_TRUE(same_bits(dq, p.dq));
  EXPECT_TRUE(same_bits(dk, p.dk));
  EXPECT_TRUE(same_bits(dv, p.dv));
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
  // So many channels that exponentials are kept, but for weights that are dropped.
  for (const double dropout : {0.0, 0.3}) {
    Problem<double> p{
        .batch = 1, .heads = 2, .queries = 9, .keys = 12, .channels = 5, .value_channels = 4, .causal = true};
    p.dropout = dropout;
    p.fill(10);
    p.fill_mask({false, true, true, true}, 3, 0.7);
    p.run();
    Problem<Dual> duals{
        .batch = 1, .heads = 2, .queries = 9, .keys = 12, .channels = 5, .value_channels = 4, .causal = true};
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

// Several tiles of queries and keys at once, along one direction in which everything moves.
TEST(Attention, GradientOfALongProblemAlongADirection) {
  for (const double dropout : {0.0, 0.2}) {
    for (const bool causal : {false, true}) {
      Problem<double> p{.batch = 2,
                        .heads = 1,
                        .queries = 133,
                        .keys = 200,
                        .channels = 9,
                        .value_channels = 17,
                        .causal = causal};
      p.dropout = dropout;
      p.fill(12);
      p.fill_mask({true, false, true, true}, 3, 0.8);
      p.run();
      const auto direction = [](std::size_t i, std::uint64_t stream) { return Philox(4, stream).normal(i); };
      double along = 0;
      for (std::size_t i = 0; i < p.q.size(); ++i) along += p.dq[i] * direction(i, 1);
      for (std::size_t i = 0; i < p.k.size(); ++i) along += p.dk[i] * direction(i, 2);
      for (std::size_t i = 0; i < p.v.size(); ++i) along += p.dv[i] * direction(i, 3);
      const auto moved = [&](double step) {
        Problem<double> m = p;
        for (std::size_t i = 0; i < m.q.size(); ++i) m.q[i] += step * direction(i, 1);
        for (std::size_t i = 0; i < m.k.size(); ++i) m.k[i] += step * direction(i, 2);
        for (std::size_t i = 0; i < m.v.size(); ++i) m.v[i] += step * direction(i, 3);
        return objective(m);
      };
      constexpr double h = 1e-4;
      const double difference = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
      EXPECT_NEAR(along, difference, 1e-7 * std::fabs(along)) << dropout << causal;
    }
  }
}

}  // namespace
}  // namespace reel::kernels
