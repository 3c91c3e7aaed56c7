#include "tests/support/random_program.h"

#include <algorithm>
#include <cmath>

#include "autograd/derivatives.h"

namespace reel {
namespace {

std::vector<const Op*> usable_ops() {
  std::vector<const Op*> ops;
  for (const Op& op : registry()) {
    if (op.differentiable() && !op.samples.empty()) ops.push_back(&op);
  }
  // The registry's order follows the linker.
  std::sort(ops.begin(), ops.end(), [](const Op* a, const Op* b) { return a->name < b->name; });
  return ops;
}

// Small enough to go on with, and with a slope: a root has none at 0. What would be 0 but for rounding is
// left out, too: the slope of its root or logarithm, 1e16 or more, makes noise of all that follows.
bool tame(const Tensor& t) {
  const auto small = [](double x) { return std::fabs(x) < 1e3; };
  const auto meant = [&](double x) { return small(x) && (x == 0 || std::fabs(x) > 1e-9); };
  const std::vector<double> values = t.values();
  const std::vector<double> slopes = t.tangents();
  return t.size() <= 400 && std::all_of(values.begin(), values.end(), meant) &&
         std::all_of(slopes.begin(), slopes.end(), small);
}

}  // namespace

Outcome run_random_program(Choices& choices, int ops_wanted) {
  static const std::vector<const Op*> ops = usable_ops();
  Tape tape(Precision::dual);
  const auto step = tape.record();
  std::vector<Tensor> leaves;
  std::vector<std::vector<double>> directions;
  for (const Shape& shape :
       {Shape{3, 5}, Shape{3, 5}, Shape{5, 3}, Shape{5}, Shape{3, 1}, Shape{}, Shape{2, 3, 5}}) {
    std::vector<double> x, v;
    for (std::int64_t i = 0; i < shape.size(); ++i) {
      x.push_back(choices.number());
      v.push_back(choices.number());
    }
    leaves.push_back(tape.variable(x, v, shape));
    directions.push_back(std::move(v));
  }
  std::vector<Tensor> made = leaves;
  Outcome outcome;
  for (int attempt = 0;
       attempt < 3000 && choices.more() && static_cast<int>(outcome.names.size()) < ops_wanted; ++attempt) {
    const Op& op = *ops[choices.below(ops.size())];
    const Sample& sample = op.samples[choices.below(op.samples.size())];
    std::vector<Tensor> inputs;
    for (std::size_t i = 0; i < sample.shapes.size(); ++i) inputs.push_back(made[choices.below(made.size())]);
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
  Tensor loss = sum(leaves[0]);
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

}  // namespace reel
