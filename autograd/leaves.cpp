#include <algorithm>
#include <string>
#include <utility>

#include "autograd/tape.h"

// What a tape does not compute: constants, variables, and the parameters of models.

namespace reel {

std::uint32_t Tape::push(const Node& node) {
  nodes_.push_back(node);
  return static_cast<std::uint32_t>(nodes_.size() - 1);
}

template <class From>
Tensor Tape::add_leaf(std::span<const From> values, std::span<const From> tangents, const Shape& shape,
                      Leaf kind, Place place) {
  constexpr const char* names[] = {"constant", "variable", "from_blob"};
  require_step(place);
  const std::int64_t size = shape.size(place);
  if (static_cast<std::int64_t>(values.size()) != size) {
    throw ShapeError(place, at(place, std::string(names[static_cast<int>(kind)]) + ": " +
                                          std::to_string(values.size()) + " values do not fill the shape " +
                                          to_string(shape) + " of " + std::to_string(size)));
  }
  if (!tangents.empty() && precision_ != Precision::dual) {
    throw StateError(place, at(place, "variable: tangents need a tape of dual numbers") +
                                help_line("make it with Tape tape(Precision::dual)"));
  }
  if (!tangents.empty() && tangents.size() != values.size()) {
    throw ShapeError(place, at(place, "variable: " + std::to_string(tangents.size()) + " tangents for " +
                                          std::to_string(values.size()) + " values"));
  }
  Node leaf;
  leaf.step = steps_.back().number;
  leaf.shape = shape;
  leaf.size = size;
  leaf.file = place.file;
  leaf.line = place.line;
  leaf.wants_gradient = kind == Leaf::variable && !steps_.back().inference;
  leaf.retained = leaf.wants_gradient;
  leaf.waits_since = plays_;
  if constexpr (std::is_same_v<From, float>) {
    if (kind == Leaf::from_blob && precision_ == Precision::f32 && size > 0) {
      // A node's value is not const, an operand's is not written to.
      leaf.value = const_cast<float*>(values.data());
      return handle(push(leaf));
    }
  }
  leaf.value = values_.allocate(values.size() * scalar_bytes_);
  switch (precision_) {
    case Precision::f32:
      if constexpr (std::is_same_v<From, float>) {
        kernels::map(
            kernels::Sink<float>{{static_cast<float*>(leaf.value), false}, leaf.size},
            [](float v) { return v; }, kernels::Source<float>{values.data(), nullptr});
      } else {
        std::transform(values.begin(), values.end(), static_cast<float*>(leaf.value),
                       [](From v) { return static_cast<float>(v); });
      }
      break;
    case Precision::f64:
      std::copy(values.begin(), values.end(), static_cast<double*>(leaf.value));
      break;
    case Precision::dual:
      for (std::size_t i = 0; i < values.size(); ++i) {
        static_cast<Dual*>(leaf.value)[i] = {static_cast<double>(values[i]),
                                             tangents.empty() ? 0.0 : static_cast<double>(tangents[i])};
      }
      break;
  }
  return handle(push(leaf));
}

Tensor Tape::constant(std::span<const float> v, const Shape& s, Place p) {
  return add_leaf<float>(v, {}, s, Leaf::constant, p);
}
Tensor Tape::constant(std::span<const double> v, const Shape& s, Place p) {
  return add_leaf<double>(v, {}, s, Leaf::constant, p);
}
Tensor Tape::constant(std::span<const std::uint8_t> v, const Shape& s, Place p) {
  return add_leaf<std::uint8_t>(v, {}, s, Leaf::constant, p);
}
Tensor Tape::constant(std::initializer_list<double> v, const Shape& s, Place p) {
  return constant(std::span<const double>(v.begin(), v.size()), s, p);
}
Tensor Tape::constant(double v, Place p) { return constant({v}, Shape{}, p); }
Tensor Tape::from_blob(std::span<const float> v, const Shape& s, Place p) {
  return add_leaf<float>(v, {}, s, Leaf::from_blob, p);
}
Tensor Tape::variable(std::span<const float> v, const Shape& s, Place p) {
  return add_leaf<float>(v, {}, s, Leaf::variable, p);
}
Tensor Tape::variable(std::span<const double> v, const Shape& s, Place p) {
  return add_leaf<double>(v, {}, s, Leaf::variable, p);
}
Tensor Tape::variable(std::initializer_list<double> v, const Shape& s, Place p) {
  return variable(std::span<const double>(v.begin(), v.size()), s, p);
}
Tensor Tape::variable(double v, Place p) { return variable({v}, Shape{}, p); }
Tensor Tape::variable(std::span<const double> v, std::span<const double> tangents, const Shape& s, Place p) {
  return add_leaf<double>(v, tangents, s, Leaf::variable, p);
}

Tape::BlockLeaves& Tape::leaves_of(const ParameterBlock& block) {
  const auto known =
      std::find_if(blocks_.begin(), blocks_.end(), [&](const BlockLeaves& b) { return b.block == &block; });
  if (known != blocks_.end() && !known->life.expired()) return *known;
  if (parameter_leaves_.empty()) {  // no leaf counts on their order: those of models that are gone make room
    std::erase_if(blocks_, [](const BlockLeaves& b) { return b.life.expired(); });
  } else if (known != blocks_.end()) {  // another model lies where one that is gone lay
    known->block = nullptr;
  }
  blocks_.push_back({&block, block.life(), {}, {}, {}});
  return blocks_.back();
}

void Tape::override_parameters(const ParameterBlock& block, std::span<const double> values,
                               std::span<const double> tangents, Place place) {
  if (precision_ == Precision::f32) {
    throw StateError(place, at(place, "override_parameters: an f32 tape reads the parameters themselves") +
                                help_line("change those, or use a tape of another precision"));
  }
  const auto length = static_cast<std::size_t>(block.length());
  if ((!values.empty() && values.size() != length) || (!tangents.empty() && tangents.size() != length)) {
    throw ShapeError(place, at(place, "override_parameters: the block has " + std::to_string(length) +
                                          " numbers, got " + std::to_string(values.size()) + " values and " +
                                          std::to_string(tangents.size()) + " tangents") +
                                help_line("give block.length() numbers, gaps included, or none"));
  }
  BlockLeaves& leaves = leaves_of(block);
  leaves.values.assign(values.begin(), values.end());
  leaves.tangents.assign(tangents.begin(), tangents.end());
  leaves.node.clear();  // those that are there have other numbers
}

Tensor Tape::leaf(const Parameter& parameter, Place place) {
  require_step(place);
  ParameterBlock& block = parameter.block(place);
  BlockLeaves& leaves = leaves_of(block);
  if (leaves.node.size() < block.count()) leaves.node.resize(block.count(), {0, 0});
  // Whoever puts numbers in the place of parameters wants derivatives of all of them.
  const bool overridden = !leaves.values.empty() || !leaves.tangents.empty();
  const bool inference = steps_.back().inference;
  const bool wants_gradient = !inference && (overridden || parameter.requires_grad());
  auto& [step, index] = leaves.node[parameter.index()];
  if (step != 0 && index < nodes_.size() && nodes_[index].step == step) {
    const Node& known = nodes_[index];
    // One of an inference step around this one takes no gradient, nor one that was frozen then.
    const bool serves = known.wants_gradient == wants_gradient || inference;
    const ParameterLeaf& lent = lender(known);
    const bool moved = precision_ == Precision::f32 && lent.memory != std::as_const(block).values();
    if (serves && !moved && lent.version == block.version(parameter.index())) return handle(index);
  }
  Node leaf;
  leaf.step = steps_.back().number;
  leaf.shape = parameter.shape();
  leaf.size = leaf.shape.size();
  leaf.file = place.file;
  leaf.line = place.line;
  leaf.wants_gradient = wants_gradient;
  leaf.retained = true;
  leaf.waits_since = plays_;
  leaf.parameter = static_cast<std::int32_t>(parameter_leaves_.size());
  if (precision_ == Precision::f32) {
    // As of a blob: this is no change of the block.
    leaf.value = const_cast<float*>(parameter.values().data());
    leaf.borrowed = true;
  } else {
    const auto offset = static_cast<std::size_t>(block.entry(parameter.index()).offset);
    const std::span<const float> own = parameter.values();
    for (const std::vector<double>* numbers : {&leaves.values, &leaves.tangents}) {
      if (numbers->empty() || numbers->size() == static_cast<std::size_t>(block.length())) continue;
      throw StateError(place,
                       at(place, "leaf: parameters were added to a model after override_parameters gave " +
                                     std::to_string(numbers->size()) + " numbers for it; now it has " +
                                     std::to_string(block.length())) +
                           help_line("build the model first, or call override_parameters again"));
    }
    leaf.value = values_.allocate(own.size() * scalar_bytes_);
    for (std::size_t i = 0; i < own.size(); ++i) {
      const double value = leaves.values.empty() ? static_cast<double>(own[i]) : leaves.values[offset + i];
      if (precision_ == Precision::f64) {
        static_cast<double*>(leaf.value)[i] = value;
      } else {
        static_cast<Dual*>(leaf.value)[i] = {value,
                                             leaves.tangents.empty() ? 0.0 : leaves.tangents[offset + i]};
      }
    }
  }
  parameter_leaves_.push_back({&block, parameter.index(), block.version(parameter.index()),
                               std::as_const(block).values(),
                               static_cast<std::size_t>(&leaves - blocks_.data())});
  index = push(leaf);
  step = leaf.step;
  return handle(index);
}

void Tape::require_memory(const ParameterLeaf& leaf, std::string_view what, const Place& place) const {
  if (blocks_[leaf.leaves].life.expired()) {
    throw StateError(
        place, at(place, std::string(what) + ": a model whose parameters this step has read was destroyed") +
                   help_line("a model must live longer than the steps that use it"));
  }
  if (precision_ == Precision::f32 && leaf.memory != std::as_const(*leaf.block).values()) {
    throw StateError(place, at(place, std::string(what) +
                                          ": parameters were added to a model after this step had read it") +
                                help_line("build the model before the step"));
  }
}

void Tape::require_lent(const Node& node, std::string_view what, const Place& place) const {
  const ParameterLeaf& leaf = lender(node);
  require_memory(leaf, what, place);
  if (leaf.version == leaf.block->version(leaf.index)) return;
  throw StateError(place,
                   at(place, std::string(what) + ": parameter \"" + leaf.block->entry(leaf.index).name +
                                 "\" changed after this tensor was made of it, without a copy") +
                       operand_line("tensor", node) +
                       help_line("for the new numbers use the parameter itself; for the old ones take "
                                 "a copy before the change, such as 1.0 * parameter"));
}

void Tape::refuse_change(const ParameterLeaf& leaf, Place place) {
  throw StateError(
      place,
      at(place, "backward: parameter \"" + leaf.block->entry(leaf.index).name +
                    "\" changed after this step recorded it (version " + std::to_string(leaf.version) +
                    ", now " + std::to_string(leaf.block->version(leaf.index)) + ")") +
          help_line("call backward before an optimizer's step; values() of a parameter counts as a change, "
                    "to look at it write std::as_const(parameter).values()"));
}

}  // namespace reel
