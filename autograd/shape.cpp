#include "autograd/shape.h"

#include <ostream>

#include "autograd/error.h"

namespace reel {

Shape::Shape(std::initializer_list<Size> sizes, Place where) {
  for (const Size size : sizes) append(size.value, where);
}

Shape::Shape(std::span<const std::int64_t> sizes, Place where) {
  for (const std::int64_t size : sizes) append(size, where);
}

void Shape::refuse_axis(int axis, Place where) const {
  throw SizeError(where, "there is no dimension " + std::to_string(axis) + " in " + to_string(*this) +
                             help_line("dimensions count from 0, or from -1 at the back; append() adds one"));
}

void Shape::refuse_rank(Place where) {
  throw SizeError(where, "more than " + std::to_string(max_rank) + " dimensions");
}

void Shape::refuse_size(std::int64_t size, Place where) {
  const char* why =
      size < 0 ? "a dimension cannot be negative, got " : "a dimension must be below 2^31, got ";
  throw SizeError(where, why + std::to_string(size));
}

void Shape::refuse_product(Place where) const {
  throw SizeError(where, to_string(*this) + " has too many elements");
}

std::array<std::int64_t, Shape::max_rank> Shape::strides() const {
  std::array<std::int64_t, max_rank> all{};
  std::int64_t stride = size() == 0 ? 0 : 1;
  for (int d = rank_ - 1; d >= 0; --d) {
    all[static_cast<std::size_t>(d)] = stride;
    stride *= sizes_[static_cast<std::size_t>(d)];
  }
  return all;
}

Shape Shape::slice(int first, int last) const {
  Shape part;
  for (int i = first; i < last; ++i) part.append((*this)[i]);
  return part;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (int i = 0; i < shape.rank(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << to_string(shape); }

}  // namespace reel
