#pragma once

#include <iosfwd>
#include <string>
#include <variant>
#include <vector>

#include "examples/exit_code.h"
#include "examples/flags.h"

namespace reel::examples {

/// What a command line asks for: one verb with its flags.
using Command = std::variant<ClassifierFlags, TransformerFlags, GenerateFlags, EvaluateFlags, InspectFlags,
                             AutopsyFlags, AttentionFlags, BenchFlags, OpsFlags>;

/// Reads the words behind the program's name.
///
/// What is wrong goes to `err`, with the exit code `usage`; what --help and --version show goes to `out`,
/// with `ok`.
std::variant<ExitCode, Command> parse_command_line(const std::vector<std::string>& words, std::ostream& out,
                                                   std::ostream& err);

}  // namespace reel::examples
