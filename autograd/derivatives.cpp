#include "autograd/derivatives.h"

#include <algorithm>

#include "autograd/error.h"

namespace reel {
namespace {

std::vector<Tensor> variables(Tape& tape, const Arrays& x, const Arrays* tangents) {
  std::vector<Tensor> tensors;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (tangents == nullptr) {
      tensors.push_back(tape.variable(x[i].values, x[i].shape));
    } else {
      tensors.push_back(tape.variable(x[i].values, (*tangents)[i].values, x[i].shape));
    }
  }
  return tensors;
}

void require_directions(const Arrays& x, const Arrays& v, const char* name) {
  bool fit = x.size() == v.size();
  for (std::size_t i = 0; fit && i < x.size(); ++i) fit = x[i].values.size() == v[i].values.size();
  if (!fit) {
    throw ShapeError(Place{},
                     std::string("error: ") + name + ": the direction must have the shapes of the point" +
                         help_line("give one array per argument, each with as many numbers as the argument"));
  }
}

Arrays gradients(const std::vector<Tensor>& tensors, std::vector<double> (Tensor::*part)(Place) const) {
  Arrays result;
  for (const Tensor& t : tensors) result.push_back({t.shape(), (t.*part)(Place::here())});
  return result;
}

}  // namespace

Array detail::evaluate(Tape& tape, const Function& f, const Arrays& x) {
  const auto step = tape.inference();
  const Tensor y = f(variables(tape, x, nullptr));
  return {y.shape(), y.values()};
}

Array detail::jvp(Tape& tape, const Function& f, const Arrays& x, const Arrays& v) {
  const auto step = tape.inference();
  const Tensor y = f(variables(tape, x, &v));
  return {y.shape(), y.tangents()};
}

Arrays detail::vjp(Tape& tape, const Function& f, const Arrays& x, const Array& u) {
  const auto step = tape.record();
  const std::vector<Tensor> inputs = variables(tape, x, nullptr);
  tape.backward(f(inputs), u.values);
  return gradients(inputs, &Tensor::gradient);
}

Array evaluate(const Function& f, const Arrays& x) {
  Tape tape(Precision::f64);
  return detail::evaluate(tape, f, x);
}

Arrays grad(const Function& f, const Arrays& x) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const std::vector<Tensor> inputs = variables(tape, x, nullptr);
  tape.backward(f(inputs));
  return gradients(inputs, &Tensor::gradient);
}

Array jvp(const Function& f, const Arrays& x, const Arrays& v) {
  require_directions(x, v, "jvp");
  Tape tape(Precision::dual);
  return detail::jvp(tape, f, x, v);
}

Arrays vjp(const Function& f, const Arrays& x, const Array& u) {
  Tape tape(Precision::f64);
  return detail::vjp(tape, f, x, u);
}

Arrays hvp(const Function& f, const Arrays& x, const Arrays& v) {
  require_directions(x, v, "hvp");
  Tape tape(Precision::dual);
  const auto step = tape.record();
  const std::vector<Tensor> inputs = variables(tape, x, &v);
  tape.backward(f(inputs));
  return gradients(inputs, &Tensor::gradient_tangents);
}

Array jacobian(const Function& f, const Array& x) {
  const auto inputs = static_cast<std::int64_t>(x.values.size());
  Array v{x.shape, std::vector<double>(x.values.size())};
  Array result;
  for (std::int64_t j = 0; j < inputs; ++j) {
    v.values[static_cast<std::size_t>(j)] = 1;
    const Array column = jvp(f, {x}, {v});
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
