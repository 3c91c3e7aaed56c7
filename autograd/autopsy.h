#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "autograd/place.h"
#include "autograd/shape.h"

namespace reel {

/// The numbers of a tensor at a glance.
struct Range {
  std::int64_t count = 0;
  std::int64_t nan = 0;
  std::int64_t inf = 0;  ///< of either sign
  double low = 0;        ///< low, high and mean are of the finite ones
  double high = 0;
  double mean = 0;

  std::int64_t finite() const { return count - nan - inf; }
  bool all_finite() const { return nan == 0 && inf == 0; }
};

/// "in [-1, 2.5], mean 0.5", "in [0, 1], mean 0.25, 3 nan, 1 inf", "no finite value, 4 nan".
std::string to_string(const Range& range);

/// Where in a model an op was: the module whose parameter it reads or, if it reads none, the innermost module
/// around the nearest ops before and after it that do.
struct Layer {
  std::string path;    ///< "blocks.2.attention.qkv"; empty for the model as a whole
  std::string after;   ///< of an op without parameters: the module that its inputs came through last
  std::string before;  ///< and the next that its result goes to

  /// "blocks.2.attention, after blocks.2.attention.qkv, before blocks.2.attention.out"; empty if nothing is
  /// known.
  std::string text() const;
};

/// A node of a tape in words and figures.
struct NodeRecord {
  std::string op;         ///< the op's name, or "constant", "variable", "parameter"
  std::string origin;     ///< as error messages have it: "parameter "w"", "made by `exp` at a.cpp:3"
  std::string parameter;  ///< the path of a parameter
  Shape shape;
  Place place;
  std::vector<std::uint32_t> inputs;     ///< indices of nodes
  std::vector<std::string> input_names;  ///< as the op's card has them
  Range value;
  std::optional<Range> gradient;  ///< of what backward reached

  bool is_op() const { return !input_names.empty(); }
};

/// What Tape::autopsy found: everything the tape held, and which op made the first number that is not finite.
struct Autopsy {
  std::vector<NodeRecord> nodes;
  std::int64_t culprit = -1;  ///< index of the op's node; -1 if all is finite
  bool backward = false;      ///< it happened in the op's derivative
  std::string what;           ///< "value 3 is nan", "gradient 0 of x is inf"
  Layer layer;                ///< of the culprit

  bool found() const { return culprit >= 0; }
  /// The finding in the form of an error message: place, op, its inputs with shape, origin and range, layer.
  std::string text() const;
  /// A line per node: number, op, shape, inputs, range of values and gradient, place.
  void print_table(std::ostream& out) const;
};

}  // namespace reel
