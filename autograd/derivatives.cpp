#include "autograd/derivatives.h"

#include <algorithm>

#include "autograd/error.h"

namespace reel {
namespace {

using detail::Asked;

std::vector<Tensor> variables(Tape& tape, const Arrays& x, const Arrays* tangents, Place where) {
  std::vector<Tensor> tensors;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (tangents == nullptr) {
      tensors.push_back(tape.variable(x[i].values, x[i].shape, where));
    } else {
      tensors.push_back(tape.variable(x[i].values, (*tangents)[i].values, x[i].shape, where));
    }
  }
  return tensors;
}

void require_directions(const Arrays& x, const Arrays& v, const Asked& asked) {
  bool fit = x.size() == v.size();
  for (std::size_t i = 0; fit && i < x.size(); ++i) fit = x[i].values.size() == v[i].values.size();
  if (!fit) {
    throw ShapeError(
        asked.where,
        at(asked.where, std::string(asked.name) + ": the direction must have the shapes of the point") +
            help_line("give one array per argument, each with as many numbers as the argument"));
  }
}

// What f gives, as something to play backwards from.
Here played(const Tape& tape, const Function& f, const std::vector<Tensor>& inputs, const Asked& asked) {
  return Here(detail::checked(tape, f(inputs), asked), asked.where.file, asked.where.line);
}

Arrays gradients(const std::vector<Tensor>& tensors, std::vector<double> (Tensor::*part)(Place) const) {
  Arrays result;
  for (const Tensor& t : tensors) result.push_back({t.shape(), (t.*part)(Place::here())});
  return result;
}

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

Array detail::evaluate(Tape& tape, const Function& f, const Arrays& x, const Asked& asked) {
  const auto step = tape.inference();
  const Tensor y = checked(tape, f(variables(tape, x, nullptr, asked.where)), asked);
  return {y.shape(), y.values()};
}

Array detail::jvp(Tape& tape, const Function& f, const Arrays& x, const Arrays& v, const Asked& asked) {
  const auto step = tape.inference();
  const Tensor y = checked(tape, f(variables(tape, x, &v, asked.where)), asked);
  return {y.shape(), y.tangents()};
}

Arrays detail::vjp(Tape& tape, const Function& f, const Arrays& x, const Array& u, const Asked& asked) {
  const auto step = tape.record();
  const std::vector<Tensor> inputs = variables(tape, x, nullptr, asked.where);
  tape.backward(played(tape, f, inputs, asked), u.values);
  return gradients(inputs, &Tensor::gradient);
}

Array evaluate(const Function& f, const Arrays& x, Place where) {
  Tape tape(Precision::f64);
  return detail::evaluate(tape, f, x, {"evaluate", where});
}

Arrays grad(const Function& f, const Arrays& x, Place where) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const std::vector<Tensor> inputs = variables(tape, x, nullptr, where);
  tape.backward(played(tape, f, inputs, {"grad", where}));
  return gradients(inputs, &Tensor::gradient);
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
  const std::vector<Tensor> inputs = variables(tape, x, &v, where);
  tape.backward(played(tape, f, inputs, asked));
  return gradients(inputs, &Tensor::gradient_tangents);
}

Array jacobian(const Function& f, const Array& x, Place where) {
  const auto inputs = static_cast<std::int64_t>(x.values.size());
  Array v{x.shape, std::vector<double>(x.values.size())};
  Array result;
  for (std::int64_t j = 0; j < inputs; ++j) {
    v.values[static_cast<std::size_t>(j)] = 1;
    Tape tape(Precision::dual);
    const Array column = detail::jvp(tape, f, {x}, {v}, {"jacobian", where});
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
