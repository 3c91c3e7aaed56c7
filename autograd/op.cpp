#include "autograd/op.h"

#include <algorithm>

#include "autograd/tape.h"

namespace reel {
namespace {

std::deque<Op>& cards() {
  static std::deque<Op> all;
  return all;
}

}  // namespace

const Op& define(Op card) {
  card.index = static_cast<std::uint32_t>(cards().size());
  cards().push_back(std::move(card));
  return cards().back();
}

const std::deque<Op>& registry() { return cards(); }

std::string Call::describe(const std::string& reason, const std::string& help) const {
  std::string text = at(place_, std::string(op_.name) + ": " + reason);
  std::size_t name_width = 8;
  std::size_t shape_width = 0;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    name_width = std::max(name_width, op_.input_name(i).size());
    shape_width = std::max(shape_width, to_string((*this)[static_cast<int>(i)]).size());
  }
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    std::string name(op_.input_name(i));
    std::string shape = to_string((*this)[static_cast<int>(i)]);
    name.resize(name_width, ' ');
    shape.resize(shape_width, ' ');
    text += "\n    " + name + " " + shape + "  " + Tape::origin(inputs_[i]);
  }
  if (!help.empty()) text += help_line(help);
  return text;
}

void Call::fail(const std::string& reason, const std::string& help) const {
  throw ShapeError(place_, describe(reason, help));
}
void Call::refuse(const std::string& reason, const std::string& help) const {
  throw ValueError(place_, describe(reason, help));
}

}  // namespace reel
