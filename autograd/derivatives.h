#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "autograd/ops.h"
#include "autograd/parameter.h"
#include "autograd/tape.h"

// Derivatives of a function of several tensors, in double precision, without opening a tape yourself. Each
// throws ShapeError for numbers that do not fill their shape, and StateError if the function gives a tensor
// of a tape of your own instead of one made from those it was given; `where` is the line that errors name.

namespace reel {

/// Numbers and their shape, outside any tape.
struct Array {
  Shape shape;
  std::vector<double> values;
};
using Arrays = std::vector<Array>;

/// A function of tensors, written with ops: it is recorded anew wherever a derivative is wanted.
using Function = std::function<Tensor(Tensors)>;

/// f(x).
Array evaluate(const Function& f, const Arrays& x, Place where = Place::here());

/// The gradient of f, which gives one number, in every argument. Throws ShapeError if f gives more.
Arrays grad(const Function& f, const Arrays& x, Place where = Place::here());

/// The directional derivative J v of f in x along v: one forward pass on dual numbers. v has the shapes of x.
Array jvp(const Function& f, const Arrays& x, const Arrays& v, Place where = Place::here());

/// The product J^T u: one backward pass that starts with u, of the shape of f(x).
Arrays vjp(const Function& f, const Arrays& x, const Array& u, Place where = Place::here());

/// The product H v of the Hessian of f, which gives one number: a backward pass on dual numbers (Pearlmutter
/// 1994), exact.
Arrays hvp(const Function& f, const Arrays& x, const Arrays& v, Place where = Place::here());

/// The matrix [outputs, inputs] of all derivatives of f's elements in x's elements.
Array jacobian(const Function& f, const Array& x, Place where = Place::here());

namespace detail {
// Which function the user called, and where.
struct Asked {
  const char* name;
  Place where;
};
// y, if it is a tensor of this tape. Throws StateError otherwise: of another tape there are no derivatives
// here.
Tensor checked(const Tape& tape, const Tensor& y, const Asked& asked);
// The same as above on a tape that the caller has set up: f64, but dual for jvp.
Array evaluate(Tape& tape, const Function& f, const Arrays& x, const Asked& asked);
Array jvp(Tape& tape, const Function& f, const Arrays& x, const Arrays& v, const Asked& asked);
Arrays vjp(Tape& tape, const Function& f, const Arrays& x, const Array& u, const Asked& asked);
}  // namespace detail

struct GradcheckOptions {
  double tolerance = 1e-8;        ///< against 4-point central differences, relative to the largest derivative
  double dual_tolerance = 1e-12;  ///< against dual numbers
  double step = 1e-3;             ///< of the differences, times max(1, |x|)
  bool differences = true;        ///< false near a kink, where differences prove nothing
  int most_columns = 400;  ///< up to so many inputs the whole Jacobian is checked, else random directions
  int most_rows = 64;      ///< the same for outputs
  int directions = 8;      ///< how many random directions
  std::uint64_t seed = 1;  ///< of the random directions
};

struct GradcheckReport {
  bool passed = false;
  double difference_error = 0;  ///< largest error against differences
  double dual_error = 0;        ///< largest error against dual numbers
  std::int64_t checked = 0;     ///< entries of the Jacobian, or products u^T J v
  std::string message;          ///< the worst entry, in words
  explicit operator bool() const { return passed; }
};

/// Compares the derivatives that backward gives with 4-point central differences and with dual numbers, in
/// double precision.
///
/// What an op may not read is NaN meanwhile, and so shows in the report: memory that was not written yet, a
/// gradient that a backward leaves out, and inputs or an output that the card's `reads` does not name.
GradcheckReport gradcheck(const Function& f, const Arrays& x, const GradcheckOptions& options = {},
                          Place where = Place::here());

/// The same for the parameters of a model: `loss` computes any tensor from them on the tape that it is given.
GradcheckReport gradcheck(const ParameterBlock& parameters, const std::function<Tensor(Tape&)>& loss,
                          const GradcheckOptions& options = {}, Place where = Place::here());

}  // namespace reel
