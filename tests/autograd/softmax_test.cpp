#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "autograd/derivatives.h"

// Softmax as mathematics that runs: one test per statement (Goodfellow, Bengio, Courville 2016, sections 4.1
// and 6.2).

namespace reel {
namespace {

const Array logits{{3, 4}, {0.5, -1.0, 2.0, 0.1, 3.0, 3.0, 3.0, 3.0, -0.7, 0.0, 0.2, 5.0}};

std::vector<double> softmax_of(const std::vector<double>& z, double temperature = 1) {
  const auto f = [temperature](Tensors x) { return softmax(x[0], {.temperature = temperature}); };
  return evaluate(f, {{{static_cast<std::int64_t>(z.size())}, z}}).values;
}

TEST(Softmax, RowsSumToOneAndLieBetweenZeroAndOne) {
  const Array p = evaluate([](Tensors x) { return softmax(x[0]); }, {logits});
  for (std::size_t r = 0; r < 3; ++r) {
    double sum = 0;
    for (std::size_t c = 0; c < 4; ++c) {
      EXPECT_GT(p.values[r * 4 + c], 0);
      EXPECT_LT(p.values[r * 4 + c], 1);
      sum += p.values[r * 4 + c];
    }
    EXPECT_NEAR(sum, 1, 1e-15);
  }
}

TEST(Softmax, IsTheExponentialDividedByTheSumOfExponentials) {
  const std::vector<double> z = {0.5, -1.0, 2.0};
  const std::vector<double> p = softmax_of(z);
  const double sum = std::exp(0.5) + std::exp(-1.0) + std::exp(2.0);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(p[i], std::exp(z[i]) / sum, 1e-15);
}

TEST(Softmax, DoesNotChangeWhenAConstantIsAdded) {
  const std::vector<double> z = {0.5, -1.0, 2.0, 0.25};
  for (const double shift : {1.0, -8.0, 1024.0}) {  // powers of two: the shifted logits are exact
    std::vector<double> moved = z;
    for (double& v : moved) v += shift;
    EXPECT_EQ(softmax_of(moved), softmax_of(z)) << shift;
  }
}

TEST(Softmax, HasTheJacobianDiagPMinusPPTransposedWhoseRowsSumToZero) {
  const Array z{{4}, {0.5, -1.0, 2.0, 0.1}};
  const std::vector<double> p = softmax_of(z.values);
  const Array j = jacobian([](Tensors x) { return softmax(x[0]); }, z);
  for (std::size_t r = 0; r < 4; ++r) {
    double sum = 0;
    for (std::size_t c = 0; c < 4; ++c) {
      EXPECT_NEAR(j.values[r * 4 + c], (r == c ? p[r] : 0) - p[r] * p[c], 1e-15);
      sum += j.values[r * 4 + c];
    }
    EXPECT_NEAR(sum, 0, 1e-15);
  }
}

TEST(Softmax, CrossEntropyHasTheGradientPMinusY) {
  const std::int32_t labels[] = {2, 0, 3};
  const auto loss = [&](Tensors x) { return cross_entropy(x[0], labels, {.reduction = Reduction::sum}); };
  const Arrays g = grad(loss, {logits});
  const Array p = evaluate([](Tensors x) { return softmax(x[0]); }, {logits});
  for (std::size_t r = 0; r < 3; ++r) {
    for (std::size_t c = 0; c < 4; ++c) {
      const double y = static_cast<std::size_t>(labels[r]) == c ? 1 : 0;
      EXPECT_NEAR(g[0].values[r * 4 + c], p.values[r * 4 + c] - y, 1e-15);
    }
  }
}

TEST(Softmax, OfTwoIsTheSigmoidOfTheDifference) {
  for (const double d : {-30.0, -2.0, 0.0, 0.7, 12.0}) {
    const std::vector<double> p = softmax_of({d, 0});
    const Array s = evaluate([](Tensors x) { return sigmoid(x[0]); }, {{{1}, {d}}});
    EXPECT_NEAR(p[0], s.values[0], 1e-15 * std::max(1.0, s.values[0]));
  }
}

TEST(Softmax, TendsToTheOneHotArgmaxAsTheTemperatureFalls) {
  EXPECT_EQ(softmax_of({0.5, -1.0, 2.0, 1.9}, 1e-4), (std::vector<double>{0, 0, 1, 0}));
  EXPECT_EQ(softmax_of({0.5, -1.0, 2.0, 1.9}, 1e-300), (std::vector<double>{0, 0, 1, 0}));
}

TEST(Softmax, TendsToTheUniformDistributionAsTheTemperatureRises) {
  for (const double p : softmax_of({0.5, -1.0, 2.0, 1.9}, 1e8)) EXPECT_NEAR(p, 0.25, 1e-8);
  for (const double p : softmax_of({0.5, -1.0, 2.0, 1.9}, 1e300)) EXPECT_EQ(p, 0.25);
}

TEST(Softmax, TakesAnyTemperatureAboveZero) {
  const std::vector<double> cold = softmax_of({0, 1e-40}, 1e-40);
  EXPECT_NEAR(cold[1], 1 / (1 + std::exp(-1.0)), 1e-15);
  Tape tape;
  const auto step = tape.record();
  const std::vector<float> z = {0, -std::numeric_limits<float>::infinity()};
  const Tensor hot = softmax(tape.constant(z, {2}), {.temperature = 1e46});
  EXPECT_EQ(hot.data()[0], 1);
  EXPECT_EQ(hot.data()[1], 0);
}

TEST(Softmax, DoesNotOverflow) {
  for (const double size : {1e4, 1e30}) {
    EXPECT_EQ(softmax_of({size, -size, 0}), (std::vector<double>{1, 0, 0}));
    EXPECT_EQ(softmax_of({-size, -size}), (std::vector<double>{0.5, 0.5}));
    const std::int32_t label[] = {1};
    const auto loss = [&](Tensors x) { return cross_entropy(x[0], label); };
    EXPECT_EQ(evaluate(loss, {{{1, 2}, {size, -size}}}).values[0], 2 * size);
    EXPECT_EQ(grad(loss, {{{1, 2}, {size, -size}}})[0].values, (std::vector<double>{1, -1}));
    EXPECT_EQ(evaluate([](Tensors x) { return logsumexp(x[0]); }, {{{2}, {size, -size}}}).values[0], size);
  }
}

TEST(Softmax, FusedEqualsUnfused) {
  const std::int32_t labels[] = {2, 0, 3};
  const Function fused = [&](Tensors x) { return cross_entropy(x[0], labels); };
  const Function parts = [&](Tensors x) { return nll(log_softmax(x[0]), labels); };
  const Function plain = [&](Tensors x) {
    return -mean(take_along(log(exp(x[0]) / sum(exp(x[0]), {.axes = {-1}, .keepdim = true})), labels));
  };
  const double expected = evaluate(fused, {logits}).values[0];
  const std::vector<double> gradient = grad(fused, {logits})[0].values;
  for (const Function& f : {parts, plain}) {
    EXPECT_NEAR(evaluate(f, {logits}).values[0], expected, 1e-14);
    const std::vector<double> g = grad(f, {logits})[0].values;
    for (std::size_t i = 0; i < g.size(); ++i) EXPECT_NEAR(g[i], gradient[i], 1e-15);
  }
}

TEST(Softmax, TheAnswerDoesNotDependOnTheLengthOfTheRow) {
  // What is masked by -inf weighs nothing, however much of it there is.
  const std::vector<double> p = softmax_of({0.3, -0.2});
  for (std::size_t n = 3; n <= 300; n += 27) {
    std::vector<double> z(n, -std::numeric_limits<double>::infinity());
    z[n - 1] = -0.2;
    z[n / 2] = 0.3;
    const std::vector<double> q = softmax_of(z);
    EXPECT_NEAR(q[n / 2], p[0], 1e-15) << n;
    EXPECT_NEAR(q[n - 1], p[1], 1e-15) << n;
    EXPECT_EQ(q[0], 0) << n;
  }
}

TEST(Softmax, ARowThatIsMinusInfinityEverywhereIsAnErrorThatNamesIt) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::int32_t labels[] = {0, 0};
  const Function functions[] = {
      [](Tensors x) { return softmax(x[0]); },
      [](Tensors x) { return log_softmax(x[0]); },
      [&](Tensors x) { return cross_entropy(x[0], labels); },
      [](Tensors x) { return cross_entropy(x[0], stop_gradient(exp(x[0]))); },
  };
  for (const std::int64_t n : {1, 2, 127, 128, 300}) {
    Array z{{2, n}, std::vector<double>(static_cast<std::size_t>(2 * n), 0.0)};
    std::fill(z.values.begin() + n, z.values.end(), -inf);
    for (const Function& f : functions) {
      try {
        evaluate(f, {z});
        ADD_FAILURE() << "accepted " << n;
      } catch (const ValueError& e) {
        EXPECT_NE(std::string(e.what()).find("row 1 is -inf everywhere"), std::string::npos) << e.what();
      }
    }
  }
}

TEST(CrossEntropy, AnIgnoredRowMayBeMinusInfinityEverywhere) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::int32_t labels[] = {1, -100};
  const Function f = [&](Tensors x) { return cross_entropy(x[0], labels); };
  const Array z{{2, 2}, {0, 0, -inf, -inf}};
  EXPECT_NEAR(evaluate(f, {z}).values[0], std::log(2), 1e-15);
  EXPECT_EQ(grad(f, {z})[0].values, (std::vector<double>{0.5, -0.5, 0, 0}));
}

TEST(Logsumexp, OfInfinitiesIsInfinite) {
  const double inf = std::numeric_limits<double>::infinity();
  const Function f = [](Tensors x) { return logsumexp(x[0]); };
  EXPECT_EQ(evaluate(f, {{{2}, {inf, 1}}}).values[0], inf);
  EXPECT_EQ(evaluate(f, {{{2}, {-inf, -inf}}}).values[0], -inf);
  EXPECT_EQ(grad(f, {{{2}, {-inf, -inf}}})[0].values, (std::vector<double>{0, 0}));
  EXPECT_EQ(grad(f, {{{3}, {inf, 1, inf}}})[0].values, (std::vector<double>{0.5, 0, 0.5}));
}

// The gradients of f at x, on a tape of this precision.
std::vector<double> gradient_on(Precision precision, Tensor (*f)(Here), const std::vector<double>& x) {
  Tape tape(precision);
  const auto step = tape.record();
  const Tensor input = tape.variable(x, {1, static_cast<std::int64_t>(x.size())});
  tape.backward(f(input));
  return input.gradient();
}

TEST(Logsumexp, ANanBesideAnInfinityStaysANan) {
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Function f = [](Tensors x) { return logsumexp(x[0]); };
  for (const Array& x : {Array{{2}, {nan, inf}}, Array{{3}, {inf, 1, nan}}}) {
    EXPECT_TRUE(std::isnan(evaluate(f, {x}).values[0]));
    const Arrays slopes = grad(f, {x});
    for (const double slope : slopes[0].values) EXPECT_TRUE(std::isnan(slope));
  }
}

TEST(CrossEntropy, OfProbabilitiesIsFiniteWhereADifferenceOfLogitsIsNot) {
  const Array z{{1, 3}, {1.5e308, -1.5e308, 0}};
  const auto loss_at = [&](const std::vector<double>& p) {
    return evaluate([&](Tensors x) { return cross_entropy(x[0], x[1]); }, {z, {{1, 3}, p}}).values[0];
  };
  EXPECT_EQ(loss_at({1, 0, 0}), 0);
  EXPECT_EQ(loss_at({0, 0, 1}), 1.5e308);
}

TEST(CrossEntropy, AConstantAddedToAllLogitsChangesNoGradient) {
  Tensor (*const functions[])(Here) = {
      [](Here z) { return cross_entropy(z, {0}); },
      [](Here z) { return cross_entropy(z, {0}, {.label_smoothing = 0.1}); },
      [](Here z) {
        return cross_entropy(z, z.tensor.tape().constant({0.5, 0.25, 0.25}, {1, 3}));
      },
      [](Here z) { return nll(log_softmax(z), {0}); },
      [](Here z) { return sum(logsumexp(z, {.axes = {1}})); },
  };
  for (std::size_t f = 0; f < std::size(functions); ++f) {
    const std::vector<double> exact = gradient_on(Precision::f64, functions[f], {0, 1, -2});
    for (const double offset : {0.0, 1e4, 1e6, 1e7}) {
      const std::vector<double> single =
          gradient_on(Precision::f32, functions[f], {offset, offset + 1, offset - 2});
      for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_NEAR(single[i], exact[i], 5e-7) << "function " << f << ", offset " << offset;
      }
    }
  }
}

TEST(CrossEntropy, WithEveryRowIgnoredIsZeroAndHasNoGradient) {
  const std::int32_t labels[] = {-100, -100, -100};
  const Function f = [&](Tensors x) { return cross_entropy(x[0], labels); };
  EXPECT_EQ(evaluate(f, {logits}).values[0], 0);
  EXPECT_EQ(grad(f, {logits})[0].values, std::vector<double>(12, 0.0));
}

TEST(CrossEntropy, TheMeanIsOverTheRowsThatCount) {
  const std::int32_t some[] = {2, -100, 3};
  const std::int32_t first[] = {2};
  const std::int32_t last[] = {3};
  const Function f = [&](Tensors x) { return cross_entropy(x[0], some); };
  const Function parts = [&](Tensors x) {
    return 0.5 * (cross_entropy(slice(x[0], 0, 0, 1), first) + cross_entropy(slice(x[0], 0, 2, 3), last));
  };
  EXPECT_NEAR(evaluate(f, {logits}).values[0], evaluate(parts, {logits}).values[0], 1e-15);
}

template <class Options>
concept Smooths = requires(Options options) {
  options.label_smoothing;
};

TEST(CrossEntropy, OfLogProbabilitiesIgnoresRowsAndHasNoSmoothingToIgnore) {
  static_assert(Smooths<CrossEntropyOptions> && Smooths<SoftCrossEntropyOptions> && !Smooths<NllOptions>);
  const std::int32_t labels[] = {2, 9, 3};
  const auto both = [&](Reduction reduction) {
    const Function fused = [&](Tensors x) {
      return cross_entropy(x[0], labels, {.ignore_index = 9, .reduction = reduction});
    };
    const Function parts = [&](Tensors x) {
      return nll(log_softmax(x[0]), labels, {.ignore_index = 9, .reduction = reduction});
    };
    EXPECT_NEAR(evaluate(fused, {logits}).values[0], evaluate(parts, {logits}).values[0], 1e-14);
  };
  both(Reduction::mean);
  both(Reduction::sum);
}

TEST(CrossEntropy, ALabelThatIsNoClassIsAnErrorThatNamesTheRow) {
  const std::int32_t labels[] = {2, 4, 3};
  try {
    evaluate([&](Tensors x) { return cross_entropy(x[0], labels); }, {logits});
    FAIL();
  } catch (const ValueError& e) {
    EXPECT_NE(std::string(e.what()).find("label 4 of row 1 is not a class"), std::string::npos) << e.what();
  }
}

TEST(CrossEntropy, SmoothedLabelsEqualSmoothedProbabilities) {
  const std::int32_t labels[] = {2, 0, 3};
  std::vector<double> t(12, 0.1 / 4);
  for (std::size_t r = 0; r < 3; ++r) t[r * 4 + static_cast<std::size_t>(labels[r])] += 0.9;
  const Array targets{{3, 4}, t};
  const double a =
      evaluate([&](Tensors x) { return cross_entropy(x[0], labels, {.label_smoothing = 0.1}); }, {logits})
          .values[0];
  const double b =
      evaluate([&](Tensors x) { return cross_entropy(x[0], x[1]); }, {logits, targets}).values[0];
  EXPECT_NEAR(a, b, 1e-14);
}

}  // namespace
}  // namespace reel
