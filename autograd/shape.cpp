#include "autograd/shape.h"

#include <limits>

#include "autograd/error.h"

namespace reel {
namespace {

[[noreturn]] void refuse(const std::string& why) { throw ShapeError(Place{}, "shape: " + why); }

}  // namespace

Shape::Shape(std::initializer_list<std::int64_t> sizes)
    : Shape(std::span<const std::int64_t>(sizes.begin(), sizes.size())) {}

Shape::Shape(std::span<const std::int64_t> sizes) {
  for (const std::int64_t size : sizes) append(size);
}

void Shape::append(std::int64_t size) {
  if (rank_ == max_rank) refuse("more than " + std::to_string(max_rank) + " dimensions");
  sizes_[static_cast<std::size_t>(rank_++)] = checked(size);
}

std::int32_t Shape::checked(std::int64_t size) {
  if (size < 0) refuse("a dimension cannot be negative, got " + std::to_string(size));
  if (size > std::numeric_limits<std::int32_t>::max()) {
    refuse("a dimension must be below 2^31, got " + std::to_string(size));
  }
  return static_cast<std::int32_t>(size);
}

std::int64_t Shape::size() const { return product(0, rank_); }

std::int64_t Shape::product(int first, int last) const {
  std::int64_t n = 1;
  for (int i = first; i < last; ++i) {
    if (__builtin_mul_overflow(n, (*this)[i], &n)) refuse(to_string(*this) + " has too many elements");
  }
  return n;
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

}  // namespace reel
