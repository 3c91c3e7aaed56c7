#pragma once

#include <cstdint>
#include <iosfwd>
#include <span>
#include <vector>

#include "autograd/place.h"
#include "autograd/shape.h"
#include "kernels/matmul.h"

namespace reel {

class Tape;
class Tensor;
class Parameter;
struct Node;
namespace detail {
bool wants_gradient(const Tape& tape, const Tensor& t);  // backward from it has something to do
}

/// What numbers a tape is made of: f32 trains, f64 proves, dual (f64 value and tangent) gives directional
/// derivatives.
enum class Precision : std::uint8_t { f32, f64, dual };
using kernels::Products;

/// A handle to one value on a tape: 16 bytes, copied freely, counts no references.
///
/// It is good until the step that recorded it ends. Using it later, or on another thread, throws StateError,
/// which names the line of the call, as every error does: that is what `where` is for.
class Tensor {
 public:
  Tensor() = default;

  Shape shape(Place where = Place::here()) const;
  std::int64_t size(Place where = Place::here()) const;
  int rank(Place where = Place::here()) const;
  Precision precision(Place where = Place::here()) const;
  Tape& tape(Place where = Place::here()) const;

  /// The value of a tensor with one element. Throws ShapeError if it has more.
  double item(Place where = Place::here()) const;
  /// All values, row-major, as doubles, whatever the tape's precision.
  std::vector<double> values(Place where = Place::here()) const;
  /// The values in place, on an f32 tape. Throws StateError on another. Good until the step ends.
  std::span<const float> data(Place where = Place::here()) const;
  /// The derivative of every value along the direction given to the variables of a dual tape; zeros
  /// elsewhere.
  std::vector<double> tangents(Place where = Place::here()) const;

  /// The gradient that backward left here, as doubles. Variables, parameters and tensors marked with
  /// retain_gradient have one; zeros if the loss does not depend on this tensor. Throws StateError otherwise,
  /// or if backward has not run since the tensor was made or marked.
  std::vector<double> gradient(Place where = Place::here()) const;
  /// The tangents of the gradient on a dual tape: a column of the Hessian in the direction of the inputs'
  /// tangents.
  std::vector<double> gradient_tangents(Place where = Place::here()) const;
  /// Asks backward to keep this tensor's gradient until the step ends.
  Tensor retain_gradient(Place where = Place::here()) const;

 private:
  friend class Tape;
  friend bool detail::wants_gradient(const Tape&, const Tensor&);
  Tensor(std::uint32_t slot, std::uint32_t index, std::uint64_t step)
      : slot_(slot), index_(index), step_(step) {}

  // Which tape: it is looked up in a table, so that a tape that is gone is an error and no crash.
  std::uint32_t slot_ = 0;
  std::uint32_t index_ = 0;  // which node of it
  std::uint64_t step_ = 0;   // in which step; numbers are never used twice
};
static_assert(sizeof(Tensor) == 16);

/// An op's argument: a tensor or a parameter, together with the line of the call it was written in.
///
/// Made by implicit conversion, by design, so that an error deep inside an op can name the user's line.
struct Here {
  Here(Tensor t, const char* file = __builtin_FILE(), int line = __builtin_LINE())  // NOLINT
      : tensor(t), place{file, line} {}
  Here(const Parameter& p, const char* file = __builtin_FILE(), int line = __builtin_LINE())  // NOLINT
      : parameter(&p), place{file, line} {}

  /// Another tensor at the same place: for ops made of several, whose errors name the user's line all the
  /// same.
  Here with(Tensor t) const { return {t, place.file, place.line}; }
  /// The shape of what stands here.
  Shape shape() const;

  Tensor tensor;
  const Parameter* parameter = nullptr;
  Place place;
};

/// Writes the numbers of a tensor or a parameter in as few digits as tell them apart, tensor([1, 2.5, 0.1]),
/// a line for each row. Of more than 1,000 numbers only the first and last three of each dimension, and the
/// shape.
std::ostream& operator<<(std::ostream& out, Here x);

}  // namespace reel
