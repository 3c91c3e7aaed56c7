#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <variant>
#include <vector>

#include "examples/exit_code.h"
#include "examples/flags.h"

namespace CLI {
class App;
}

namespace reel::examples {

/// What a command line asks for: one verb with its flags.
using Command = std::variant<ClassifierFlags, TransformerFlags, GenerateFlags, EvaluateFlags, PredictFlags,
                             InspectFlags, AutopsyFlags, AttentionFlags, BenchFlags, OpsFlags>;

/// Gives flags of a training that were not given their values. take_recorded_flags is one; it reads files,
/// which reading words does not.
using CompleteTraining = std::function<void(CLI::App& verb, const RunFlags& run)>;

/// Reads the words behind the program's name.
///
/// What is wrong goes to `err`, with the exit code `usage`; what --help and --version show goes to `out`,
/// with `ok`. What is right is returned, a training after `complete` has seen it; throws what that throws.
std::variant<ExitCode, Command> parse_command_line(const std::vector<std::string>& words, std::ostream& out,
                                                   std::ostream& err, const CompleteTraining& complete = {});

}  // namespace reel::examples
