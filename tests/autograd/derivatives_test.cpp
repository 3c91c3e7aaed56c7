#include "autograd/derivatives.h"

#include <gtest/gtest.h>

#include <cmath>

namespace reel {
namespace {

Tensor cubes(Tensors x) { return sum(x[0] * x[0] * x[0]); }

// f = x^2 y: its derivatives are known by heart.
Tensor square_times(Tensors x) { return x[0] * x[0] * x[1]; }

TEST(Derivatives, GradOfSeveralArguments) {
  const Arrays g = grad(square_times, {{{}, {3}}, {{}, {5}}});
  EXPECT_EQ(g[0].values, std::vector<double>{30});
  EXPECT_EQ(g[1].values, std::vector<double>{9});
}

TEST(Derivatives, JvpIsTheDirectionalDerivative) {
  const Array d = jvp(square_times, {{{}, {3}}, {{}, {5}}}, {{{}, {1}}, {{}, {2}}});
  EXPECT_EQ(d.values, std::vector<double>{30 + 18});
}

TEST(Derivatives, VjpIsItsAdjoint) {
  const auto f = [](Tensors x) { return softmax(x[0]) * 3.0; };
  const Array x{{4}, {0.1, -1, 2, 0.5}};
  const Array v{{4}, {1, 2, -1, 0.3}};
  const Array u{{4}, {0.7, -0.2, 1, 2}};
  const Array jv = jvp(f, {x}, {v});
  const Arrays jtu = vjp(f, {x}, u);
  double left = 0, right = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    left += jv.values[i] * u.values[i];
    right += v.values[i] * jtu[0].values[i];
  }
  EXPECT_NEAR(left, right, 1e-14);
}

TEST(Derivatives, HvpOfCubesIsSixXV) {
  const Arrays h = hvp(cubes, {{{3}, {1, 2, -3}}}, {{{3}, {1, 10, 100}}});
  EXPECT_EQ(h[0].values, (std::vector<double>{6, 120, -1800}));
}

TEST(Derivatives, HessianIsSymmetric) {
  const auto f = [](Tensors x) { return logsumexp(matmul(x[0], x[0])) + sum(softmax(x[0]) * x[0]); };
  const Array x{{2, 2}, {0.3, -0.7, 1.1, 0.2}};
  double hessian[4][4];
  for (std::size_t j = 0; j < 4; ++j) {
    Array v{{2, 2}, std::vector<double>(4)};
    v.values[j] = 1;
    const Arrays column = hvp(f, {x}, {v});
    for (std::size_t i = 0; i < 4; ++i) hessian[i][j] = column[0].values[i];
  }
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < i; ++j) EXPECT_NEAR(hessian[i][j], hessian[j][i], 1e-13);
  }
}

TEST(Derivatives, JacobianHasOneRowPerOutput) {
  const Array j = jacobian(
      [](Tensors x) {
        return concat({x[0] * x[0], sum(x[0], {.keepdim = true})});
      },
      {{2}, {3, 4}});
  EXPECT_EQ(to_string(j.shape), "[3, 2]");
  EXPECT_EQ(j.values, (std::vector<double>{6, 0, 0, 8, 1, 1}));
}

TEST(Derivatives, ADirectionOfAnotherShapeIsRefused) {
  EXPECT_THROW(jvp(cubes, {{{3}, {1, 2, 3}}}, {{{2}, {1, 2}}}), ShapeError);
  EXPECT_THROW(hvp(cubes, {{{3}, {1, 2, 3}}}, {}), ShapeError);
}

// A card whose backward forgets a factor: what gradcheck is for.
const Op& wrong_square_op = define({
    .name = "wrong_square",
    .formula = "y = x^2, with a derivative that lacks the 2",
    .shape = {"same", [](const Call& c) { return c[0]; }},
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          kernels::map(
              c.result(), [](auto x) { return x * x; }, c.in());
        },
    .backward =
        [](auto& c) {
          kernels::map(
              c.gradient(), [](auto x, auto dy) { return x * dy; }, c.in(), c.upstream());
        },
});

TEST(Gradcheck, NoticesAWrongDerivativeAndNamesIt) {
  const auto report = gradcheck([](Tensors x) { return record(wrong_square_op, {x[0]}); }, {{{2}, {0.5, 3}}});
  EXPECT_FALSE(report);
  EXPECT_GT(report.dual_error, 0.4);
  EXPECT_GT(report.difference_error, 0.4);
  EXPECT_NE(report.message.find("d output 1 / d input 1"), std::string::npos) << report.message;
}

TEST(Gradcheck, UsesRandomDirectionsWhenThereAreManyInputs) {
  Array x{{30, 20}, {}};
  for (int i = 0; i < 600; ++i) x.values.push_back(std::sin(i));
  const auto report = gradcheck([](Tensors t) { return matmul(t[0], t[0], {.transpose_b = true}); }, {x});
  EXPECT_TRUE(report) << report.message;
  EXPECT_EQ(report.checked, 8 * 8);
  const auto wrong = gradcheck([](Tensors t) { return record(wrong_square_op, {t[0]}); }, {x});
  EXPECT_FALSE(wrong);
}

TEST(Gradcheck, ProvesTheParametersOfAModelInDoublePrecision) {
  ParameterBlock block;
  const Parameter w(block, block.add("w", {3, 2}, true));
  const Parameter b(block, block.add("b", {3}, false));
  for (std::int64_t i = 0; i < block.length(); ++i)
    block.values()[i] = 0.1f * static_cast<float>(i % 11) - 0.4f;
  const std::int32_t labels[] = {2, 0};
  const auto loss = [&](Tape& tape) {
    return cross_entropy(gelu(linear(tape.constant({0.5, -1.0, 2.0, 0.1}, {2, 2}), w, b)), labels);
  };
  const auto report = gradcheck(block, loss);
  EXPECT_TRUE(report) << report.message;
  EXPECT_GT(report.checked, 8);
}

}  // namespace
}  // namespace reel
