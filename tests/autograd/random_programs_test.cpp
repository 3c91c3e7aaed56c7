#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "autograd/derivatives.h"
#include "kernels/philox.h"

// Programs of 5 to 30 ops from the registry, each fed with whatever earlier results it accepts, so that
// results are shared, broadcast and left unused as no test by hand would have it. Forwards and backwards must
// agree.
//
//   REEL_PROGRAMS=20000   how many (default 500)
//   REEL_PROGRAM=1234:7   one of them, cut after so many ops, as a failure prints it

namespace reel {
namespace {

struct Program {
  std::uint64_t seed = 0;
  int ops = 0;
};

struct Outcome {
  double gap = 0;  // between u . J v and v . J^T u, in units of the tolerance
  std::vector<std::string> names;
};

std::vector<const Op*> usable_ops() {
  std::vector<const Op*> ops;
  for (const Op& op : registry()) {
    if (op.differentiable() && !op.samples.empty()) ops.push_back(&op);
  }
  // The registry's order follows the linker.
  std::sort(ops.begin(), ops.end(), [](const Op* a, const Op* b) { return a->name < b->name; });
  return ops;
}

// Small enough to go on with, and with a slope: a root has none at 0.
bool tame(const Tensor& t) {
  const auto small = [](double x) { return std::fabs(x) < 1e3; };
  const std::vector<double> values = t.values();
  const std::vector<double> slopes = t.tangents();
  return t.size() <= 400 && std::all_of(values.begin(), values.end(), small) &&
         std::all_of(slopes.begin(), slopes.end(), small);
}

Outcome run(const Program& program) {
  static const std::vector<const Op*> ops = usable_ops();
  const kernels::Philox philox(program.seed, 0x70726f67);
  std::uint64_t next = 0;
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(philox.below(next++, n)); };
  const auto number = [&] { return 2 * philox.uniform(next++) - 1; };

  Tape tape(Precision::dual);
  const auto step = tape.record();
  std::vector<Tensor> leaves;
  std::vector<std::vector<double>> directions;
  for (const Shape& shape :
       {Shape{3, 5}, Shape{3, 5}, Shape{5, 3}, Shape{5}, Shape{3, 1}, Shape{}, Shape{2, 3, 5}}) {
    std::vector<double> x, v;
    for (std::int64_t i = 0; i < shape.size(); ++i) {
      x.push_back(number());
      v.push_back(number());
    }
    leaves.push_back(tape.variable(x, v, shape));
    directions.push_back(std::move(v));
  }
  std::vector<Tensor> made = leaves;
  Outcome outcome;
  for (int attempt = 0; attempt < 3000 && static_cast<int>(outcome.names.size()) < program.ops; ++attempt) {
    const Op& op = *ops[below(ops.size())];
    const Sample& sample = op.samples[below(op.samples.size())];
    std::vector<Tensor> inputs;
    for (std::size_t i = 0; i < sample.shapes.size(); ++i) inputs.push_back(made[below(made.size())]);
    try {
      const Tensor y = sample.run != nullptr
                           ? sample.run(inputs)
                           : record(op, std::vector<Here>(inputs.begin(), inputs.end()), nullptr, 0);
      if (!tame(y)) continue;
      made.push_back(y);
      outcome.names.emplace_back(op.name);
    } catch (const Error&) {  // these shapes do not fit this op
    }
  }
  Tensor loss = tape.constant(0.0);
  for (std::size_t i = leaves.size(); i < made.size(); ++i) loss = loss + sum(tanh(made[i]));
  tape.detect_anomaly(true);
  try {
    tape.backward(loss);
  } catch (const NonFiniteError& e) {
    // At 0 the slope of a root is infinite, whatever the direction.
    const std::string culprit = e.what();
    const bool root = culprit.find("error: sqrt: ") != std::string::npos ||
                      culprit.find("error: pow: ") != std::string::npos;
    outcome.gap = root ? 0 : INFINITY;
    return outcome;
  }
  const double forwards = loss.tangents()[0];
  double backwards = 0, size = 1;
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    const std::vector<double> gradient = leaves[i].gradient();
    for (std::size_t j = 0; j < gradient.size(); ++j) {
      backwards += gradient[j] * directions[i][j];
      size += std::fabs(gradient[j] * directions[i][j]);
    }
  }
  outcome.gap = std::fabs(forwards - backwards) / (1e-10 * size);
  return outcome;
}

bool holds(const Outcome& o) { return o.gap <= 1; }

std::string words(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

TEST(RandomPrograms, ForwardsAndBackwardsAgree) {
  const char* count = std::getenv("REEL_PROGRAMS");
  const std::uint64_t programs = count == nullptr ? 500 : std::strtoull(count, nullptr, 10);
  std::size_t ops = 0;
  for (std::uint64_t seed = 1; seed <= programs; ++seed) {
    Program program{seed, 5 + static_cast<int>(seed % 26)};
    const Outcome whole = run(program);
    ASSERT_EQ(whole.names.size(), static_cast<std::size_t>(program.ops));
    ops += whole.names.size();
    if (holds(whole)) continue;
    for (int n = 1; n < program.ops; ++n) {  // the shortest beginning that fails
      if (!holds(run({seed, n}))) {
        program.ops = n;
        break;
      }
    }
    const Outcome shortest = run(program);
    FAIL() << words(shortest.names) << ": " << shortest.gap
           << " times the tolerance; again with\n  REEL_PROGRAM=" << seed << ":" << program.ops
           << " test_autograd --gtest_filter='RandomProgram.*'";
  }
  RecordProperty("ops", std::to_string(ops));
}

TEST(RandomProgram, Again) {
  const char* text = std::getenv("REEL_PROGRAM");
  if (text == nullptr) GTEST_SKIP() << "set REEL_PROGRAM to what a failure printed";
  char* colon = nullptr;
  Program program;
  program.seed = std::strtoull(text, &colon, 10);
  program.ops = *colon == ':' ? std::atoi(colon + 1) : 30;
  const Outcome outcome = run(program);
  EXPECT_LE(outcome.gap, 1) << words(outcome.names);
}

}  // namespace
}  // namespace reel
