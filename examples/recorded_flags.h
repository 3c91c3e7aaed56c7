#pragma once

#include <CLI/App.hpp>
#include <iosfwd>

#include "examples/flags.h"

namespace reel::examples {

/// With --resume, flags of the verb that are not given take the values that the run was started with. Those
/// that are given are compared with them at once: later, what follows from two of them would be refused in
/// the name of one that was not given.
///
/// Throws UsageError if a flag has another value than in the run, or the run is of another task; FileError if
/// what was recorded is damaged; IoError if the data is gone. Says on `err` if nothing was recorded.
void take_recorded_flags(CLI::App& verb, const RunFlags& run, std::ostream& err);

}  // namespace reel::examples
