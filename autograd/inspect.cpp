#include <algorithm>
#include <charconv>
#include <cmath>
#include <iomanip>
#include <ostream>

#include "autograd/tape.h"

// What a tape shows of itself: tensors and nodes as text, where one came from, times and memory.

namespace reel {
namespace {

std::string where(const Node& node) {
  return *node.file == '\0' ? std::string("an unknown line")
                            : std::string(node.file) + ":" + std::to_string(node.line);
}

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

// The numbers of a tensor in brackets, dimension by dimension.
class Brackets {
 public:
  Brackets(std::ostream& out, const std::vector<double>& values, const Shape& shape, bool floats)
      : out_(out), values_(values), shape_(shape), floats_(floats), all_(values.size() <= 1000) {}

  bool all() const { return all_; }
  // What lies behind the first `depth` dimensions, from number `first` on.
  void write(int depth, std::size_t first) {
    if (depth == shape_.rank()) {
      write(values_[first]);
      return;
    }
    const std::int64_t size = shape_[depth];
    const auto stride = static_cast<std::size_t>(shape_.product(depth + 1, shape_.rank()));
    constexpr std::int64_t few = 3;
    out_ << '[';
    for (std::int64_t i = 0; i < size; ++i) {
      if (i > 0) separate(depth);
      if (!all_ && size > 2 * few && i == few) {
        out_ << "...";
        separate(depth);
        i = size - few;
      }
      write(depth + 1, first + static_cast<std::size_t>(i) * stride);
    }
    out_ << ']';
  }

 private:
  // Rows begin below each other, with an empty line between matrices.
  void separate(int depth) {
    const auto deeper = static_cast<std::size_t>(shape_.rank() - 1 - depth);
    if (deeper == 0) {
      out_ << ", ";
    } else {
      constexpr std::size_t opening = std::string_view("tensor([").size();
      out_ << ',' << std::string(deeper, '\n') << std::string(opening + static_cast<std::size_t>(depth), ' ');
    }
  }
  void write(double x) {
    if (std::isnan(x)) {  // of which the sign says nothing
      out_ << "nan";
      return;
    }
    char text[32];
    const char* end = floats_ ? std::to_chars(text, text + sizeof text, static_cast<float>(x)).ptr
                              : std::to_chars(text, text + sizeof text, x).ptr;
    out_.write(text, end - text);
  }

  std::ostream& out_;
  const std::vector<double>& values_;
  const Shape& shape_;
  bool floats_;
  bool all_;
};

}  // namespace

std::ostream& operator<<(std::ostream& out, Here x) {
  std::vector<double> values;
  bool floats = true;
  if (x.parameter != nullptr) {
    const std::span<const float> own = x.parameter->values();
    values.assign(own.begin(), own.end());
  } else {
    values = x.tensor.values(x.place);
    floats = x.tensor.precision(x.place) == Precision::f32;
  }
  const Shape shape = x.shape();
  Brackets brackets(out, values, shape, floats);
  out << "tensor(";
  if (values.empty()) {
    out << "[]";
  } else {
    brackets.write(0, 0);
  }
  if (values.empty() || !brackets.all()) out << ", shape " << shape;
  return out << ')';
}

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
  for (const OuterGradient& gradient : outer_gradients_) s.reserved_bytes += gradient.bytes;
  for (const BlockLeaves& leaves : blocks_) {
    s.reserved_bytes += leaves.node.capacity() * sizeof(leaves.node[0]) +
                        (leaves.values.capacity() + leaves.tangents.capacity()) * sizeof(double);
  }
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
