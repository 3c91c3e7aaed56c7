#pragma once

#include <string>
#include <utility>

namespace reel::nn {

/// Owns a POSIX file descriptor and closes it.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() { close(); }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = other.release();
    }
    return *this;
  }

  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }

  /// Closes and returns what close(2) returned; 0 when nothing was open.
  int close();

 private:
  int fd_ = -1;
};

/// Throws IoError "PATH: cannot VERB: REASON" for the error number `error`.
[[noreturn]] void throw_io_error(const std::string& path, const char* verb, int error);

}  // namespace reel::nn
