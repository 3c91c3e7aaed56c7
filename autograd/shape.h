#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace reel {

/// The sizes of a tensor's dimensions, outermost first: row-major, at most 6 of them, printed like [64, 784].
/// A scalar has rank 0 and size 1; a dimension may be 0.
class Shape {
 public:
  static constexpr int max_rank = 6;

  Shape() = default;
  /// Throws ShapeError for a negative size, for more than 6 dimensions, or for 2^31 elements or more in one dimension.
  Shape(std::initializer_list<std::int64_t> sizes);
  explicit Shape(std::span<const std::int64_t> sizes);

  int rank() const { return rank_; }
  std::int64_t size() const;  ///< number of elements
  std::int64_t operator[](int axis) const { return sizes_[static_cast<std::size_t>(axis)]; }
  std::int64_t back() const { return sizes_[static_cast<std::size_t>(rank_ - 1)]; }
  void set(int axis, std::int64_t size) { sizes_[static_cast<std::size_t>(axis)] = checked(size); }
  void append(std::int64_t size);

  /// The product of the dimensions in [first, last).
  std::int64_t product(int first, int last) const;
  /// The dimensions in [first, last).
  Shape slice(int first, int last) const;
  /// The product of all dimensions but the last: how many rows a matrix view has. 1 for a scalar.
  std::int64_t rows() const { return rank_ == 0 ? 1 : product(0, rank_ - 1); }

  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i) {
      if (a[i] != b[i]) return false;
    }
    return true;
  }

 private:
  static std::int32_t checked(std::int64_t size);

  std::array<std::int32_t, max_rank> sizes_{};
  std::int32_t rank_ = 0;
};

/// The shape as text: [64, 784]; [] for a scalar.
std::string to_string(const Shape& shape);

}  // namespace reel
