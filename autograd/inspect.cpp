#include <algorithm>
#include <iomanip>
#include <ostream>

#include "autograd/tape.h"

namespace reel {
namespace {

std::string where(const Node& node) {
  return *node.file == '\0' ? std::string("an unknown line")
                            : std::string(node.file) + ":" + std::to_string(node.line);
}

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

std::string Tape::origin(const Here& input) {
  if (input.parameter != nullptr) return "parameter \"" + input.parameter->name() + "\"";
  const Tape& tape = find(input.tensor, input.place);
  return tape.origin(tape.nodes_[input.tensor.index_]);
}

std::string Tape::origin(const Node& made) const {
  if (made.parameter >= 0) {
    const ParameterLeaf& leaf = parameter_leaves_[static_cast<std::size_t>(made.parameter)];
    if (blocks_[leaf.leaves].life.expired()) return "parameter of a model that was destroyed";
    return "parameter \"" + leaf.block->entry(leaf.index).name + "\"";
  }
  if (made.op == nullptr) return (made.wants_gradient ? "variable at " : "constant at ") + where(made);
  return "made by `" + std::string(made.op->name) + "` at " + where(made);
}

std::string Tape::operand_line(const char* name, const Node& made) const {
  return std::string("\n        ") + name + "   " + to_string(made.shape) + "  " + origin(made);
}

void Tape::profile(bool on) {
  profile_ = on;
  timing_.assign(on ? registry().size() : 0, {});
}

void Tape::note_time(const Op& op, std::chrono::steady_clock::time_point start, bool backward) {
  if (timing_.size() <= op.index) timing_.resize(registry().size());  // defined since profile() was called
  TapeStatistics::PerOp& entry = timing_[op.index];
  entry.op = op.name;
  entry.calls += backward ? 0 : 1;
  (backward ? entry.backward_ms : entry.forward_ms) += milliseconds_since(start);
}

TapeStatistics Tape::statistics() const {
  TapeStatistics s;
  s.nodes = nodes_.size();
  s.value_bytes = values_.bytes_used();
  s.gradient_bytes = gradients_.high_water();
  s.reserved_bytes = values_.bytes_reserved() + gradients_.bytes_reserved() + scratch_.bytes_reserved() +
                     nodes_.capacity() * sizeof(Node) + inputs_.capacity() * sizeof(std::uint32_t);
  std::copy_if(timing_.begin(), timing_.end(), std::back_inserter(s.ops),
               [](const auto& e) { return e.calls > 0; });
  std::sort(s.ops.begin(), s.ops.end(), [](const auto& a, const auto& b) {
    return a.forward_ms + a.backward_ms > b.forward_ms + b.backward_ms;
  });
  return s;
}

void Tape::print(std::ostream& out) const {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Node& made = nodes_[i];
    std::string inputs;
    for (std::uint32_t k = 0; k < made.inputs; ++k) {
      inputs += (k > 0 ? " #" : "#") + std::to_string(inputs_[made.first_input + k]);
    }
    out << '#' << std::left << std::setw(6) << i << std::setw(20) << to_string(made.shape) << std::setw(20)
        << inputs << origin(made) << '\n';
  }
}

void Tape::poison(bool on) {
  values_.poison(on);
  gradients_.poison(on);
  scratch_.poison(on);
}

}  // namespace reel
