#include "autograd/ops/rules.h"

namespace reel {

int axis_from_front(int axis, int rank, Place place, std::string_view op) {
  if (rank == 0) {
    throw ShapeError(place, at(place, std::string(op) + ": axis " + std::to_string(axis) + " of a scalar, which has none"));
  }
  if (axis < -rank || axis >= rank) {
    throw ShapeError(place, at(place, std::string(op) + ": axis " + std::to_string(axis) + " of a tensor of rank " +
                                          std::to_string(rank)) +
                                help_line("axes run from " + std::to_string(-rank) + " to " + std::to_string(rank - 1)));
  }
  return axis < 0 ? axis + rank : axis;
}

Axes axes_from_front(const Axes& axes, int rank, Place place, std::string_view op) {
  Axes result;
  if (axes.count == 0) {
    result.count = rank;
    for (int i = 0; i < rank; ++i) result.axis[i] = i;
    return result;
  }
  bool named[Shape::max_rank] = {};
  for (int i = 0; i < axes.count; ++i) {
    const int axis = axis_from_front(axes.axis[i], rank, place, op);
    if (named[axis]) {
      throw ShapeError(place, at(place, std::string(op) + ": axis " + std::to_string(axis) + " is named twice"));
    }
    named[axis] = true;
  }
  for (int i = 0; i < rank; ++i) {
    if (named[i]) result.axis[result.count++] = i;
  }
  return result;
}

void fail(const Op& op, std::initializer_list<Here> inputs, const std::string& reason, const std::string& help) {
  const std::span<const Here> all(inputs.begin(), inputs.size());
  Call(op, all, nullptr, nullptr, nullptr, 0, all.front().place).fail(reason, help);
}

void check_packed(const Call& c, std::int64_t heads, std::int64_t unit, const char* size) {
  if (heads < 1) c.refuse(std::to_string(heads) + " heads");
  if (heads > most_heads || c[0].back() % (3 * unit * heads) != 0) {
    c.fail(std::to_string(c[0].back()) + " channels are not 3 times " + std::to_string(heads) + " heads of " + size,
           "queries, keys and values stand side by side, each with all heads");
  }
}

Tensor reduced(Here losses, Reduction reduction) {
  switch (reduction) {
    case Reduction::mean: return mean(losses);
    case Reduction::sum: return sum(losses);
    default: return losses.tensor;
  }
}

}  // namespace reel
