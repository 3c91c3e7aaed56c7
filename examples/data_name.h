#pragma once

#include <string>

namespace reel::examples {

/// Whether --data or --labels names a file, perhaps one that is not there, and no set that is built in.
bool names_a_file(const std::string& name);

/// Throws IoError `NAME: No such file or directory, but WHY` if it names a file that is not there.
void require_there(const std::string& name, const std::string& why);

/// Refuses a file that is gzipped and no IDX file, and says how to unpack it.
void refuse_gzip(const std::string& path, const std::string& bytes);

/// The bytes of a text. Throws IoError; DataError if they are packed, for a model would learn those.
std::string read_text(const std::string& path);

}  // namespace reel::examples
