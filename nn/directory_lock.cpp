#include "nn/directory_lock.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>

#include "nn/error.h"
#include "nn/file_descriptor.h"

namespace reel::nn {
namespace {

constexpr const char* lock_name = ".lock";

bool take_digits(std::string_view& tail) {
  const std::size_t point = tail.rfind('.');
  if (point == std::string_view::npos || point + 1 == tail.size()) return false;
  if (tail.find_first_not_of("0123456789", point + 1) != std::string_view::npos) return false;
  tail = tail.substr(0, point);
  return true;
}

/// Whether `name` is `.NAME.tmp.PID` or `.NAME.tmp.PID.ATTEMPT`, as write_file_atomically makes them, with
/// one of `finals` for NAME; with any, if there are none.
bool is_temporary(std::string_view name, const std::vector<std::string>& finals) {
  constexpr std::string_view mark = ".tmp";
  if (!name.starts_with('.') || !take_digits(name)) return false;
  if (!name.ends_with(mark) && !take_digits(name)) return false;
  if (!name.ends_with(mark) || name.size() <= mark.size() + 1) return false;
  const std::string_view final_name = name.substr(1, name.size() - 1 - mark.size());
  return finals.empty() || std::find(finals.begin(), finals.end(), final_name) != finals.end();
}

constexpr std::size_t longest_pid = 32;

// What the file of the lock holds, or the beginning of more than any process id has.
std::string content_of(int fd) {
  std::string text(longest_pid, '\0');
  const ssize_t size = ::pread(fd, text.data(), text.size(), 0);
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

// A process id, all or a part of it; or zeros, which a power cut may leave in its place.
bool may_be_pid(std::string_view text) {
  constexpr std::string_view known("0123456789\n\0", 12);
  return text.size() < longest_pid && text.find_first_not_of(known) == std::string_view::npos;
}

std::string holder_of(int fd) {
  const std::string text = content_of(fd);
  const std::string pid = text.substr(0, text.find_first_not_of("0123456789"));
  return pid.empty() ? "another process" : "process " + pid;
}

// Removes them from an open directory, `path` in messages.
std::vector<std::string> remove_temporaries(FileDescriptor directory, const std::filesystem::path& path,
                                            const std::vector<std::string>& finals) {
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(directory.get()), ::closedir);
  if (listing == nullptr) throw_io_error(path.string(), "list", errno);
  directory.release();  // the listing closes it
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(listing.get())) {
    if (is_temporary(entry->d_name, finals)) names.emplace_back(entry->d_name);
    errno = 0;
  }
  if (errno != 0) throw_io_error(path.string(), "list", errno);
  std::sort(names.begin(), names.end());

  std::vector<std::string> removed;
  for (const std::string& name : names) {
    struct stat status {};
    const int fd = ::dirfd(listing.get());
    if (::fstatat(fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode)) continue;
    if (::unlinkat(fd, name.c_str(), 0) != 0 && errno != ENOENT) {
      throw_io_error((path / name).string(), "remove", errno);
    }
    removed.push_back(name);
  }
  return removed;
}

}  // namespace

DirectoryLock::DirectoryLock(const std::filesystem::path& directory) : directory_(directory) {
  const std::string path = (directory / lock_name).string();
  FileDescriptor file = open_at(AT_FDCWD, path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0666);
  if (!file.is_open()) throw_io_error(path, "open", errno);
  int failed = 0;
  do {
    failed = ::flock(file.get(), LOCK_EX | LOCK_NB);
  } while (failed != 0 && errno == EINTR);
  if (failed != 0) {
    if (errno != EWOULDBLOCK) throw_io_error(path, "lock", errno);
    throw IoError(in_one_line(directory_) + ": " + holder_of(file.get()) +
                  " is writing to this run directory; wait until it ends, or choose another");
  }
  if (!may_be_pid(content_of(file.get()))) {
    throw IoError(
        in_one_line(path) +
        ": it is not the lock of a run, for it holds something else than a process id; move it away, "
        "or choose another directory");
  }
  // The process id is only for the message above; the lock holds without it.
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(file.get(), 0) != 0 || !write_all(file.get(), pid)) throw_io_error(path, "write", errno);
  fd_ = file.release();
}

DirectoryLock::~DirectoryLock() {
  if (fd_ < 0) return;
  // A process id that outlives its process would be a lie in the next message.
  [[maybe_unused]] const int ignored = ::ftruncate(fd_, 0);
  ::close(fd_);
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept
    : directory_(std::move(other.directory_)), fd_(std::exchange(other.fd_, -1)) {}

DirectoryLock& DirectoryLock::operator=(DirectoryLock&& other) noexcept {
  std::swap(directory_, other.directory_);
  std::swap(fd_, other.fd_);
  return *this;
}

void DirectoryLock::remove_empty_directory() noexcept {
  if (fd_ < 0) return;
  try {
    std::error_code error;
    std::filesystem::directory_iterator entry(directory_, error);
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
      if (entry->path().filename() != lock_name) return;
    }
    if (error) return;
    ::unlink((directory_ / lock_name).c_str());
    ::rmdir(directory_.c_str());
  } catch (const std::bad_alloc&) {
  }
}

std::vector<std::string> DirectoryLock::remove_stale_temporaries(const std::vector<std::string>& of) const {
  FileDescriptor directory = open_at(AT_FDCWD, directory_.c_str(), O_RDONLY | O_DIRECTORY);
  if (!directory.is_open()) throw_io_error(directory_.string(), "list", errno);
  return remove_temporaries(std::move(directory), directory_, of);
}

std::vector<std::string> DirectoryLock::remove_stale_temporaries_in(
    const std::string& name, const std::vector<std::string>& of) const {
  const std::filesystem::path path = directory_ / name;
  FileDescriptor directory = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!directory.is_open()) {
    if (errno == ENOTDIR || errno == ELOOP || errno == ENOENT) return {};
    throw_io_error(path.string(), "list", errno);
  }
  struct stat lock {};
  if (::fstatat(directory.get(), lock_name, &lock, AT_SYMLINK_NOFOLLOW) == 0) return {};
  return remove_temporaries(std::move(directory), path, of);
}

}  // namespace reel::nn
