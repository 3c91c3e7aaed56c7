#include "nn/file_descriptor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "nn/error.h"

namespace reel::nn {

int FileDescriptor::close() {
  if (!is_open()) return 0;
  return ::close(release());
}

FileDescriptor open_at(int directory, const char* path, int flags, unsigned mode) {
  int fd = -1;
  do {
    fd = ::openat(directory, path, flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return FileDescriptor(fd);
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written == 0) errno = ENOSPC;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

bool sync_directory(int fd) { return ::fsync(fd) == 0 || errno == EINVAL; }

bool make_directories(const std::filesystem::path& path, std::vector<std::filesystem::path>* made) {
  const std::filesystem::path parent = path.has_parent_path() ? path.parent_path() : ".";
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return false;
  if (path.filename().empty()) return make_directories(parent, made);  // "runs/" is "runs"
  if (path.has_parent_path()) make_directories(parent, made);
  if (::mkdir(path.c_str(), 0777) != 0) {
    if (errno == EEXIST && std::filesystem::is_directory(path, error)) return false;  // made at this moment
    throw_io_error(path.string(), "make the directory", errno);
  }
  if (made != nullptr) made->push_back(path);
  const FileDescriptor above = open_at(AT_FDCWD, parent.c_str(), O_RDONLY | O_DIRECTORY);
  if (!above.is_open() || !sync_directory(above.get()))
    throw_io_error(parent.string(), "sync the directory", errno);
  return true;
}

std::string in_one_line(const std::filesystem::path& path) {
  std::string text;
  for (const char c : path.native()) text += c == '\n' ? std::string("\\x0a") : std::string(1, c);
  return text;
}

void throw_io_error(const std::string& path, const char* verb, int error) {
  throw IoError(in_one_line(path) + ": cannot " + verb + ": " + std::generic_category().message(error));
}

}  // namespace reel::nn
