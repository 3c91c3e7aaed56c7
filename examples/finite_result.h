#pragma once

#include <string>

#include "autograd/error.h"
#include "data/file.h"
#include "examples/autopsy.h"
#include "examples/model_file.h"

namespace reel::examples {

/// What `compute` made of a model on the tape, if it is_finite(). If it is not, it is computed again to see
/// where that began. Throws NonFiniteError, which speaks of it as `what` and advises a `remedy`.
template <class Compute, class IsFinite>
auto finite_result(Tape& tape, const ModelFile& file, const std::string& what, const std::string& remedy,
                   const Compute& compute, const IsFinite& is_finite) {
  try {
    auto result = compute();
    if (is_finite(result)) return result;
  } catch (const Error&) {
    // An op may refuse what became of the numbers. If it was something else, it is refused again.
  }
  const std::string culprit = culprit_of(tape, [&] { compute(); });
  throw NonFiniteError(
      Place{},
      data::printable(file.file.name()) + ": " + what + " is not finite" +
          (culprit.empty() ? "" : ": " + culprit) +
          help_line("the model or the data has numbers that are not finite, or too large; " + remedy));
}

}  // namespace reel::examples
