#include <algorithm>
#include <cmath>
#include <iomanip>
#include <ostream>
#include <sstream>
#include <vector>

#include "autograd/tape.h"

namespace reel {
namespace {

std::string where(const Node& node) {
  return *node.file == '\0' ? std::string("an unknown line")
                            : std::string(node.file) + ":" + std::to_string(node.line);
}

double number(const void* values, std::int64_t i, Precision precision) {
  return precision == Precision::f32   ? static_cast<double>(static_cast<const float*>(values)[i])
         : precision == Precision::f64 ? static_cast<const double*>(values)[i]
                                       : static_cast<const Dual*>(values)[i].value;
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
    return "parameter \"" + leaf.block->entry(leaf.index).name + "\"";
  }
  if (made.op == nullptr) return (made.wants_gradient ? "variable at " : "constant at ") + where(made);
  return "made by `" + std::string(made.op->name) + "` at " + where(made);
}

void Tape::profile(bool on) {
  profile_ = on;
  timing_.assign(on ? registry().size() : 0, {});
}

void Tape::note_time(const Op& op, std::chrono::steady_clock::time_point start, bool backward) {
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

void Tape::print(std::ostream& out, PrintOptions options) const {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Node& made = nodes_[i];
    std::string inputs;
    for (std::uint32_t k = 0; k < made.inputs; ++k) {
      inputs += (k > 0 ? " #" : "#") + std::to_string(inputs_[made.first_input + k]);
    }
    out << '#' << std::left << std::setw(6) << i << std::setw(20) << to_string(made.shape) << std::setw(20)
        << inputs << origin(made);
    if (options.ranges) out << "  " << range_of(made);
    out << '\n';
  }
}

void Tape::poison(bool on) {
  values_.poison(on);
  gradients_.poison(on);
  scratch_.poison(on);
}

void Tape::check_finite(const Node& made, const void* values, std::int64_t count, const char* what) const {
  for (std::int64_t i = 0; i < count; ++i) {
    const double value = number(values, i, precision_);
    if (std::isfinite(value)) continue;
    std::string text =
        at(made.place(), std::string(made.op->name) + ": " + what + " " + std::to_string(i) + " is " +
                             (std::isnan(value) ? "nan"
                              : value > 0       ? "inf"
                                                : "-inf"));
    for (std::uint32_t k = 0; k < made.inputs; ++k) {
      const Node& input = nodes_[inputs_[made.first_input + k]];
      text += "\n    " + std::string(made.op->input_name(k)) + " " + to_string(input.shape) + "  " +
              origin(input) + "  " + range_of(input);
    }
    if (const std::string layer = layer_of(made); !layer.empty()) text += "\n    layer    " + layer;
    throw NonFiniteError(made.place(), text);
  }
}

// The module whose parameter the op reads, or that of the latest op before it that reads one.
std::string Tape::layer_of(const Node& made) const {
  const auto last = static_cast<std::size_t>(&made - nodes_.data());
  std::vector<bool> leads_to_it(last + 1);
  leads_to_it[last] = true;
  for (std::size_t i = last + 1; i-- > 0;) {
    for (std::uint32_t k = 0; leads_to_it[i] && k < nodes_[i].inputs; ++k) {
      const std::uint32_t input = inputs_[nodes_[i].first_input + k];
      leads_to_it[input] = true;
      if (nodes_[input].parameter < 0) continue;
      const ParameterLeaf& leaf = parameter_leaves_[static_cast<std::size_t>(nodes_[input].parameter)];
      const std::string& name = leaf.block->entry(leaf.index).name;
      return (i == last ? "" : "after ") + name.substr(0, name.rfind('.'));
    }
  }
  return "";
}

std::string Tape::range_of(const Node& made) const {
  double low = INFINITY;
  double high = -INFINITY;
  double sum = 0;
  std::int64_t nans = 0;
  std::int64_t infinities = 0;
  for (std::int64_t i = 0; i < made.size; ++i) {
    const double value = number(made.value, i, precision_);
    if (!std::isfinite(value)) {
      ++(std::isnan(value) ? nans : infinities);
      continue;
    }
    low = std::min(low, value);
    high = std::max(high, value);
    sum += value;
  }
  const std::int64_t finite = made.size - nans - infinities;
  std::ostringstream text;
  if (finite > 0) {
    text << "in [" << low << ", " << high << "], mean " << sum / static_cast<double>(finite);
  } else {
    text << "no finite value";
  }
  if (nans > 0) text << ", " << nans << " nan";
  if (infinities > 0) text << ", " << infinities << " inf";
  return text.str();
}

}  // namespace reel
