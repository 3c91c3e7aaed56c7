#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "autograd/autograd.h"
#include "tests/autograd/misuse.h"

// Cards whose parts are missing or do not fit together, and the error that says so.

namespace reel {
namespace {

using testing::HasSubstr;

Op card_of_a_name(std::string_view name) {
  return {.name = name,
          .formula = "y = x",
          .shape = {"same", [](const Call& c) { return c[0]; }},
          .forward = [](auto&) {},
          .backward = [](auto&) {}};
}

TEST(MisusedCards, ANameThatIsTakenNamesBothPlaces) {
  const Op& first = define(card_of_a_name("wrong_twice"));
  EXPECT_ERROR(define(card_of_a_name("wrong_twice")), ValueError, "there is an op \"wrong_twice\" from ");
  EXPECT_ERROR(define(card_of_a_name("wrong_twice")), ValueError,
               "misused_cards_test.cpp:" + std::to_string(first.place.line));
  EXPECT_ERROR(define(card_of_a_name("softmax")), ValueError, "autograd/ops/softmax.cpp:");
}

TEST(MisusedCards, ALineThatRunsAgainDefinesNothingNew) {
  const auto once = []() -> const Op& { return define(card_of_a_name("wrong_again")); };
  const Op& first = once();
  const std::size_t cards = registry().size();
  EXPECT_EQ(&once(), &first);
  EXPECT_EQ(registry().size(), cards);
}

template <int n>
const Op& of_a_template() {
  return define({.name = "wrong_template",
                 .formula = "y = x + n",
                 .shape = {"same", [](const Call& c) { return c[0]; }},
                 .forward = [](auto& c) { c.y()[0] = c.x()[0] + c.scalar(n); },
                 .backward = [](auto&) {}});
}

TEST(MisusedCards, ALineThatStandsForOtherFunctionsIsAnotherCard) {
  of_a_template<1>();
  EXPECT_THROW(of_a_template<2>(), ValueError);
}

TEST(MisusedCards, AFunctionThatIsMissing) {
  const auto without = [](auto change) {
    Op card = card_of_a_name("wrong_lacks");
    change(card);
    return card;
  };
  const std::string lacks = "error: define: the card of \"wrong_lacks\" has no ";
  const std::size_t cards = registry().size();
  EXPECT_ERROR(define(without([](Op& c) { c.forward = {}; })), ValueError, lacks + ".forward");
  EXPECT_ERROR(define(without([](Op& c) { c.forward.dual = nullptr; })), ValueError, lacks + ".forward");
  EXPECT_ERROR(define(without([](Op& c) { c.backward = {}; })), ValueError, lacks + ".backward");
  EXPECT_ERROR(define(without([](Op& c) { c.shape = {}; })), ValueError, lacks + ".shape");
  EXPECT_ERROR(define(without([](Op& c) { c.name = ""; })), ValueError, "the card of \"\" has no .name");
  EXPECT_EQ(registry().size(), cards);
  EXPECT_NO_THROW(define(without([](Op& c) {
    c.name = "wrong_stops";
    c.stops = true;
    c.backward = {};
  })));
  EXPECT_NO_THROW(define(without([](Op& c) {
    c.name = "wrong_view";
    c.view = true;
    c.forward = {};
    c.backward = {};
  })));
}

struct Factor {
  double value;
};
struct Count {
  std::int64_t value;
};
const Op& optioned_op = define({
    .name = "wrong_optioned",
    .formula = "z = a x, with a from the options; reads a second input if a is 2",
    .inputs = {"x", "y"},
    .shape = {"same",
              [](const Call& c) {
                if (c.inputs() == 1 && c.options<Factor>().value == 3) return c[1];
                return c[0];
              }},
    .forward =
        [](auto& c) {
          const double a = c.template options<Factor>().value;
          c.y()[0] = c.scalar(a) * c.x(a == 2 ? 1 : 0)[0];
        },
    .backward = [](auto& c) { c.dx(7); },
});

TEST_F(Misuse, InputsAndOptionsThatACardReadsAndACallDoesNotGive) {
  const auto step = tape.record();
  const Tensor x = tape.variable(4.0);
  const auto exp_op =
      std::find_if(registry().begin(), registry().end(), [](const Op& op) { return op.name == "exp"; });
  EXPECT_THROW(record(*exp_op, {}), ValueError);
  EXPECT_EQ(record(optioned_op, {x}, Factor{5}).item(), 20);
  EXPECT_ERROR(record(optioned_op, {x}), ValueError,
               "error: wrong_optioned: its card reads options, but the call gave none\n    x        []");
  EXPECT_ERROR(record(optioned_op, {x, x}), ValueError, "its card reads options, but the call gave none");
  EXPECT_ERROR(record(optioned_op, {x}, Count{5}), ValueError,
               "its card reads options of another type than the call gave");
  EXPECT_ERROR(record(optioned_op, {x, x}, Count{5}), ValueError, "options of another type");
  EXPECT_ERROR(record(optioned_op, {x}, Factor{2}), ValueError,
               "its card reads input 1, counted from 0, but the call gave 1\n    x        []");
  EXPECT_ERROR(record(optioned_op, {x}, Factor{3}), ValueError, "its card reads input 1, counted from 0");
  EXPECT_THROW(tape.backward(record(optioned_op, {x}, Factor{5})), ValueError);
  EXPECT_EQ((x * x).item(), 16);  // the tape is as it was
}

const Op& misfitting_view_op = define({
    .name = "wrong_view_size",
    .formula = "y = x, whose card is a view of one element more",
    .shape = {"one more", [](const Call& c) { return Shape{(c.inputs() == 0 ? 0 : c[0].size()) + 1}; }},
    .view = true,
});
const Op& misfitting_stretch_op = define({
    .name = "wrong_stretch",
    .formula = "z = x + y, whose card gives the shape of the first input",
    .inputs = {"x", "y"},
    .shape = {"first", [](const Call& c) { return c[0]; }, true},
    .forward =
        [](auto& c) {
          kernels::map(
              c.result(), [](auto x, auto y) { return x + y; }, c.in(0), c.in(1));
        },
    .backward =
        [](auto& c) {
          for (const int i : {0, 1})
            kernels::map(
                c.gradient(i), [](auto dz) { return dz; }, c.upstream());
        },
});

const Op& view_of_two_op = define({
    .name = "wrong_view_of_two",
    .formula = "y = x, whose card takes two inputs",
    .shape = {"first", [](const Call& c) { return c[0]; }},
    .view = true,
});

TEST_F(Misuse, AViewOfTwoTensors) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1, 2}, {2});
  EXPECT_ERROR(record(view_of_two_op, {tape.constant({1, 2}, {2}), x}), ValueError, "its card is a view");
}

TEST_F(Misuse, AViewOfAnotherSize) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1, 2}, {2});
  EXPECT_ERROR(record(misfitting_view_op, {x}), ValueError,
               "error: wrong_view_size: its card is a view, but its shape rule gives [3]\n    x        [2]");
  EXPECT_THROW(record(misfitting_view_op, {}), ValueError);
  EXPECT_EQ(sum(x).item(), 3);  // the tape is as it was
}

TEST_F(Misuse, AnInputThatDoesNotStretchToTheResult) {
  const auto step = tape.record();
  const Tensor one = tape.variable({1}, {1});
  const Tensor three = tape.variable({1, 2, 3}, {3});
  const Tensor row = tape.variable({1, 2, 3}, {1, 3});
  const std::string start =
      "error: wrong_stretch: its card stretches its inputs, but input 1, counted from 0, "
      "does not broadcast to ";
  EXPECT_ERROR(record(misfitting_stretch_op, {one, three}), ValueError, start + "[1]");
  EXPECT_ERROR(record(misfitting_stretch_op, {three, row}), ValueError, start + "[3]");
  EXPECT_ERROR(record(misfitting_stretch_op, {three, tape.variable({1, 2}, {2})}), ValueError, start + "[3]");
  EXPECT_EQ(record(misfitting_stretch_op, {three, one}).values(), (std::vector<double>{2, 3, 4}));
  EXPECT_EQ(record(misfitting_stretch_op, {row, three}).values(), (std::vector<double>{2, 4, 6}));
}

const Op& misfitting_dy_op = define({
    .name = "wrong_passed_dy",
    .formula = "z = x + y_0, whose card passes dz to y",
    .inputs = {"x", "y"},
    .shape = {"first", [](const Call& c) { return c[0]; }},
    .forward =
        [](auto& c) {
          for (std::int64_t i = 0; i < c.size_y(); ++i) c.y()[i] = c.x(0)[i] + c.x(1)[0];
        },
    .backward = [](auto&) {},
    .passes_dy_to = {0, 1},
});

TEST_F(Misuse, AnInputOfAnotherSizeThatIsToGetDy) {
  const auto step = tape.record();
  const Tensor one = tape.variable({1}, {1});
  const Tensor three = tape.variable({1, 2, 3}, {3});
  for (const Tensor& x : {one, three}) {
    const Tensor& y = x.size() == 1 ? three : one;
    EXPECT_ERROR(
        record(misfitting_dy_op, {x, y}), ValueError,
        "error: wrong_passed_dy: its card passes dy to input 1, counted from 0, which has not as many "
        "elements as " +
            to_string(x.shape()));
  }
  const Tensor row = reshape(three, {1, 3});
  tape.backward(sum(record(misfitting_dy_op, {three, row})));
  EXPECT_EQ(three.gradient(), (std::vector<double>{2, 2, 2}));
}

TEST(MisusedCards, DyForAnInputThatNoSetHolds) {
  Op card = card_of_a_name("wrong_beyond");
  card.passes_dy_to = {0, 32};
  EXPECT_ERROR(define(card), ValueError,
               "error: define: the card of \"wrong_beyond\" passes dy to an input behind the first 32");
  card.passes_dy_to = {0, 31};
  EXPECT_NO_THROW(define(card));
}

struct Saves {
  int times;
};
const Op& saving_op = define({
    .name = "wrong_saves",
    .formula = "y = x, and saves as often as its options say",
    .shape = {"same", [](const Call& c) { return c[0]; }},
    .forward =
        [](auto& c) {
          for (int i = 0; i < c.template options<Saves>().times; ++i) c.save(c.size());
          for (std::int64_t i = 0; i < c.size_y(); ++i) c.y()[i] = c.x()[i];
        },
    .backward =
        [](auto& c) {
          if (c.saved() != nullptr && c.dx()) c.dx().store(0, c.dy()[0]);
        },
});

TEST_F(Misuse, ACardThatReadsWhatItHasNotSaved) {
  const auto step = tape.record();
  const Tensor x = tape.variable(2.0);
  const Tensor y = record(saving_op, {x}, Saves{0});
  try {
    tape.backward(y);
    FAIL() << "no error";
  } catch (const ValueError& e) {
    EXPECT_THAT(e.what(), HasSubstr("misused_cards_test.cpp:"));
    EXPECT_THAT(e.what(),
                HasSubstr("error: wrong_saves: its card reads saved(), but its forward has saved nothing"));
  }
  EXPECT_NO_THROW(tape.backward(record(saving_op, {x}, Saves{1})));
}

TEST_F(Misuse, ACardThatSavesTwice) {
  const auto step = tape.record();
  const Tensor x = tape.variable(2.0);
  EXPECT_ERROR(record(saving_op, {x}, Saves{2}), ValueError,
               "error: wrong_saves: its card calls save() twice");
  EXPECT_EQ((x * x).item(), 4);  // the tape is as it was
}

const Op& saving_all_op = define({
    .name = "wrong_saves_all",
    .formula = "y = x, and saves as much as there is",
    .shape = {"same", [](const Call& c) { return c[0]; }},
    .forward = [](auto& c) { c.save(c.size()); },
    .backward = [](auto& c) { c.saved(); },
});

// A parameter has memory of its own, so that this is all that the tape is asked for.
TEST(MisusedCards, NothingMayBeSaved) {
  ParameterBlock block;
  const Parameter x(block, block.add("x", {0}, true));
  Tape tape;
  const auto step = tape.record();
  const Tensor y = record(saving_all_op, {x});
  EXPECT_NO_THROW(tape.backward(y, std::vector<double>{}));
}

}  // namespace
}  // namespace reel
