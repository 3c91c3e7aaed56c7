#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "autograd/autograd.h"

// Ops whose gradient is the one that comes from above: the tape passes that on, as its memory where it can.

namespace reel {
namespace {

using Values = std::vector<double>;

// What arrives at each tensor on the way must be the user's own, whoever takes over memory further down.
TEST(PassesDy, GradientsOfAllOnTheWayAreTheirOwn) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0}, {2});
  const Tensor y = tape.variable({3.0, 4.0}, {2});
  const Tensor a = scale(x, 2).retain_gradient();
  const Tensor b = square(y);
  const Tensor c = add(a, b).retain_gradient();
  const Tensor d = add(scale(a, 3), shift(b, 1));
  tape.backward(sum(mul(c, tape.constant({5.0, 7.0}, {2})) + scale(d, 10)));
  EXPECT_EQ(c.gradient(), (Values{5, 7}));
  EXPECT_EQ(a.gradient(), (Values{5 + 30, 7 + 30}));
  EXPECT_EQ(x.gradient(), (Values{2 * 35, 2 * 37}));
  EXPECT_EQ(y.gradient(), (Values{6 * 15, 8 * 17}));
}

TEST(PassesDy, ATensorAddedToItselfGetsItTwice) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0}, {2});
  const Tensor made = scale(x, 3);
  tape.backward(sum(square(add(made, made))));
  EXPECT_EQ(x.gradient(), (Values{3 * 2 * 2 * 6.0, 3 * 2 * 2 * 12.0}));
  const Tensor same = tape.variable({1.0, 2.0}, {2});
  tape.backward(sum(square(add(same, same))));
  EXPECT_EQ(same.gradient(), (Values{8, 16}));
}

TEST(PassesDy, WhatHasAGradientAlreadyAddsIt) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0}, {2});
  const Tensor made = scale(x, 3);
  const Tensor first = shift(made, 1);  // played last
  const Tensor loss = sum(mul(made, first)) + sum(made * 100.0);
  tape.backward(loss);
  EXPECT_EQ(x.gradient(), (Values{3 * (2 * 3 + 1 + 100), 3 * (2 * 6 + 1 + 100)}));
}

TEST(PassesDy, AnAddendThatIsStretchedGetsTheSum) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0, 3.0, 4.0, 5.0, 6.0}, {3, 2});
  const Tensor row = tape.variable({10.0, 20.0}, {2});
  const Tensor made = scale(row, 2);
  const Tensor weights = tape.constant({1.0, 2.0, 3.0, 4.0, 5.0, 6.0}, {3, 2});
  tape.backward(sum(mul(add(made, scale(x, 3)), weights)));
  EXPECT_EQ(row.gradient(), (Values{2 * 9, 2 * 12}));
  EXPECT_EQ(x.gradient(), (Values{3, 6, 9, 12, 15, 18}));
}

TEST(PassesDy, AParameterGetsItInTheMemoryOfItsModel) {
  ParameterBlock block;
  const Parameter p(block, block.add("p", {2}, true));
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0}, {2});
  tape.backward(sum(mul(add(p, scale(x, 2)), tape.constant({5.0, 7.0}, {2}))));
  EXPECT_EQ(p.gradient()[0], 5);
  EXPECT_EQ(p.gradient()[1], 7);
  EXPECT_EQ(x.gradient(), (Values{10, 14}));
}

// A chain of residual layers, as a Transformer has it, against the derivative by hand: y = x (1 + w)^3.
TEST(PassesDy, AChainOfResidualLayers) {
  Tape tape;
  for (int round = 0; round < 3; ++round) {
    const auto step = tape.record();
    const Tensor x = tape.variable({1.0, -2.0}, {2, 1});
    const Tensor w = tape.variable({0.5}, {1, 1});
    Tensor y = scale(x, 1);
    for (int layer = 0; layer < 3; ++layer) y = add_linear(y, y, w);
    tape.backward(sum(mul(y, tape.constant({1.0, 10.0}, {2, 1}))));
    EXPECT_EQ(y.values(), (Values{3.375, -6.75}));
    EXPECT_EQ(x.gradient(), (Values{3.375, 33.75}));
    EXPECT_EQ(w.gradient(), (Values{3 * 2.25 * (1.0 - 20.0)}));
  }
}

// The engine calls a card of the user's own as it does those of Reel.
TEST(PassesDy, ACardOfTheUsersOwnMayPassItToSomeInputs) {
  const Op& weighted = define({.name = "test_weighted_sum",
                               .formula = "z = x + 3 y;  dx = dz,  dy = 3 dz",
                               .inputs = {"x", "y"},
                               .shape = {"same", [](const Call& c) { return c[0]; }},
                               .forward =
                                   [](auto& c) {
                                     for (std::int64_t i = 0; i < c.size_y(); ++i)
                                       c.y()[i] = c.x(0)[i] + c.scalar(3) * c.x(1)[i];
                                   },
                               .backward =
                                   [](auto& c) {
                                     if (c.dx(0)) c.refuse("the tape passes this one on");
                                     auto* const dz = c.dy_to_change();
                                     for (std::int64_t i = 0; i < c.size_y(); ++i)
                                       dz[i] = c.scalar(3) * dz[i];
                                     for (std::int64_t i = 0; i < c.size_y() && c.dx(1); ++i)
                                       c.dx(1).store(i, dz[i]);
                                   },
                               .passes_dy_to = {0}});
  for (const bool watched : {false, true}) {
    Tape tape;
    tape.watch(watched);
    const auto step = tape.record();
    const Tensor x = tape.variable({1.0, 2.0}, {2});
    const Tensor made = scale(x, 2);
    const Tensor z = record(weighted, {made, made});
    tape.backward(sum(square(z)));
    // z = 8 x: dz/dx times 2 z
    EXPECT_EQ(x.gradient(), (Values{8 * 16, 8 * 32})) << watched;
  }
}

// Which of several gradients is not finite is found by delivering them once more.
TEST(PassesDy, AnInfiniteSumIsToldApartFromAnInfiniteShare) {
  Tape tape;
  tape.detect_anomaly(true);
  const auto step = tape.record();
  const Tensor x = tape.variable({1e-3, 1e-3}, {2});
  const Tensor made = scale(x, 1);
  const Tensor loss = sum(add(made, made) * 3e38);
  try {
    tape.backward(loss);
    FAIL() << "no error";
  } catch (const NonFiniteError& e) {
    const std::string what = e.what();
    EXPECT_NE(what.find("add: gradient 0 of x is inf"), std::string::npos) << what;
  }
}

}  // namespace
}  // namespace reel
