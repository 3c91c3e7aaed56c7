#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "autograd/derivatives.h"
#include "autograd/parameter.h"

// The proof of a derivative.

namespace reel {

struct GradcheckOptions {
  double tolerance = 1e-8;        ///< against 4-point central differences, relative to the largest derivative
  double dual_tolerance = 1e-12;  ///< against dual numbers, in the same way
  double step = 1e-3;             ///< of the differences, times max(1, |x|)
  bool differences = true;        ///< false near a kink, where differences prove nothing
  int most_columns = 400;  ///< up to so many inputs the whole Jacobian is checked, else random directions
  int most_rows = 64;      ///< the same for outputs
  int directions = 8;      ///< how many random directions
  std::uint64_t seed = 1;  ///< of the random directions
};

struct GradcheckReport {
  bool passed = false;
  double difference_error = 0;  ///< largest error against differences
  double dual_error = 0;        ///< largest error against dual numbers
  double reuse_error = 0;    ///< largest error of a gradient that is added to another, or of an input alone
  std::int64_t checked = 0;  ///< entries of the Jacobian, or products u^T J v
  std::string message;       ///< the worst entry, in words
  explicit operator bool() const { return passed; }
};

/// Compares the derivatives that backward gives with 4-point central differences and with dual numbers, in
/// double precision.
///
/// What an op may not read is NaN meanwhile, and so shows in the report: memory that was not written yet, a
/// gradient that a backward leaves out, and inputs or an output that the card's `reads` does not name. Two
/// things are tried once more, along one random direction of the outputs, within `dual_tolerance`: gradients
/// that are added to others, which a backward that overwrites them shows, and every input alone while the
/// others are constants. There a backward that writes a gradient nobody wants ends the program, as it would
/// in use.
///
/// Throws ShapeError if f does not give the same shape every time.
GradcheckReport gradcheck(const Function& f, const Arrays& x, const GradcheckOptions& options = {},
                          Place where = Place::here());

/// The same for the parameters of a model, all at once: `loss` computes any tensor from them on the tape that
/// it is given.
GradcheckReport gradcheck(const ParameterBlock& parameters, const std::function<Tensor(Tape&)>& loss,
                          const GradcheckOptions& options = {}, Place where = Place::here());

}  // namespace reel
