#include "examples/data_name.h"

#include <filesystem>

#include "data/error.h"
#include "data/file.h"
#include "data/idx.h"
#include "examples/shell_word.h"

namespace reel::examples {

bool names_a_file(const std::string& name) {
  return name.find_first_of("./") != std::string::npos || std::filesystem::exists(name);
}

void require_there(const std::string& name, const std::string& why) {
  if (!names_a_file(name) || std::filesystem::exists(name)) return;
  throw data::IoError(data::printable(name) + ": No such file or directory, but " + why);
}

void refuse_gzip(const std::string& path, const std::string& bytes) {
  if (!data::is_gzip_of_other(bytes)) return;
  const std::string unpacked = path.ends_with(".gz") ? path.substr(0, path.size() - 3) : path + ".unpacked";
  throw data::DataError(
      data::printable(path) +
      ": it is compressed with gzip, in which only IDX files are read; unpack it first: gzip -dc " +
      shell_word(path) + " > " + shell_word(unpacked));
}

std::string read_text(const std::string& path) {
  std::string bytes = data::read_file(path);
  refuse_gzip(path, bytes);
  return bytes;
}

}  // namespace reel::examples
