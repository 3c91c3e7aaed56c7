#include "nn/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "nn/error.h"
#include "nn/file_descriptor.h"

namespace reel::nn {
namespace {

/// A new file in a directory that is unlinked again unless it was renamed to its final name.
class Temporary {
 public:
  Temporary(int directory, const std::string& final_name, const std::string& path)
      : directory_(directory), path_(path) {
    // A name may be taken by another thread of this process, or by a killed process that had the same id.
    const std::string base = "." + final_name + ".tmp." + std::to_string(::getpid());
    for (int attempt = 0; attempt < 1000; ++attempt) {
      name_ = attempt == 0 ? base : base + "." + std::to_string(attempt);
      do {
        file_ = FileDescriptor(
            ::openat(directory_, name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
      } while (!file_.is_open() && errno == EINTR);
      if (file_.is_open()) return;
      if (errno != EEXIST) throw_io_error(path_, "create a temporary file beside it", errno);
    }
    throw_io_error(path_, "create a temporary file beside it", EEXIST);
  }

  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  ~Temporary() {
    if (!name_.empty()) ::unlinkat(directory_, name_.c_str(), 0);
  }

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
      if (written < 0) {
        if (errno == EINTR) continue;
        throw_io_error(path_, "write", errno);
      }
      if (written == 0) throw_io_error(path_, "write", ENOSPC);
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  void sync_and_close() {
    // An fsync that failed is not tried again: the kernel may have dropped the pages that it could not write.
    if (::fsync(file_.get()) != 0) throw_io_error(path_, "sync", errno);
    // On Linux the descriptor is gone even after EINTR, and the data is already on the disk.
    if (file_.close() != 0 && errno != EINTR) throw_io_error(path_, "close", errno);
  }

  void rename_to(const std::string& final_name) {
    if (::renameat(directory_, name_.c_str(), directory_, final_name.c_str()) != 0) {
      throw_io_error(path_, "replace", errno);
    }
    name_.clear();
  }

 private:
  int directory_;
  std::string path_;
  std::string name_;
  FileDescriptor file_;
};

}  // namespace

void write_file_atomically(const std::filesystem::path& path, std::span<const std::string_view> pieces) {
  const std::string text = path.string();
  const std::string name = path.filename().string();
  if (name.empty() || name == "." || name == "..")
    throw IoError(text + ": cannot write: the path names no file");
  if (text.find('\0') != std::string::npos)
    throw IoError(text.c_str() + std::string(": the path holds a NUL"));
  const std::filesystem::path parent = path.has_parent_path() ? path.parent_path() : ".";
  const FileDescriptor directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.is_open()) throw_io_error(text, "open its directory", errno);

  Temporary temporary(directory.get(), name, text);
  for (const std::string_view piece : pieces) temporary.write(piece);
  temporary.sync_and_close();
  temporary.rename_to(name);
  // EINVAL: this file system cannot sync a directory, and there is nothing more to do.
  if (::fsync(directory.get()) != 0 && errno != EINVAL) throw_io_error(text, "sync its directory", errno);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  write_file_atomically(path, std::span<const std::string_view>(&bytes, 1));
}

}  // namespace reel::nn
