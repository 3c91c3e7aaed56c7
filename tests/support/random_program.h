#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace reel {

/// Where a random program takes its choices from: random numbers, or the bytes of a fuzzer.
class Choices {
 public:
  virtual ~Choices() = default;
  /// A choice among n.
  virtual std::size_t below(std::size_t n) = 0;
  /// A number from -1 to 1.
  virtual double number() = 0;
  /// Whether there is anything to choose with.
  virtual bool more() const { return true; }
};

struct Outcome {
  double gap = 0;  // between u . J v and v . J^T u, in units of the tolerance
  std::vector<std::string> names;
};

/// Runs a program of up to so many ops from the registry, each fed with whatever earlier results it accepts,
/// so that results are shared, broadcast and left unused as no test by hand would have it, forwards and
/// backwards.
Outcome run_random_program(Choices& choices, int ops);

}  // namespace reel
