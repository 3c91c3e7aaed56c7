#include "autograd/op.h"

#include <algorithm>

#include "autograd/tape.h"

namespace reel {
namespace {

std::deque<Op>& cards() {
  static std::deque<Op> all;
  return all;
}

bool is_whole(const ForEachPrecision& f) { return f.f32 != nullptr && f.f64 != nullptr && f.dual != nullptr; }

// What the engine later uses without another look.
void require_whole(const Op& card, Place place) {
  const auto refuse = [&](const char* what, const char* help) {
    throw ValueError(
        place,
        at(place, "define: the card of \"" + std::string(card.name) + "\" has no " + what) + help_line(help));
  };
  if (card.name.empty()) refuse(".name", "give every op a name of its own");
  if (card.shape.apply == nullptr) refuse(".shape", "give the rule that computes the shape of the output");
  if (card.passes_dy_to.beyond())
    throw ValueError(place, at(place, "define: the card of \"" + std::string(card.name) +
                                          "\" passes dy to an input behind the first 32") +
                                help_line("write that gradient in .backward, to dx(i)"));
  if (card.view) return;
  if (!is_whole(card.forward)) refuse(".forward", "only an op with .view = true does without");
  if (!card.stops && !is_whole(card.backward))
    refuse(".backward", "only an op with .stops = true, which no gradient passes, does without");
}

}  // namespace

const Op& define(Op card, Place place) {
  require_whole(card, place);
  for (const Op& known : cards()) {
    if (known.name != card.name) continue;
    // The same line may stand for other functions: in a template.
    const bool same_line = known.place.line == place.line && std::string_view(known.place.file) == place.file;
    if (same_line && known.forward.f32 == card.forward.f32 && known.backward.f32 == card.backward.f32)
      return known;
    throw ValueError(place, at(place, "define: there is an op \"" + std::string(card.name) + "\" from " +
                                          known.place.file + ":" + std::to_string(known.place.line)) +
                                help_line("give every op its own name, and define it in one .cpp file"));
  }
  card.index = static_cast<std::uint32_t>(cards().size());
  card.place = place;
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
    shape_width = std::max(shape_width, to_string(inputs_[i].shape()).size());
  }
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    std::string name(op_.input_name(i));
    std::string shape = to_string(inputs_[i].shape());
    name.resize(name_width, ' ');
    shape.resize(shape_width, ' ');
    text += "\n    " + name + " " + shape + "  " + Tape::origin(inputs_[i]);
  }
  if (!help.empty()) text += help_line(help);
  return text;
}

void Call::refuse_input(int i) const {
  refuse("its card reads input " + std::to_string(i) + ", counted from 0, but the call gave " +
             std::to_string(inputs_.size()),
         "give record() every input that the card reads");
}
void Call::refuse_options() const {
  refuse(options_ == nullptr ? "its card reads options, but the call gave none"
                             : "its card reads options of another type than the call gave",
         "give record() the struct that the card reads with options<...>()");
}

void Call::fail(const std::string& reason, const std::string& help) const {
  throw ShapeError(place_, describe(reason, help));
}
void Call::refuse(const std::string& reason, const std::string& help) const {
  throw ValueError(place_, describe(reason, help));
}

}  // namespace reel
