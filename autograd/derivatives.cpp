#include "autograd/derivatives.h"

#include <algorithm>

#include "autograd/error.h"

namespace reel {
namespace {

using detail::Asked;

std::vector<double> zeros(const Array& a) { return std::vector<double>(a.values.size()); }

[[noreturn]] void refuse(const Asked& asked, const std::string& what, const char* help) {
  throw ShapeError(asked.where, at(asked.where, std::string(asked.name) + ": " + what) + help_line(help));
}

void require_filled(const Array& a, const Asked& asked) {
  const std::int64_t size = a.shape.size(asked.where);
  if (static_cast<std::int64_t>(a.values.size()) == size) return;
  refuse(asked,
         std::to_string(a.values.size()) + " values do not fill the shape " + to_string(a.shape) + " of " +
             std::to_string(size),
         "give an array as many values as its shape has elements");
}

std::vector<Tensor> leaves(Tape& tape, const Arrays& x, const Arrays* tangents, const Asked& asked,
                           std::int64_t only = -1) {
  std::vector<Tensor> tensors;
  for (std::size_t i = 0; i < x.size(); ++i) {
    require_filled(x[i], asked);
    if (tangents != nullptr) {
      tensors.push_back(tape.variable(x[i].values, (*tangents)[i].values, x[i].shape, asked.where));
    } else if (only < 0 || static_cast<std::size_t>(only) == i) {
      tensors.push_back(tape.variable(x[i].values, x[i].shape, asked.where));
    } else {
      tensors.push_back(tape.constant(x[i].values, x[i].shape, asked.where));
    }
  }
  return tensors;
}

void require_directions(const Arrays& x, const Arrays& v, const Asked& asked) {
  bool fit = x.size() == v.size();
  for (std::size_t i = 0; fit && i < x.size(); ++i)
    fit = x[i].shape == v[i].shape && x[i].values.size() == v[i].values.size();
  if (!fit)
    refuse(asked, "the direction must have the shapes of the point",
           "give one array per argument, each with the argument's shape and as many numbers");
}

void require_direction(const ParameterBlock& parameters, std::span<const double> v, const Asked& asked) {
  if (static_cast<std::int64_t>(v.size()) == parameters.length()) return;
  refuse(asked,
         "the direction has " + std::to_string(v.size()) + " numbers, the block of the parameters has " +
             std::to_string(parameters.length()),
         "give parameters.length() numbers, gaps included: element j of parameter i stands at "
         "entry(i).offset + j");
}

// What the function gives, which is to be one number.
Tensor one_number(const Tape& tape, const Tensor& given, const Asked& asked,
                  const char* help = "reduce it with sum() or mean(), or ask for vjp() or jacobian()") {
  const Tensor y = detail::checked(tape, given, asked);
  if (y.size() != 1)
    refuse(asked, "the function must give one number, it gave shape " + to_string(y.shape()), help);
  return y;
}

// What backward left in the leaves; zeros where f depends on none of them and nothing was played.
Arrays gradients(const std::vector<Tensor>& tensors, const Arrays& x, bool played, std::int64_t only,
                 std::vector<double> (Tensor::*part)(Place) const) {
  Arrays result;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool has = played && (only < 0 || static_cast<std::size_t>(only) == i);
    result.push_back({x[i].shape, has ? (tensors[i].*part)(Place::here()) : zeros(x[i])});
  }
  return result;
}

Here at_call(const Tensor& y, const Asked& asked) { return Here(y, asked.where.file, asked.where.line); }

}  // namespace

Tensor detail::checked(const Tape& tape, const Tensor& y, const Asked& asked) {
  if (&y.tape(asked.where) != &tape) {
    throw StateError(
        asked.where,
        at(asked.where, std::string(asked.name) + ": the function gave a tensor of another tape, of shape " +
                            to_string(y.shape(asked.where))) +
            help_line("make it from the tensors that the function is given"));
  }
  return y;
}

void detail::require_same_shape(const Shape& first, const Shape& now, const Asked& asked) {
  if (first == now) return;
  refuse(asked, "the function gave shape " + to_string(first) + ", then " + to_string(now),
         "it must give one shape, whatever the numbers are");
}

Array detail::evaluate(Tape& tape, const Function& f, const Arrays& x, const Asked& asked) {
  const auto step = tape.inference();
  const Tensor y = checked(tape, f(leaves(tape, x, nullptr, asked)), asked);
  return {y.shape(), y.values()};
}

Array detail::jvp(Tape& tape, const Function& f, const Arrays& x, const Arrays& v, const Asked& asked) {
  const auto step = tape.inference();
  const Tensor y = checked(tape, f(leaves(tape, x, &v, asked)), asked);
  return {y.shape(), y.tangents()};
}

Arrays detail::vjp(Tape& tape, const Function& f, const Arrays& x, const Array& u, const Asked& asked,
                   Pull how) {
  const auto step = tape.record();
  const std::vector<Tensor> inputs = leaves(tape, x, nullptr, asked, how.only);
  const Tensor y = checked(tape, f(inputs), asked);
  if (!(u.shape == y.shape()))
    refuse(asked,
           "the numbers to start from have shape " + to_string(u.shape) + ", what the function gives has " +
               to_string(y.shape()),
           "give one number for each that the function gives, in its shape");
  require_filled(u, asked);
  const bool depends = wants_gradient(tape, y);
  for (int i = 0; depends && i < how.times; ++i)
    tape.backward(at_call(y, asked), u.values, {.retain_graph = i + 1 < how.times});
  return gradients(inputs, x, depends, how.only, &Tensor::gradient);
}

std::vector<double> detail::pull(Tape& tape, const ParameterBlock& parameters, const Tensor& y,
                                 std::span<const double> u, const Asked& asked, int times,
                                 std::vector<double> (Tensor::*part)(Place) const) {
  std::vector<double> result(static_cast<std::size_t>(parameters.length()));
  if (!wants_gradient(tape, y)) return result;
  // Before backward, so that a parameter that y does not depend on has a gradient, of zeros.
  std::vector<Tensor> leaves;
  for (std::size_t i = 0; i < parameters.count(); ++i)
    leaves.push_back(tape.leaf(Parameter(const_cast<ParameterBlock&>(parameters), i), asked.where));
  for (int i = 0; i < times; ++i) tape.backward(at_call(y, asked), u, {.retain_graph = i + 1 < times});
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    const std::vector<double> gradient = (leaves[i].*part)(asked.where);
    std::copy(gradient.begin(), gradient.end(), result.begin() + parameters.entry(i).offset);
  }
  return result;
}

Array evaluate(const Function& f, const Arrays& x, Place where) {
  Tape tape(Precision::f64);
  return detail::evaluate(tape, f, x, {"evaluate", where});
}

Arrays grad(const Function& f, const Arrays& x, Place where) {
  const Asked asked{"grad", where};
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const std::vector<Tensor> inputs = leaves(tape, x, nullptr, asked);
  const Tensor y = one_number(tape, f(inputs), asked);
  const bool depends = detail::wants_gradient(tape, y);
  if (depends) tape.backward(at_call(y, asked));
  return gradients(inputs, x, depends, -1, &Tensor::gradient);
}

Array jvp(const Function& f, const Arrays& x, const Arrays& v, Place where) {
  const Asked asked{"jvp", where};
  require_directions(x, v, asked);
  Tape tape(Precision::dual);
  return detail::jvp(tape, f, x, v, asked);
}

Arrays vjp(const Function& f, const Arrays& x, const Array& u, Place where) {
  Tape tape(Precision::f64);
  return detail::vjp(tape, f, x, u, {"vjp", where});
}

Arrays hvp(const Function& f, const Arrays& x, const Arrays& v, Place where) {
  const Asked asked{"hvp", where};
  require_directions(x, v, asked);
  Tape tape(Precision::dual);
  const auto step = tape.record();
  const std::vector<Tensor> inputs = leaves(tape, x, &v, asked);
  const Tensor y = one_number(tape, f(inputs), asked);
  const bool depends = detail::wants_gradient(tape, y);
  if (depends) tape.backward(at_call(y, asked));
  return gradients(inputs, x, depends, -1, &Tensor::gradient_tangents);
}

Array jvp(const ParameterBlock& parameters, const std::function<Tensor(Tape&)>& loss,
          std::span<const double> v, Place where) {
  const Asked asked{"jvp", where};
  require_direction(parameters, v, asked);
  Tape tape(Precision::dual);
  tape.override_parameters(parameters, {}, v);
  const auto step = tape.inference();
  const Tensor y = detail::checked(tape, loss(tape), asked);
  return {y.shape(), y.tangents()};
}

std::vector<double> hvp(const ParameterBlock& parameters, const std::function<Tensor(Tape&)>& loss,
                        std::span<const double> v, Place where) {
  const Asked asked{"hvp", where};
  require_direction(parameters, v, asked);
  Tape tape(Precision::dual);
  tape.override_parameters(parameters, {}, v);
  const auto step = tape.record();
  const Tensor y = one_number(tape, loss(tape), asked, "reduce it with sum() or mean()");
  const double one = 1;
  return detail::pull(tape, parameters, y, {&one, 1}, asked, 1, &Tensor::gradient_tangents);
}

Array jacobian(const Function& f, const Array& x, Place where) {
  const Asked asked{"jacobian", where};
  const auto inputs = static_cast<std::int64_t>(x.values.size());
  if (inputs == 0) {
    Tape tape(Precision::f64);
    return {{static_cast<std::int64_t>(detail::evaluate(tape, f, {x}, asked).values.size()), 0}, {}};
  }
  const Function same = detail::of_one_shape(f, asked);
  Array v{x.shape, zeros(x)};
  Array result;
  for (std::int64_t j = 0; j < inputs; ++j) {
    v.values[static_cast<std::size_t>(j)] = 1;
    Tape tape(Precision::dual);
    const Array column = detail::jvp(tape, same, {x}, {v}, asked);
    v.values[static_cast<std::size_t>(j)] = 0;
    const auto outputs = static_cast<std::int64_t>(column.values.size());
    if (j == 0) {
      result.shape = Shape{outputs, inputs};
      result.values.resize(static_cast<std::size_t>(outputs * inputs));
    }
    for (std::int64_t i = 0; i < outputs; ++i) {
      result.values[static_cast<std::size_t>(i * inputs + j)] = column.values[static_cast<std::size_t>(i)];
    }
  }
  return result;
}

}  // namespace reel
