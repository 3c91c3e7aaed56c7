#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iosfwd>
#include <limits>
#include <span>
#include <string>
#include <type_traits>

#include "autograd/place.h"

namespace reel {

/// A size as it is written in braces, of any integer type: {points.size(), 2} needs no cast.
struct Size {
  template <std::integral Integer>
  constexpr Size(Integer n) : value(static_cast<std::int64_t>(n)) {  // NOLINT: this is what it is for
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    if constexpr (std::is_unsigned_v<Integer> && sizeof n >= sizeof most)
      value = n > static_cast<std::uint64_t>(most) ? most : value;
  }
  std::int64_t value;
};

/// The sizes of a tensor's dimensions, outermost first: row-major, at most 6 of them, printed like [64, 784].
/// A scalar has rank 0 and size 1; a dimension may be 0. Errors name the line of the call: `where`.
class Shape {
 public:
  static constexpr int max_rank = 6;
  /// The number of a dimension and the line that it was written in, made by implicit conversion: an operator
  /// cannot take the line in any other way.
  struct Axis {
    Axis(int axis, Place place = Place::here()) : number(axis), where(place) {}  // NOLINT
    int number;
    Place where;
  };

  Shape() = default;
  /// Throws ShapeError for a negative size, for more than 6 dimensions, or for 2^31 elements or more in one
  /// dimension.
  Shape(std::initializer_list<Size> sizes, Place where = Place::here());
  explicit Shape(std::span<const std::int64_t> sizes, Place where = Place::here());

  int rank() const { return rank_; }
  /// Number of elements.
  std::int64_t size(Place where = Place::here()) const { return product(0, rank_, where); }
  /// The size of a dimension; -1 is the last one, -2 the one before it. Throws ShapeError if there is no such
  /// dimension.
  std::int64_t operator[](Axis axis) const { return sizes_[from_front(axis.number, axis.where)]; }
  std::int64_t back(Place where = Place::here()) const { return sizes_[from_front(-1, where)]; }
  void set(int axis, std::int64_t size, Place where = Place::here()) {
    sizes_[from_front(axis, where)] = checked(size, where);
  }
  void append(std::int64_t size, Place where = Place::here()) {
    if (rank_ == max_rank) refuse_rank(where);
    sizes_[static_cast<std::size_t>(rank_++)] = checked(size, where);
  }

  /// The product of the dimensions in [first, last), counted from the front. Throws ShapeError if there are
  /// not so many, or for 2^63 or more.
  std::int64_t product(int first, int last, Place where = Place::here()) const {
    if (first < 0) refuse_axis(first, where);
    if (last > rank_) refuse_axis(last - 1, where);
    std::int64_t n = 1;
    for (int i = first; i < last; ++i) {
      if (__builtin_mul_overflow(n, sizes_[static_cast<std::size_t>(i)], &n)) refuse_product(where);
    }
    return n;
  }
  /// How far apart neighbours along each dimension lie in memory, row by row. 0 everywhere in a shape without
  /// elements: the other sizes may be more together than integers hold.
  std::array<std::int64_t, max_rank> strides() const;
  /// The dimensions in [first, last), counted from the front.
  Shape slice(int first, int last) const;
  /// The product of all dimensions but the last: how many rows a matrix view has. 1 for a scalar.
  std::int64_t rows(Place where = Place::here()) const {
    return rank_ == 0 ? 1 : product(0, rank_ - 1, where);
  }

  // Sizes behind the last dimension are 0 in every shape.
  friend bool operator==(const Shape& a, const Shape& b) { return std::memcmp(&a, &b, sizeof(Shape)) == 0; }

 private:
  static std::int32_t checked(std::int64_t size, Place where) {
    if (size < 0 || size > std::numeric_limits<std::int32_t>::max()) refuse_size(size, where);
    return static_cast<std::int32_t>(size);
  }
  std::size_t from_front(int axis, Place where) const {
    const int i = axis < 0 ? axis + rank_ : axis;
    if (i < 0 || i >= rank_) refuse_axis(axis, where);
    return static_cast<std::size_t>(i);
  }
  [[noreturn]] void refuse_axis(int axis, Place where) const;
  [[noreturn]] static void refuse_rank(Place where);
  [[noreturn]] static void refuse_size(std::int64_t size, Place where);
  [[noreturn]] void refuse_product(Place where) const;

  std::array<std::int32_t, max_rank> sizes_{};
  std::int32_t rank_ = 0;
  [[maybe_unused]] std::int32_t filler_ = 0;  // 32 bytes are copied and compared in one go
};

/// The shape as text: [64, 784]; [] for a scalar.
std::string to_string(const Shape& shape);
std::ostream& operator<<(std::ostream& out, const Shape& shape);

}  // namespace reel
