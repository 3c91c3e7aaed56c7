#include "autograd/tensor.h"

#include "autograd/tape.h"

// What a handle shows of the tape that it stands for: shape, numbers, gradient.

namespace reel {
namespace {

template <class Read>
std::vector<double> read(const void* memory, std::int64_t count, Precision precision, Read part) {
  std::vector<double> result(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < result.size(); ++i) {
    switch (precision) {
      case Precision::f32:
        result[i] = part(Dual(static_cast<double>(static_cast<const float*>(memory)[i])));
        break;
      case Precision::f64:
        result[i] = part(Dual(static_cast<const double*>(memory)[i]));
        break;
      case Precision::dual:
        result[i] = part(static_cast<const Dual*>(memory)[i]);
        break;
    }
  }
  return result;
}

double value_of(Dual x) { return x.value; }
double tangent_of(Dual x) { return x.tangent; }

}  // namespace

Tape& Tensor::tape(Place where) const { return Tape::find(*this, where); }
Shape Tensor::shape(Place where) const { return tape(where).node(*this).shape; }
std::int64_t Tensor::size(Place where) const { return shape(where).size(); }
int Tensor::rank(Place where) const { return shape(where).rank(); }
Precision Tensor::precision(Place where) const { return tape(where).precision(); }

Shape Here::shape() const {
  if (parameter != nullptr) return parameter->shape();
  return Tape::find(tensor, place).node(tensor).shape;
}

double Tensor::item(Place where) const {
  Tape& owner = tape(where);
  const Node& node = owner.readable(*this, "item", where);
  if (node.size != 1) {
    throw ShapeError(where,
                     at(where, "item: a tensor of shape " + to_string(node.shape) + " has not one element") +
                         owner.operand_line("tensor", node) + help_line("read all of them with values()"));
  }
  return owner.number(node.value, 0);
}

std::vector<double> Tensor::values(Place where) const {
  Tape& owner = tape(where);
  const Node& node = owner.readable(*this, "values", where);
  return read(node.value, node.size, owner.precision(), value_of);
}

std::vector<double> Tensor::tangents(Place where) const {
  Tape& owner = tape(where);
  const Node& node = owner.readable(*this, "tangents", where);
  return read(node.value, node.size, owner.precision(), tangent_of);
}

std::span<const float> Tensor::data(Place where) const {
  Tape& owner = tape(where);
  const Node& node = owner.readable(*this, "data", where);
  if (owner.precision() != Precision::f32)
    throw StateError(where, at(where, "data: this tape is not f32") + help_line("read it with values()"));
  return {static_cast<const float*>(node.value), static_cast<std::size_t>(node.size)};
}

Tensor Tensor::retain_gradient(Place where) const {
  Tape& owner = tape(where);
  Node& node = owner.node(*this);
  if (!node.retained) node.waits_since = owner.plays_;
  node.retained = true;
  return *this;
}

std::vector<double> Tensor::gradient(Place where) const {
  Tape& owner = tape(where);
  const void* memory = owner.gradient_of(*this, where);
  const std::int64_t count = owner.node(*this).size;
  if (memory == nullptr) return std::vector<double>(static_cast<std::size_t>(count), 0.0);
  return read(memory, count, owner.precision(), value_of);
}

std::vector<double> Tensor::gradient_tangents(Place where) const {
  Tape& owner = tape(where);
  const void* memory = owner.gradient_of(*this, where);
  const std::int64_t count = owner.node(*this).size;
  if (memory == nullptr) return std::vector<double>(static_cast<std::size_t>(count), 0.0);
  return read(memory, count, owner.precision(), tangent_of);
}

}  // namespace reel
