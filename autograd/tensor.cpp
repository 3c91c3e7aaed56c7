#include "autograd/tensor.h"

#include <algorithm>

#include "autograd/tape.h"

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

Tape& Tensor::tape() const { return Tape::find(*this, Place{}); }
Shape Tensor::shape() const { return tape().node(*this).shape; }
std::int64_t Tensor::size() const { return shape().size(); }
int Tensor::rank() const { return shape().rank(); }
Precision Tensor::precision() const { return tape().precision(); }

Shape Here::shape() const {
  if (parameter != nullptr) return parameter->shape();
  return Tape::find(tensor, place).node(tensor).shape;
}

double Tensor::item() const {
  Tape& owner = tape();
  const Node& node = owner.node(*this);
  if (node.size != 1) {
    throw ShapeError(node.place(), at(node.place(), "item: a tensor of shape " + to_string(node.shape) +
                                                        " has not one element") +
                                       help_line("read all of them with values()"));
  }
  switch (owner.precision()) {
    case Precision::f32:
      return static_cast<double>(*static_cast<const float*>(node.value));
    case Precision::f64:
      return *static_cast<const double*>(node.value);
    default:
      return static_cast<const Dual*>(node.value)->value;
  }
}

std::vector<double> Tensor::values() const {
  Tape& owner = tape();
  const Node& node = owner.node(*this);
  return read(node.value, node.size, owner.precision(), value_of);
}

std::vector<double> Tensor::tangents() const {
  Tape& owner = tape();
  const Node& node = owner.node(*this);
  return read(node.value, node.size, owner.precision(), tangent_of);
}

std::span<const float> Tensor::data() const {
  Tape& owner = tape();
  const Node& node = owner.node(*this);
  if (owner.precision() != Precision::f32) {
    throw StateError(node.place(),
                     at(node.place(), "data: this tape is not f32") + help_line("read it with values()"));
  }
  return {static_cast<const float*>(node.value), static_cast<std::size_t>(node.size)};
}

Tensor Tensor::retain_gradient() const {
  tape().node(*this).retained = true;
  return *this;
}

const void* Tape::gradient_of(const Tensor& t) const {
  const Node& node = nodes_[t.index_];
  const Place place = node.place();
  if (!node.wants_gradient || !node.retained) {
    throw StateError(
        place, at(place, "gradient: this tensor keeps none") +
                   help_line(node.wants_gradient ? "call retain_gradient() on it before backward"
                                                 : "only what depends on a variable or parameter has one"));
  }
  const bool played = std::any_of(steps_.begin(), steps_.end(), [](const OpenStep& s) { return s.played; });
  if (!played) throw StateError(place, at(place, "gradient: backward has not run in this step"));
  return node.gradient;
}

std::vector<double> Tensor::gradient() const {
  Tape& owner = tape();
  const void* memory = owner.gradient_of(*this);
  const std::int64_t count = owner.node(*this).size;
  if (memory == nullptr) return std::vector<double>(static_cast<std::size_t>(count), 0.0);
  return read(memory, count, owner.precision(), value_of);
}

std::vector<double> Tensor::gradient_tangents() const {
  Tape& owner = tape();
  const void* memory = owner.gradient_of(*this);
  const std::int64_t count = owner.node(*this).size;
  if (memory == nullptr) return std::vector<double>(static_cast<std::size_t>(count), 0.0);
  return read(memory, count, owner.precision(), tangent_of);
}

}  // namespace reel
