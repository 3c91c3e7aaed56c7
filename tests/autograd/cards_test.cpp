#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <deque>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "autograd/gradcheck.h"
#include "kernels/parallel.h"
#include "kernels/philox.h"
#include "tests/support/guarded.h"

// What every op must hold, tried on every sample of every card in the registry. A new card is tested by being
// there.

namespace reel {
namespace {

struct Case {
  const Op* op;
  const Sample* sample;
  std::size_t number;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const Op& op : registry()) {
    for (std::size_t i = 0; i < op.samples.size(); ++i) cases.push_back({&op, &op.samples[i], i});
  }
  return cases;
}

template <class Wanted>
std::vector<Case> cases_where(Wanted wanted) {
  std::vector<Case> cases = all_cases();
  std::erase_if(cases, [&](const Case& c) { return !wanted(c); });
  return cases;
}

void PrintTo(const Case& c, std::ostream* out) { *out << c.op->name << " sample " << c.number; }

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  return std::string(info.param.op->name) + "_" + std::to_string(info.param.number);
}

Tensor call(const Case& c, Tensors x) {
  if (c.sample->run != nullptr) return c.sample->run(x);
  std::vector<Here> inputs(x.begin(), x.end());
  return record(*c.op, inputs, nullptr, 0);
}

Arrays inputs_of(const Case& c, std::uint64_t seed = 7) {
  // By the name: the number in the registry changes when another card comes before it.
  const kernels::Philox numbers(seed, kernels::stream_of(c.op->name));
  Arrays x;
  std::uint64_t next = 0;
  for (const Shape& shape : c.sample->shapes) {
    Array a{shape, {}};
    for (std::int64_t i = 0; i < shape.size(); ++i) {
      a.values.push_back(c.sample->low + (c.sample->high - c.sample->low) * numbers.uniform(next++));
    }
    x.push_back(std::move(a));
  }
  return x;
}

GradcheckOptions proof(const Case& c) {
  GradcheckOptions options;
  options.differences = c.sample->smooth;
  return options;
}

std::string describe(const GradcheckReport& report) {
  std::ostringstream text;
  text << "against differences " << report.difference_error << ", against dual numbers " << report.dual_error
       << "\n"
       << report.message;
  return text.str();
}

// A number that depends on every element of y in its own way, and not linearly.
Tensor bent(Tensor y) {
  std::vector<double> weights;
  for (std::int64_t i = 0; i < y.size(); ++i) weights.push_back(0.5 + 0.1 * static_cast<double>(i % 7));
  return sum(tanh(y * 0.3) * y.tape().constant(weights, y.shape()));
}

struct Outcome {
  std::vector<double> value;
  std::vector<std::vector<double>> gradients;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

struct RunOptions {
  Precision precision = Precision::f32;
  bool poison = false;
  bool poison_unread = false;
  bool retain = false;
  unsigned constants = 0;  // bit i: input i wants no gradient
  bool blobs = false;      // those lie in memory of the test, behind which nobody may read
};

Outcome run(const Case& c, const Arrays& x, const RunOptions& options) {
  Tape tape(options.precision);
  tape.poison(options.poison);
  tape.poison_unread(options.poison_unread);
  const auto step = tape.record();
  std::vector<Tensor> inputs;
  std::deque<reel::testing::Guarded<float>> blobs;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::vector<double>& values = x[i].values;
    if ((options.constants >> i & 1) == 0) {
      inputs.push_back(tape.variable(values, x[i].shape));
    } else if (options.blobs) {
      float* const blob = blobs.emplace_back(values.size()).data();
      std::transform(values.begin(), values.end(), blob, [](double v) { return static_cast<float>(v); });
      inputs.push_back(tape.from_blob({blob, values.size()}, x[i].shape));
    } else {
      inputs.push_back(tape.constant(values, x[i].shape));
    }
  }
  const Tensor y = call(c, inputs);
  Outcome result;
  result.value = y.values();
  std::vector<double> upstream;
  for (std::int64_t i = 0; i < y.size(); ++i) upstream.push_back(1 - 0.2 * static_cast<double>(i % 5));
  if (!c.op->differentiable() || options.constants + 1 == 1U << x.size()) return result;
  tape.backward(y, upstream, {.retain_graph = options.retain});
  if (options.retain) tape.backward(y, upstream);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool constant = (options.constants >> i & 1) != 0;
    result.gradients.push_back(constant ? std::vector<double>{} : inputs[i].gradient());
  }
  return result;
}

class EveryCard : public ::testing::TestWithParam<Case> {};
class EveryGradient : public ::testing::TestWithParam<Case> {};
class EverySmoothGradient : public ::testing::TestWithParam<Case> {};
class EveryCardOfTwo : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Registry, EveryCard, ::testing::ValuesIn(all_cases()), name_of);
INSTANTIATE_TEST_SUITE_P(Registry, EveryGradient, ::testing::ValuesIn(cases_where([](const Case& c) {
                           return c.op->differentiable();
                         })),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Registry, EverySmoothGradient, ::testing::ValuesIn(cases_where([](const Case& c) {
                           return c.op->differentiable() && c.sample->smooth;
                         })),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Registry, EveryCardOfTwo, ::testing::ValuesIn(cases_where([](const Case& c) {
                           return c.sample->shapes.size() >= 2;
                         })),
                         name_of);

TEST_P(EveryGradient, EqualsDifferencesAndDualNumbers) {
  const Case& c = GetParam();
  const auto report = gradcheck([&](Tensors x) { return call(c, x); }, inputs_of(c), proof(c));
  EXPECT_TRUE(report) << describe(report);
}

TEST_P(EveryGradient, HoldsBelowANonlinearConsumer) {
  const Case& c = GetParam();
  const auto report = gradcheck([&](Tensors x) { return bent(call(c, x)); }, inputs_of(c, 8), proof(c));
  EXPECT_TRUE(report) << describe(report);
}

TEST_P(EveryGradient, AddsUpWhenInputsAndResultsAreUsedAgain) {
  const Case& c = GetParam();
  const auto report = gradcheck(
      [&](Tensors x) {
        Tensor total = bent(call(c, x)) + sum(call(c, x));
        for (const Tensor& t : x) total = total + sum(t * t);
        return total;
      },
      inputs_of(c, 9), proof(c));
  EXPECT_TRUE(report) << describe(report);
}

TEST_P(EverySmoothGradient, HasAHessianThatEqualsDifferencesOfGradients) {
  const Case& c = GetParam();
  const auto f = [&](Tensors x) { return bent(call(c, x)); };
  const Arrays x = inputs_of(c, 10);
  Arrays v = inputs_of(c, 11);
  for (Array& a : v) {
    for (double& number : a.values) number = std::sin(13 * number);
  }
  const auto shifted = [&](double by) {
    Arrays moved = x;
    for (std::size_t i = 0; i < x.size(); ++i) {
      for (std::size_t j = 0; j < x[i].values.size(); ++j) moved[i].values[j] += by * v[i].values[j];
    }
    return grad(f, moved);
  };
  const double h = 1e-3;
  const Arrays exact = hvp(f, x, v);
  const Arrays up = shifted(h / 2), down = shifted(-h / 2), far_up = shifted(h), far_down = shifted(-h);
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t j = 0; j < x[i].values.size(); ++j) {
      const double difference =
          (8 * (up[i].values[j] - down[i].values[j]) - (far_up[i].values[j] - far_down[i].values[j])) /
          (6 * h);
      EXPECT_NEAR(exact[i].values[j], difference, 1e-6 * std::max(1.0, std::fabs(difference)))
          << "input " << i << " element " << j;
    }
  }
}

TEST_P(EveryCard, ReadsNoMemoryBeforeItIsWritten) {
  const Case& c = GetParam();
  const Arrays x = inputs_of(c);
  EXPECT_EQ(run(c, x, {}), run(c, x, {.poison = true}));
}

TEST_P(EveryGradient, ReadsInBackwardOnlyWhatItsCardSays) {
  const Case& c = GetParam();
  const Arrays x = inputs_of(c);
  EXPECT_EQ(run(c, x, {}).gradients, run(c, x, {.poison_unread = true}).gradients);
}

TEST_P(EveryGradient, DoesNotDependOnWhichInputsWantGradients) {
  const Case& c = GetParam();
  const Arrays x = inputs_of(c);
  const Outcome all = run(c, x, {});
  for (unsigned constants = 1; constants < (1U << x.size()); ++constants) {
    const Outcome some = run(c, x, {.constants = constants});
    EXPECT_EQ(some.value, all.value);
    for (std::size_t i = 0; i < some.gradients.size(); ++i) {
      if ((constants >> i & 1) != 0) continue;
      EXPECT_EQ(some.gradients[i], all.gradients[i]) << "input " << i;
    }
  }
}

TEST_P(EveryCard, ReadsBlobsWhereTheyAreAndNothingBehindThem) {
  const Case& c = GetParam();
  const Arrays x = inputs_of(c);
  for (unsigned constants = 1; constants < (1U << x.size()); ++constants)
    EXPECT_EQ(run(c, x, {.constants = constants, .blobs = true}), run(c, x, {.constants = constants}));
}

TEST_P(EveryGradient, DoublesOnASecondBackward) {
  const Case& c = GetParam();
  const Arrays x = inputs_of(c);
  const Outcome once = run(c, x, {});
  const Outcome twice = run(c, x, {.retain = true});
  for (std::size_t i = 0; i < once.gradients.size(); ++i) {
    for (std::size_t j = 0; j < once.gradients[i].size(); ++j) {
      const double doubled = 2 * once.gradients[i][j];
      EXPECT_NEAR(twice.gradients[i][j], doubled, 1e-6 * std::max(1.0, std::fabs(doubled)));
    }
  }
}

TEST_P(EveryCard, GivesTheSameBitsForAnyNumberOfThreads) {
  const Case& c = GetParam();
  const Arrays x = inputs_of(c);
  const Outcome one = run(c, x, {});
  for (const int threads : {2, 3, 5}) {
    kernels::set_threads(threads);
    EXPECT_EQ(run(c, x, {}), one) << threads << " threads";
  }
  kernels::set_threads(1);
}

TEST_P(EveryCard, IsTheSameInSingleAndDoublePrecision) {
  const Case& c = GetParam();
  Arrays x = inputs_of(c);
  for (Array& a : x) {
    for (double& v : a.values) v = static_cast<float>(v);
  }
  const Outcome single = run(c, x, {.precision = Precision::f32});
  const Outcome twice = run(c, x, {.precision = Precision::f64});
  const auto compare = [](const std::vector<double>& a, const std::vector<double>& b) {
    ASSERT_EQ(a.size(), b.size());
    double scale = 1;
    for (const double v : b) scale = std::max(scale, std::fabs(v));
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 2e-6 * scale) << "element " << i;
  };
  compare(single.value, twice.value);
  for (std::size_t i = 0; i < single.gradients.size(); ++i) compare(single.gradients[i], twice.gradients[i]);
}

TEST_P(EveryCardOfTwo, RefusesShapesThatDoNotFitAndNamesThem) {
  const Case& c = GetParam();
  Tape tape;
  const auto step = tape.record();
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < c.sample->shapes.size(); ++i) {
    const Shape odd{static_cast<std::int64_t>(7 + 4 * i), static_cast<std::int64_t>(3 + 2 * i)};
    inputs.push_back(tape.constant(std::vector<float>(static_cast<std::size_t>(odd.size())), odd));
  }
  try {
    call(c, inputs);
    FAIL() << "accepted";
  } catch (const ShapeError& e) {
    const std::string message = e.what();
    const bool named = message.find(std::string(c.op->name) + ":") != std::string::npos;
    const bool stacked = c.op->name == "concat" && message.find("stack:") != std::string::npos;
    EXPECT_TRUE(named || stacked) << message;
    EXPECT_NE(message.find("[7, 3]"), std::string::npos) << message;
    EXPECT_NE(message.find("[11, 5]"), std::string::npos) << message;
  }
}

// Whether one of the statements of a formula, which two spaces separate, is "d... = ".
bool has_derivative(std::string_view formula) {
  for (std::size_t i = formula.find("  d"); i != formula.npos; i = formula.find("  d", i + 1)) {
    const std::string_view statement = formula.substr(i + 2, formula.find("  ", i + 2) - (i + 2));
    if (statement.size() > 1 && std::isalpha(static_cast<unsigned char>(statement[1])) != 0 &&
        statement.find(" = ") != statement.npos)
      return true;
  }
  return false;
}

TEST(Cards, EveryPrototypeHasACardAndEveryCardSamples) {
  std::set<std::string> names;
  for (const Op& op : registry()) {
    if (op.name.starts_with("wrong_")) continue;  // made by a test
    EXPECT_TRUE(names.insert(std::string(op.name)).second) << op.name << " is there twice";
    EXPECT_FALSE(op.formula.empty()) << op.name;
    EXPECT_TRUE(op.stops || has_derivative(op.formula)) << op.name << " has no derivative: " << op.formula;
    EXPECT_FALSE(op.samples.empty()) << op.name;
  }
  // Functions that are made of other cards.
  const std::set<std::string> composed = {"transpose", "split",   "stack",   "outer",
                                          "dot",       "flatten", "squeeze", "unsqueeze"};
  std::ifstream file(REEL_SOURCE_DIR "/autograd/ops.h");
  ASSERT_TRUE(file);
  std::size_t prototypes = 0;
  const std::regex prototype(R"(^(?:Tensor|std::vector<Tensor>) ([a-z_0-9]+)\()");
  for (std::string line; std::getline(file, line);) {
    std::smatch match;
    if (!std::regex_search(line, match, prototype)) continue;
    ++prototypes;
    const std::string name = match[1];
    EXPECT_TRUE(names.count(name) == 1 || composed.count(name) == 1) << "no card for " << name;
  }
  EXPECT_GT(prototypes, 70u);
}

}  // namespace
}  // namespace reel
