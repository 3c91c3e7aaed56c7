#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

/// openat(2), again after EINTR. Nothing is open, and errno says why, if it fails.
FileDescriptor open_at(int directory, const char* path, int flags, unsigned mode = 0);

/// Writes all of the bytes, however few write(2) takes at a time. False, and errno says why, if it fails.
bool write_all(int fd, std::string_view bytes);

/// Flushes the names in a directory to the disk; on a file system that cannot, nothing. False, and errno says
/// why, if it fails.
bool sync_directory(int fd);

/// Makes a directory and those above it that are missing, and flushes their names to the disk. False if it
/// was there. Throws IoError. Those that it made are added to `made`, the outermost first, also if it throws.
bool make_directories(const std::filesystem::path& path, std::vector<std::filesystem::path>* made = nullptr);

/// A path for a message. A name with line ends in it could else write lines that look like the program's own.
std::string in_one_line(const std::filesystem::path& path);

/// Throws IoError "PATH: cannot VERB: REASON" for the error number `error`.
[[noreturn]] void throw_io_error(const std::string& path, const char* verb, int error);

}  // namespace reel::nn
