#include "nn/file_descriptor.h"

#include <unistd.h>

#include <system_error>

#include "nn/error.h"

namespace reel::nn {

int FileDescriptor::close() {
  if (!is_open()) return 0;
  return ::close(release());
}

void throw_io_error(const std::string& path, const char* verb, int error) {
  throw IoError(path + ": cannot " + verb + ": " + std::generic_category().message(error));
}

}  // namespace reel::nn
