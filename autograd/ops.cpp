#include "autograd/ops.h"

#include <string>

#include "autograd/error.h"

// The ops themselves stand in ops/, a card and its functions together.

namespace reel {

Axes::Axes(std::initializer_list<int> list, Place where) {
  if (list.size() > static_cast<std::size_t>(Shape::max_rank)) {
    throw ShapeError(where, at(where, "axes: more than " + std::to_string(Shape::max_rank)));
  }
  for (const int a : list) axis[count++] = a;
}

}  // namespace reel
