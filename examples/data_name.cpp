#include "examples/data_name.h"

#include <filesystem>

#include "data/error.h"
#include "data/file.h"

namespace reel::examples {

bool names_a_file(const std::string& name) {
  return name.find_first_of("./") != std::string::npos || std::filesystem::exists(name);
}

void require_there(const std::string& name, const std::string& why) {
  if (!names_a_file(name) || std::filesystem::exists(name)) return;
  throw data::IoError(data::printable(name) + ": No such file or directory, but " + why);
}

}  // namespace reel::examples
