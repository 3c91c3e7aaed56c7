#include "nn/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "nn/error.h"
#include "nn/file_descriptor.h"

namespace reel::nn {
namespace {

// `.NAME.tmp.PID`. The name may be taken by another thread of this process, or by a killed process that had
// the same id; then `make` fails with EEXIST and another name is tried. Throws on any other error.
template <class Make>
std::string make_temporary(const std::string& final_name, const std::string& path, Make make) {
  const std::string base = "." + final_name + ".tmp." + std::to_string(::getpid());
  for (int attempt = 0; attempt < 1000; ++attempt) {
    std::string name = attempt == 0 ? base : base + "." + std::to_string(attempt);
    if (make(name.c_str())) return name;
    if (errno != EEXIST) throw_io_error(path, "create a temporary file beside it", errno);
  }
  throw_io_error(path, "create a temporary file beside it", EEXIST);
}

/// A new file in a directory that is unlinked again unless it was renamed to its final name.
class Temporary {
 public:
  Temporary(int directory, const std::string& final_name, const std::string& path)
      : directory_(directory), path_(path) {
    name_ = make_temporary(final_name, path_, [&](const char* name) {
      file_ = open_at(directory_, name, O_WRONLY | O_CREAT | O_EXCL, 0666);
      return file_.is_open();
    });
  }

  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  ~Temporary() {
    if (!name_.empty()) ::unlinkat(directory_, name_.c_str(), 0);
  }

  void write(std::string_view bytes) {
    if (!write_all(file_.get(), bytes)) throw_io_error(path_, "write", errno);
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

// Gives the file `name` the second name `previous`, so that there is one under the first name all the time.
void keep_as(int directory, const std::string& name, const std::string& previous, const std::string& path) {
  bool absent = false;
  bool no_links = false;
  const std::string link = make_temporary(previous, path, [&](const char* temporary) {
    if (::linkat(directory, name.c_str(), directory, temporary, 0) == 0) return true;
    absent = errno == ENOENT;
    no_links = errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS || errno == EMLINK;
    return absent || no_links;
  });
  if (absent) return;
  // Without hard links the first name is gone for a moment; the file is under the second one then.
  const std::string& from = no_links ? name : link;
  if (::renameat(directory, from.c_str(), directory, previous.c_str()) != 0) {
    const int error = errno;
    if (!no_links) ::unlinkat(directory, link.c_str(), 0);
    throw_io_error(path, ("keep as " + previous).c_str(), error);
  }
  // Between two names of one file rename does nothing.
  if (!no_links) ::unlinkat(directory, link.c_str(), 0);
}

void write(const std::filesystem::path& path, std::string_view bytes, const std::string* previous) {
  const std::string text = path.string();
  const std::string name = path.filename().string();
  if (name.empty() || name == "." || name == "..")
    throw IoError(in_one_line(path) + ": cannot write: the path names no file");
  if (text.find('\0') != std::string::npos)
    throw IoError(in_one_line(text.c_str()) + ": the path holds a NUL");
  const std::filesystem::path parent = path.has_parent_path() ? path.parent_path() : ".";
  const FileDescriptor directory = open_at(AT_FDCWD, parent.c_str(), O_RDONLY | O_DIRECTORY);
  if (!directory.is_open()) throw_io_error(text, "open its directory", errno);

  // A rename would put a file in the place of a device, or of a link to one such as /dev/stdout.
  struct stat there {};
  if (::fstatat(directory.get(), name.c_str(), &there, 0) == 0 && !S_ISREG(there.st_mode))
    throw IoError(in_one_line(path) + ": cannot write: what stands there is not a file; choose another name");

  Temporary temporary(directory.get(), name, text);
  temporary.write(bytes);
  temporary.sync_and_close();
  if (previous != nullptr) keep_as(directory.get(), name, *previous, text);
  temporary.rename_to(name);
  if (!sync_directory(directory.get())) throw_io_error(text, "sync its directory", errno);
}

}  // namespace

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  write(path, bytes, nullptr);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes,
                           const std::string& previous) {
  write(path, bytes, &previous);
}

}  // namespace reel::nn
