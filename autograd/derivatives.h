#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "autograd/ops.h"
#include "autograd/parameter.h"
#include "autograd/tape.h"

// Derivatives of a function of several tensors, or of the parameters of a model, in double precision, without
// opening a tape yourself. Each throws ShapeError for numbers that do not fill their shape, and StateError if
// the function gives a tensor of a tape of your own instead of one made from what it was given; `where` is
// the line that errors name.

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

/// The gradient of f, which gives one number, in every argument; 0 in those that f does not depend on. Throws
/// ShapeError if f gives more numbers.
Arrays grad(const Function& f, const Arrays& x, Place where = Place::here());

/// The directional derivative J v of f in x along v: one forward pass on dual numbers. What v does not move
/// counts 0, even at an infinite slope. Throws ShapeError if v has not the shapes of x.
Array jvp(const Function& f, const Arrays& x, const Arrays& v, Place where = Place::here());

/// The product J^T u: one backward pass that starts with u. Throws ShapeError if u has not the shape of f(x).
Arrays vjp(const Function& f, const Arrays& x, const Array& u, Place where = Place::here());

/// The product H v of the Hessian of f, which gives one number: a backward pass on dual numbers (Pearlmutter
/// 1994), exact. Throws ShapeError if f gives more numbers, or v has not the shapes of x.
Arrays hvp(const Function& f, const Arrays& x, const Arrays& v, Place where = Place::here());

/// The directional derivative J v of what `loss` computes, any tensor, in the parameters of a model along v:
/// one forward pass on dual numbers. v is as for hvp below; throws ShapeError if it has another length.
Array jvp(const ParameterBlock& parameters, const std::function<Tensor(Tape&)>& loss,
          std::span<const double> v, Place where = Place::here());

/// The product H v of the Hessian of `loss`, one number computed on the tape that it is given, in the
/// parameters of a model: a backward pass on dual numbers (Pearlmutter 1994), exact.
///
/// v and the result are laid out like the block, gaps included, as in Tape::override_parameters: element j of
/// parameter i is number entry(i).offset + j of length(). What v holds in the gaps is not read; there, and
/// for parameters that the loss does not depend on, the result is 0. Frozen parameters count like the others.
/// The model is as it was afterwards, its gradients too. Dropout of a model in training draws the mask of its
/// step(), the same in every call until that changes: eval() is for the Hessian without it.
///
/// Throws ShapeError if v has another length than the block, or the loss more than one element. What the loss
/// throws passes through.
std::vector<double> hvp(const ParameterBlock& parameters, const std::function<Tensor(Tape&)>& loss,
                        std::span<const double> v, Place where = Place::here());

/// The matrix [outputs, inputs] of all derivatives of f's elements in x's elements, from as many evaluations
/// of f as x has elements. Throws ShapeError if f does not give the same shape every time.
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
// Throws ShapeError unless the shapes are one: of what a function gave first and gives now.
void require_same_shape(const Shape& first, const Shape& now, const Asked& asked);
// The same function, which throws ShapeError where it gives another shape than the first time.
template <class Input>
std::function<Tensor(Input)> of_one_shape(const std::function<Tensor(Input)>& f, const Asked& asked) {
  return [&f, asked, first = std::optional<Shape>()](Input x) mutable {
    const Tensor y = f(x);
    const Shape shape = y.shape(asked.where);
    if (!first) first = shape;
    require_same_shape(*first, shape, asked);
    return y;
  };
}
// The same as above on a tape that the caller has set up: f64, but dual for jvp.
Array evaluate(Tape& tape, const Function& f, const Arrays& x, const Asked& asked);
Array jvp(Tape& tape, const Function& f, const Arrays& x, const Arrays& v, const Asked& asked);
// With `only` an argument's index the others are constants, and their derivatives 0. With several `times` the
// gradients add up.
struct Pull {
  std::int64_t only = -1;
  int times = 1;
};
Arrays vjp(Tape& tape, const Function& f, const Arrays& x, const Array& u, const Asked& asked, Pull how = {});
// What backward from y, which starts with u, leaves in the parameters, added up over so many times: their
// gradients, or the tangents of these. Laid out like the block.
std::vector<double> pull(Tape& tape, const ParameterBlock& parameters, const Tensor& y,
                         std::span<const double> u, const Asked& asked, int times,
                         std::vector<double> (Tensor::*part)(Place) const);
}  // namespace detail

}  // namespace reel
