#include "autograd/derivatives.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <locale>
#include <string>
#include <vector>

#include "autograd/gradcheck.h"
#include "kernels/math.h"

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

// No derivative passes it in either direction; before, duals took theirs along.
TEST(Derivatives, NoneGoesPastStopGradient) {
  const auto f = [](Tensors x) { return sum(x[0] * stop_gradient(x[0])); };
  const Array x{{2}, {1, 2}};
  const Array v{{2}, {1, 1}};
  EXPECT_EQ(grad(f, {x})[0].values, (std::vector<double>{1, 2}));
  EXPECT_EQ(jvp(f, {x}, {v}).values, std::vector<double>{3});
  EXPECT_EQ(hvp(f, {x}, {v})[0].values, (std::vector<double>{0, 0}));
  EXPECT_TRUE(gradcheck(f, {x}, {.differences = false}).passed);
}

// A score that is hidden by -inf is a constant, which does not move.
TEST(HessianVectorProduct, GoesPastAHiddenScore) {
  const std::vector<std::uint8_t> seen = {1, 1, 0};
  const Array x{{3}, {0.5, -1, 2}}, v{{3}, {1, 0, 0}};
  const double p = 1 / (1 + std::exp(-1.5)), slope = p * (1 - p);
  const auto hidden = [&](Tensors t) {
    return where(seen, t[0], t[0].tape().constant(-std::numeric_limits<double>::infinity()));
  };
  const auto expect = [&](const Function& f, double first) {
    const Array column = hvp(f, {x}, {v})[0];
    EXPECT_NEAR(column.values[0], first, 1e-14);
    EXPECT_NEAR(column.values[1], -first, 1e-14);
    EXPECT_EQ(column.values[2], 0);
  };
  expect([&](Tensors t) { return logsumexp(hidden(t)); }, slope);
  const std::int32_t label[] = {1};
  expect([&](Tensors t) { return cross_entropy(reshape(hidden(t), {1, 3}), label); }, slope);
  const Array weights{{3}, {1, 2, 3}};
  expect([&](Tensors t) { return sum(softmax(hidden(t)) * t[0].tape().constant(weights.values, {3})); },
         -slope * (1 - 2 * p));
  EXPECT_NEAR(jvp([&](Tensors t) { return logsumexp(hidden(t)); }, {x}, {v}).values[0], p, 1e-14);
}

// softmax(x + log(mask)) is a common way to hide a score.
TEST(HessianVectorProduct, GoesPastTheLogarithmOfAMask) {
  const auto f = [](Tensors t) {
    const Tensor mask = t[0].tape().constant({1.0, 1.0, 0.0}, {3});
    return sum(square(softmax(t[0] + log(mask))));
  };
  const Array x{{3}, {0.5, -1, 2}}, v{{3}, {1, 0, 0}};
  EXPECT_TRUE(gradcheck(f, {x}));
  const double p = 1 / (1 + std::exp(-1.5)), slope = p * (1 - p);
  EXPECT_NEAR(jvp(f, {x}, {v}).values[0], 2 * slope * (2 * p - 1), 1e-14);
  // d/dx of 2 p (1 - p) (2 p - 1)
  const double second = 2 * slope * ((1 - 2 * p) * (2 * p - 1) + 2 * slope);
  const Array column = hvp(f, {x}, {v})[0];
  EXPECT_NEAR(column.values[0], second, 1e-14);
  EXPECT_NEAR(column.values[1], -second, 1e-14);
  EXPECT_EQ(column.values[2], 0);
}

// Where two choices are as good, x and its target must take the same.
TEST(HessianVectorProduct, OfHuberIsSymmetricAtItsKinks) {
  const auto f = [](Tensors t) { return sum(huber(t[0], t[1])); };
  const Array x{{2}, {1, -1}}, target{{2}, {0, 0}}, ones{{2}, {1, 1}}, zeros{{2}, {0, 0}};
  EXPECT_EQ(hvp(f, {x, target}, {ones, zeros})[1].values, hvp(f, {x, target}, {zeros, ones})[0].values);
}

// As an op of constants has no derivative, however steep it is there.
TEST(Jvp, OfAConstantIsZeroWhereTheSlopeIsInfinite) {
  const double inf = std::numeric_limits<double>::infinity();
  struct Steep {
    const char* name;
    Tensor (*op)(Here);
    double at;
  };
  const Steep all[] = {{"log", log, 0},   {"log1p", log1p, -1},  {"sqrt", sqrt, 0},      {"rsqrt", rsqrt, 0},
                       {"exp", exp, inf}, {"expm1", expm1, inf}, {"square", square, inf}};
  for (const Steep& steep : all) {
    const auto f = [&](Tensors t) { return t[0] + steep.op(t[0].tape().constant(steep.at)); };
    EXPECT_EQ(jvp(f, {{{}, {1}}}, {{{}, {1}}}).values[0], 1) << steep.name;
  }
  const auto quotient = [](Tensors t) { return t[0] + div(1.0, t[0].tape().constant(0.0)); };
  EXPECT_EQ(jvp(quotient, {{{}, {1}}}, {{{}, {1}}}).values[0], 1);
}

// d^2 (x^y) / dx dy = x^(y-1) (1 + y log x), also where y is 0.
TEST(HessianVectorProduct, OfAPowerWhoseExponentIsZero) {
  const auto f = [](Tensors t) { return sum(pow(t[0], t[1])); };
  const Array two{{1}, {2}}, zero{{1}, {0}}, one{{1}, {1}};
  const Arrays along_y = hvp(f, {two, zero}, {zero, one});
  EXPECT_DOUBLE_EQ(along_y[0].values[0], 0.5);
  EXPECT_DOUBLE_EQ(along_y[1].values[0], std::log(2.0) * std::log(2.0));
  const Arrays along_x = hvp(f, {two, zero}, {one, zero});
  EXPECT_EQ(along_x[0].values[0], 0);
  EXPECT_DOUBLE_EQ(along_x[1].values[0], 0.5);
}

TEST(Jvp, KeepsItsDigitsWhereSigmoidAndTanhAreNearOne) {
  const Array one{{1}, {1}};
  const auto slope = [&](const Function& f, double x) { return jvp(f, {{{1}, {x}}}, {one}).values[0]; };
  EXPECT_DOUBLE_EQ(slope([](Tensors t) { return sigmoid(t[0]); }, 40), std::exp(-40.0));
  EXPECT_DOUBLE_EQ(slope([](Tensors t) { return tanh(t[0]); }, 20), 4 * std::exp(-40.0));
  EXPECT_DOUBLE_EQ(slope([](Tensors t) { return tanh(t[0]); }, -0.5), 1 / std::pow(std::cosh(0.5), 2));
}

// Nor an op that stops gradients itself.
TEST(Derivatives, NoneComesOutOfAnOpThatStopsGradients) {
  const auto f = [](Tensors x) { return attention_weights(x[0], x[0]); };
  const Array x{{1, 1, 2, 2}, {0.1, -1, 2, 0.5}};
  const Array v{{1, 1, 2, 2}, {1, 2, 3, 4}};
  EXPECT_EQ(jvp(f, {x}, {v}).values, std::vector<double>(4));
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

// Runs the statement, whose error must start with this line.
#define EXPECT_ERROR(statement, Type, message)                                                   \
  do {                                                                                           \
    try {                                                                                        \
      statement;                                                                                 \
      ADD_FAILURE() << "no error";                                                               \
    } catch (const Type& e) {                                                                    \
      const std::string here = "derivatives_test.cpp:" + std::to_string(__LINE__) + ": error: "; \
      EXPECT_NE(std::string(e.what()).find(here + (message)), std::string::npos) << e.what();    \
    }                                                                                            \
  } while (false)

TEST(Derivatives, ADirectionOfAnotherShapeIsRefused) {
  const Array x{{3}, {1, 2, 3}}, two{{2}, {1, 2}};
  EXPECT_ERROR(jvp(cubes, {x}, {two}), ShapeError, "jvp: the direction must have the shapes of the point");
  EXPECT_ERROR(hvp(cubes, {x}, {}), ShapeError, "hvp: the direction must have the shapes of the point");
  const Array column{{3, 1}, {7, 8, 9}};  // as many numbers are not enough
  EXPECT_ERROR(jvp(cubes, {x}, {column}), ShapeError, "jvp: the direction must have the shapes of the point");
  EXPECT_ERROR(hvp(cubes, {x}, {column}), ShapeError, "hvp: the direction must have the shapes of the point");
  const Array unfilled{{3}, {1, 2}};
  EXPECT_ERROR(jvp(cubes, {x}, {unfilled}), ShapeError,
               "jvp: the direction must have the shapes of the point");
  EXPECT_ERROR(vjp(cubes, {x}, two), ShapeError,
               "vjp: the numbers to start from have shape [2], what the function gives has []");
  const auto same = [](Tensors t) { return t[0] * 2.0; };
  EXPECT_ERROR(vjp(same, {x}, column), ShapeError, "vjp: the numbers to start from have shape [3, 1]");
  EXPECT_ERROR(vjp(same, {x}, unfilled), ShapeError, "vjp: 2 values do not fill the shape [3] of 3");
}

TEST(Derivatives, NumbersThatDoNotFillTheirShapeAreRefusedByName) {
  const Array unfilled{{3}, {1, 2}}, none{{3}, {}};
  const std::string what = ": 2 values do not fill the shape [3] of 3";
  EXPECT_ERROR(evaluate(cubes, {unfilled}), ShapeError, "evaluate" + what);
  EXPECT_ERROR(grad(cubes, {unfilled}), ShapeError, "grad" + what);
  EXPECT_ERROR(jvp(cubes, {unfilled}, {unfilled}), ShapeError, "jvp" + what);
  EXPECT_ERROR(vjp(cubes, {unfilled}, {{}, {1}}), ShapeError, "vjp" + what);
  EXPECT_ERROR(hvp(cubes, {unfilled}, {unfilled}), ShapeError, "hvp" + what);
  EXPECT_ERROR(jacobian(cubes, unfilled), ShapeError, "jacobian" + what);
  EXPECT_ERROR(jacobian(cubes, none), ShapeError, "jacobian: 0 values do not fill the shape [3] of 3");
  EXPECT_ERROR(gradcheck(cubes, {unfilled}), ShapeError, "gradcheck" + what);
}

// A function may look at the numbers, of which every evaluation has others.
TEST(Derivatives, AShapeThatChangesBetweenEvaluationsIsRefused) {
  const Array x{{3}, {1, 2, 3}};
  for (const int late : {1, 2}) {
    int calls = 0;
    const Function more = [&](Tensors t) { return calls++ < late ? t[0] : concat({t[0], t[0]}); };
    const std::string gave = ": the function gave shape [3], then [6]";
    EXPECT_ERROR(jacobian(more, x), ShapeError, "jacobian" + gave);
    calls = 0;
    EXPECT_ERROR(gradcheck(more, {x}), ShapeError, "gradcheck" + gave);
    calls = 0;
    const Function fewer = [&](Tensors t) { return calls++ < late ? t[0] : slice(t[0], 0, 0, 1); };
    EXPECT_ERROR(jacobian(fewer, x), ShapeError, "jacobian: the function gave shape [3], then [1]");
  }
  ParameterBlock block;
  const Parameter w(block, block.add("w", {2}, true));
  int calls = 0;
  const auto loss = [&](Tape& tape) { return calls++ < 1 ? sum(tape.leaf(w)) : exp(tape.leaf(w)); };
  EXPECT_ERROR(gradcheck(block, loss), ShapeError, "gradcheck: the function gave shape [], then [2]");
}

TEST(Derivatives, AGradientIsOfOneNumber) {
  const Array x{{2}, {1, 2}};
  const auto f = [](Tensors t) { return t[0] * 2.0; };
  EXPECT_ERROR(grad(f, {x}), ShapeError, "grad: the function must give one number, it gave shape [2]");
  EXPECT_ERROR(hvp(f, {x}, {x}), ShapeError, "hvp: the function must give one number, it gave shape [2]");
}

TEST(Derivatives, OfAConstantAreZero) {
  const Array x{{2}, {1, 2}}, one{{}, {1}};
  const auto f = [](Tensors t) { return t[0].tape().constant(3.0); };
  const std::vector<double> zeros = {0, 0};
  EXPECT_EQ(grad(f, {x})[0].values, zeros);
  EXPECT_EQ(grad(f, {x})[0].shape, x.shape);
  EXPECT_EQ(vjp(f, {x}, one)[0].values, zeros);
  EXPECT_EQ(hvp(f, {x}, {x})[0].values, zeros);
  EXPECT_EQ(jvp(f, {x}, {x}).values, std::vector<double>{0});
  EXPECT_EQ(jacobian(f, x).values, zeros);
  EXPECT_TRUE(gradcheck(f, {x}));
}

TEST(Derivatives, OfNoInputsHaveAShape) {
  const Array none{{0, 2}, {}};
  const Array j = jacobian([](Tensors t) { return sum(t[0], {.axes = {0}}); }, none);
  EXPECT_EQ(j.shape, (Shape{2, 0}));
  EXPECT_TRUE(j.values.empty());
  EXPECT_EQ(grad([](Tensors t) { return sum(t[0]); }, {none})[0].shape, none.shape);
}

// There its numbers do not depend on the point, so that every derivative would be 0.
TEST(Derivatives, ATensorOfAnotherTapeIsRefused) {
  Tape own(Precision::dual);
  const auto step = own.record();
  const Tensor outside = own.variable({1, 2}, {2});
  const auto f = [&](Tensors) { return outside; };
  const Array x{{2}, {1, 2}};
  const std::string gave = ": the function gave a tensor of another tape, of shape [2]";
  EXPECT_ERROR(evaluate(f, {x}), StateError, "evaluate" + gave);
  EXPECT_ERROR(grad(f, {x}), StateError, "grad" + gave);
  EXPECT_ERROR(jvp(f, {x}, {x}), StateError, "jvp" + gave);
  EXPECT_ERROR(vjp(f, {x}, x), StateError, "vjp" + gave);
  EXPECT_ERROR(hvp(f, {x}, {x}), StateError, "hvp" + gave);
  EXPECT_ERROR(jacobian(f, x), StateError, "jacobian" + gave);
  EXPECT_ERROR(gradcheck(f, {x}), StateError, "gradcheck" + gave);
  const ParameterBlock none;
  EXPECT_ERROR(gradcheck(none, [&](Tape&) { return outside; }), StateError, "gradcheck" + gave);
  EXPECT_ERROR(jacobian([](Tensors) { return Tensor{}; }, x), StateError, "tensor: this handle is empty");
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

// Cards that are right as long as nobody else touches the memory that they do not declare.
const Op& reads_input_op = define({
    .name = "wrong_reads_input",
    .formula = "y = x^2, whose card says that backward reads the output alone",
    .shape = {"same", [](const Call& c) { return c[0]; }},
    .reads = Reads::output,
    .forward =
        [](auto& c) {
          kernels::map(
              c.result(), [](auto x) { return x * x; }, c.in());
        },
    .backward =
        [](auto& c) {
          kernels::map(
              c.gradient(), [](auto x, auto dy) { return (x + x) * dy; }, c.in(), c.upstream());
        },
});
const Op& reads_output_op = define({
    .name = "wrong_reads_output",
    .formula = "y = e^x, whose card says that backward reads the input alone",
    .shape = {"same", [](const Call& c) { return c[0]; }},
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          kernels::map(
              c.result(), [](auto x) { return kernels::exp(x); }, c.in());
        },
    .backward =
        [](auto& c) {
          kernels::map(
              c.gradient(), [](auto y, auto dy) { return y * dy; }, c.out(), c.upstream());
        },
});
const Op& leaves_out_op = define({
    .name = "wrong_leaves_out",
    .formula = "z = y, which does not depend on x, and so writes no gradient of it",
    .inputs = {"x", "y"},
    .shape = {"same", [](const Call& c) { return c[0]; }},
    .forward =
        [](auto& c) {
          kernels::map(
              c.result(), [](auto y) { return y; }, c.in(1));
        },
    .backward =
        [](auto& c) {
          kernels::map(
              c.gradient(1), [](auto dz) { return dz; }, c.upstream());
        },
});
const Op& reads_fresh_op = define({
    .name = "wrong_reads_fresh",
    .formula = "y = x, plus 0 from memory that nobody wrote",
    .shape = {"same", [](const Call& c) { return c[0]; }},
    .forward =
        [](auto& c) {
          const auto* fresh = c.scratch(c.size_y());
          for (std::int64_t i = 0; i < c.size_y(); ++i) c.y()[i] = c.x()[i] + c.scalar(0) * fresh[i];
        },
    .backward =
        [](auto& c) {
          kernels::map(
              c.gradient(), [](auto dy) { return dy; }, c.upstream());
        },
});

TEST(Gradcheck, NoticesWhatACardDoesNotDeclare) {
  const Array x{{2}, {0.5, 3}};
  for (const Op* op : {&reads_input_op, &reads_output_op, &reads_fresh_op}) {
    const auto one = [&](Tensors t) { return record(*op, {t[0]}); };
    EXPECT_FALSE(gradcheck(one, {x})) << op->name;
    const std::string message = gradcheck(one, {x}).message;
    EXPECT_NE(message.find("nan"), std::string::npos) << message;
    const bool in_forward = op == &reads_fresh_op;
    EXPECT_EQ(message.find("`reads` of the card") != std::string::npos, !in_forward) << message;
    ParameterBlock block;
    const Parameter w(block, block.add("w", {2}, true));
    EXPECT_FALSE(gradcheck(block, [&](Tape&) { return record(*op, {w}); })) << op->name;
  }
}

TEST(Gradcheck, NoticesAGradientThatIsLeftOut) {
  const Array x{{}, {0.5}};
  EXPECT_FALSE(gradcheck([](Tensors t) { return record(leaves_out_op, {t[0], t[1]}); }, {x, x}));
  // In memory that another gradient had, too.
  EXPECT_FALSE(gradcheck([](Tensors t) { return exp(exp(record(leaves_out_op, {t[0], t[1]}))); }, {x, x}));
}

// Cards that are right as long as an input is used once, and as long as every input wants a gradient.
const Op& overwrites_op = define({
    .name = "wrong_overwrites",
    .formula = "y = 3 x, whose backward overwrites what others have added",
    .shape = {"same", [](const Call& c) { return c[0]; }},
    .forward =
        [](auto& c) {
          for (std::int64_t i = 0; i < c.size_y(); ++i) c.y()[i] = c.scalar(3) * c.x()[i];
        },
    .backward =
        [](auto& c) {
          for (std::int64_t i = 0; i < c.size_y(); ++i) c.dx().data[i] = c.scalar(3) * c.dy()[i];
        },
});
constexpr auto sum_of_two = [](auto& c) {
  for (std::int64_t i = 0; i < c.size_y(); ++i) c.y()[i] = c.x(0)[i] + c.x(1)[i];
};
const Op& writes_unwanted_op = define({
    .name = "wrong_writes_unwanted",
    .formula = "z = x + y, whose backward writes the gradient of y also where nobody wants it",
    .inputs = {"x", "y"},
    .shape = {"same", [](const Call& c) { return c[0]; }},
    .forward = sum_of_two,
    .backward =
        [](auto& c) {
          for (std::int64_t i = 0; i < c.size_y(); ++i) {
            if (c.dx(0)) c.dx(0).store(i, c.dy()[i]);
            c.dx(1).store(i, c.dy()[i]);
          }
        },
});
const Op& needs_both_op = define({
    .name = "wrong_needs_both",
    .formula = "z = x + y, whose backward gives x no gradient where y is a constant",
    .inputs = {"x", "y"},
    .shape = {"same", [](const Call& c) { return c[0]; }},
    .forward = sum_of_two,
    .backward =
        [](auto& c) {
          for (std::int64_t i = 0; i < c.size_y(); ++i) {
            if (c.dx(0)) c.dx(0).store(i, c.dx(1) ? c.dy()[i] : c.scalar(0));
            if (c.dx(1)) c.dx(1).store(i, c.dy()[i]);
          }
        },
});

TEST(Gradcheck, NoticesABackwardThatOverwrites) {
  const Array x{{2}, {0.5, 3}};
  const auto report = gradcheck([](Tensors t) { return record(overwrites_op, {t[0]}); }, {x});
  EXPECT_FALSE(report);
  EXPECT_NEAR(report.reuse_error, 0.5, 1e-12);
  EXPECT_LT(report.dual_error, 1e-12);
  EXPECT_NE(report.message.find(", added to one that is there already, is "), std::string::npos)
      << report.message;
  ParameterBlock block;
  const Parameter w(block, block.add("w", {2}, true));
  EXPECT_FALSE(gradcheck(block, [&](Tape&) { return record(overwrites_op, {w}); }));
}

TEST(Gradcheck, TriesEveryInputBesideConstants) {
  const Array x{{2}, {0.5, 3}};
  const auto report = gradcheck([](Tensors t) { return record(needs_both_op, {t[0], t[1]}); }, {x, x});
  EXPECT_FALSE(report);
  EXPECT_NE(report.message.find(", while the other arguments are constants, is "), std::string::npos)
      << report.message;
  EXPECT_DEATH(gradcheck([](Tensors t) { return record(writes_unwanted_op, {t[0], t[1]}); }, {x, x}), "");
}

TEST(Gradcheck, SaysWhatToDoNearAKink) {
  const auto near = gradcheck([](Tensors t) { return abs(t[0]); }, {{{}, {1e-4}}});
  EXPECT_FALSE(near);
  EXPECT_NE(near.message.find("pass a smaller .step, or .differences = false"), std::string::npos)
      << near.message;
  EXPECT_TRUE(gradcheck([](Tensors t) { return abs(t[0]); }, {{{}, {1e-4}}}, {.differences = false}));
  // Far from a kink, but the error of the differences grows with step^4.
  const auto bent = gradcheck([](Tensors t) { return sin(100.0 * t[0]); }, {{{}, {0.3}}}, {.step = 1e-2});
  EXPECT_FALSE(bent);
  EXPECT_NE(bent.message.find("where the function bends much within a step"), std::string::npos)
      << bent.message;
  const auto wrong = gradcheck([](Tensors t) { return record(wrong_square_op, {t[0]}); }, {{{}, {3}}});
  EXPECT_EQ(wrong.message.find(".step"), std::string::npos) << wrong.message;
}

TEST(Gradcheck, WritesNumbersTheSameInEveryLanguage) {
  struct Grouped : std::numpunct<char> {
    char do_thousands_sep() const override { return ','; }
    std::string do_grouping() const override { return "\3"; }
  };
  const std::locale before = std::locale::global(std::locale(std::locale(), new Grouped));
  const auto report = gradcheck([](Tensors t) { return record(wrong_square_op, {t[0]}); }, {{{}, {4321}}});
  std::locale::global(before);
  EXPECT_NE(report.message.find("backward 4321, dual numbers 8642"), std::string::npos) << report.message;
}

TEST(Gradcheck, LeavesWhatOtherOpsRead) {
  // The sums are played first and read neither their input nor their output; the others read both.
  const auto f = [](Tensors t) {
    const Tensor y = exp(t[0]);
    return sum(y * t[0]) + sum(t[0]) + sum(y) + sum(reshape(y, {2, 1})) + sum(t[0] + t[0]);
  };
  const auto report = gradcheck(f, {{{2}, {0.5, 3}}});
  EXPECT_TRUE(report) << report.message;
}

TEST(Gradcheck, UsesRandomDirectionsWhenThereAreManyInputs) {
  Array x{{30, 20}, {}};
  for (int i = 0; i < 600; ++i) x.values.push_back(std::sin(i));
  const auto report = gradcheck([](Tensors t) { return matmul(t[0], t[0], {.transpose_b = true}); }, {x});
  EXPECT_TRUE(report) << report.message;
  EXPECT_EQ(report.checked, 8 * 8);
  const auto wrong = gradcheck([](Tensors t) { return record(wrong_square_op, {t[0]}); }, {x});
  EXPECT_FALSE(wrong);
  EXPECT_NE(wrong.message.find("d random sum of outputs "), std::string::npos) << wrong.message;
  EXPECT_NE(wrong.message.find(" / d random direction of inputs "), std::string::npos) << wrong.message;
}

TEST(Gradcheck, TakesAToleranceOfNothing) {
  const auto twice = [](Tensors t) { return 2.0 * t[0]; };
  EXPECT_TRUE(gradcheck(twice, {{{}, {1}}}, {.dual_tolerance = 0}));
  const auto third =
      gradcheck([](Tensors t) { return sin(t[0]); }, {{{}, {1}}}, {.tolerance = 0, .dual_tolerance = 1});
  EXPECT_FALSE(third);
  EXPECT_NE(third.message, "");
}

// A tape poisons what an op may not read, but only memory of its own.
TEST(Gradcheck, PoisonsNoNumbersOfTheUser) {
  static const float numbers[] = {1, 2, 3};  // in memory that cannot be written
  Tape tape;
  tape.poison_unread(true);
  const auto step = tape.record();
  const Tensor x = tape.variable({1, 1, 1}, {3});
  const Tensor blob = tape.from_blob(numbers, {3});
  tape.backward(sum(x + reshape(blob, {3})) + sum(x + blob));
  EXPECT_EQ(blob.values(), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(x.gradient(), (std::vector<double>{2, 2, 2}));
}

TEST(Gradcheck, WithoutADirectionProvesNothing) {
  const auto square_of = [](Tensors t) { return square(t[0]); };
  const auto none = gradcheck(square_of, {{{3}, {1, 2, 3}}}, {.most_columns = 0, .directions = 0});
  EXPECT_FALSE(none);
  EXPECT_EQ(none.checked, 0);
  EXPECT_EQ(none.message, "nothing was checked: ask for at least one direction");
  EXPECT_TRUE(gradcheck(square_of, {{{0}, {}}}));  // nothing is there to be checked
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
