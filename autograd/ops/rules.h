#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "autograd/broadcast.h"
#include "autograd/error.h"
#include "autograd/op.h"
#include "autograd/ops.h"

// What the cards in this folder share: the named shape rules, and how axes are counted.

namespace reel {

/// The shape of the only, or first, input.
inline constexpr ShapeRule same{"same", [](const Call& c) { return c[0]; }};

inline constexpr const char* broadcast_help = "sizes are aligned at the last dimension and must be equal or 1";

/// NumPy's broadcasting of all inputs.
inline constexpr ShapeRule broadcasting{"broadcast",
                                        [](const Call& c) {
                                          Shape result = c[0];
                                          for (int i = 1; i < c.inputs(); ++i) {
                                            if (!(c[i] == result) && !broadcast(result, c[i], result)) {
                                              c.fail("shapes " + to_string(result) + " and " + to_string(c[i]) +
                                                         " do not broadcast",
                                                     broadcast_help);
                                            }
                                          }
                                          return result;
                                        },
                                        true};

/// The backward of a card that passes dy to all its inputs.
inline constexpr auto nothing_else = [](auto&) {};

/// An axis counted from the front. Throws ShapeError at the place if there is none of that number.
int axis_from_front(int axis, int rank, Place place, std::string_view op);

/// Axes counted from the front, ascending, all of them if the list is empty. Throws ShapeError for a repeated axis.
Axes axes_from_front(const Axes& axes, int rank, Place place, std::string_view op);

/// Throws ShapeError as the shape rule of a card does, about what the user gave: for functions that do other ops first.
[[noreturn]] void fail(const Op& op, std::initializer_list<Here> inputs, const std::string& reason,
                       const std::string& help = "");

/// As many heads as a dimension can hold.
inline constexpr std::int64_t most_heads = std::numeric_limits<std::int32_t>::max();

/// Throws unless the first input's rows are queries, keys and values side by side, each of so many heads whose size is a
/// multiple of `unit`; `size` says so in words.
void check_packed(const Call& c, std::int64_t heads, std::int64_t unit, const char* size);

/// Throws ValueError about the row that a kernel of softmax.h found to be -inf everywhere; -1: none.
template <class C>
void refuse_empty_row(const C& c, std::int64_t row) {
  if (row >= 0) {
    c.refuse("row " + std::to_string(row) + " is -inf everywhere: there is no softmax of it",
             "attention handles masked rows itself; elsewhere leave at least one finite logit in a row");
  }
}

/// A reduction of elementwise losses.
Tensor reduced(Here losses, Reduction reduction);

}  // namespace reel
