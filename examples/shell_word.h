#pragma once

#include <string>

namespace reel::examples {

/// A word of a command that is printed to be pasted into a shell: as it is where that does no harm, else in
/// single quotes; one with control characters as $'...', with which it stays on one line.
std::string shell_word(const std::string& word);

}  // namespace reel::examples
