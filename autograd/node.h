#pragma once

#include <cstdint>

#include "autograd/place.h"
#include "autograd/shape.h"

namespace reel {

struct Op;

/// One recorded value. Plain data in a flat array, in recording order, which is a topological order. Two
/// cache lines.
struct alignas(64) Node {
  const Op* op = nullptr;    // null for a leaf
  void* value = nullptr;     // [shape]
  void* gradient = nullptr;  // [shape]; null until the first contribution, and of an op again once passed on
  const void* options = nullptr;  // in the value arena
  void* saved = nullptr;          // what forward left for backward
  std::uint64_t step = 0;         // the step that recorded it
  std::uint32_t first_input = 0;  // into the tape's list of inputs
  std::uint32_t inputs = 0;
  std::int32_t parameter = -1;  // leaf of a parameter: index into the tape's list of parameter leaves
  bool wants_gradient = false;  // is, or comes from, a variable or a parameter that is not frozen
  bool retained = false;        // its gradient outlives backward
  bool detours = false;         // an input is broadcast, or stands among the inputs twice
  bool consumed = false;        // backward has run through it
  Shape shape;
  std::int64_t size = 0;  // of the shape
  const char* file = "";
  std::int32_t line = 0;
  std::uint32_t waits_since = 0;   // how often backward had run when it began to keep its gradient
  bool stretches = false;          // an input is broadcast
  bool borrowed = false;           // its value lies in a model's memory: a parameter, or a view of one
  std::uint32_t options_type = 0;  // the number of their type; 0 without options

  Place place() const { return {file, line}; }
};
static_assert(sizeof(Node) == 128);

}  // namespace reel
