// A library for LD_PRELOAD that stands between a program and the file system. It looks at every call that
// changes something below the directory REEL_FAULTS_BELOW, and does to it what these variables say:
//
//     REEL_FAULTS_JOURNAL=FILE  writes each call down, with its bytes (tests/support/disk.h reads it)
//     REEL_FAULTS_AT=N          the Nth call, from 1, is the one that REEL_FAULTS_DO is about
//     REEL_FAULTS_DO=kill       ends the process with SIGKILL before the call
//     REEL_FAULTS_DO=NUMBER     the call fails with this errno, and so do the later ones if
//     REEL_FAULTS_STAY=1        is given: a full disk stays full
//     REEL_FAULTS_SHORT=1       every write takes half of what it is given
//     REEL_FAULTS_TWICE=1       every call that may say EINTR says it once before it works

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace {

const char* setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

struct Plan {
  std::string below = setting("REEL_FAULTS_BELOW");
  std::string what = setting("REEL_FAULTS_DO");
  int at = std::atoi(setting("REEL_FAULTS_AT"));
  bool stays = *setting("REEL_FAULTS_STAY") != '\0';
  bool short_writes = *setting("REEL_FAULTS_SHORT") != '\0';
  bool twice = *setting("REEL_FAULTS_TWICE") != '\0';
  int journal = -1;
  int calls = 0;
  bool said_eintr = false;

  Plan() {
    const char* path = setting("REEL_FAULTS_JOURNAL");
    if (*path != '\0') {
      journal = static_cast<int>(
          ::syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
    }
  }
};

// Made at the first call, which comes before any initialiser of the program.
Plan& plan() {
  static Plan the_plan;
  return the_plan;
}

std::string path_of(int fd) {
  std::array<char, 4096> text{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const auto size = ::syscall(SYS_readlinkat, AT_FDCWD, link.c_str(), text.data(), text.size());
  return {text.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
}

std::string path_of(int directory, const char* path) {
  if (path[0] == '/') return path;
  std::array<char, 4096> here{};
  if (directory != AT_FDCWD) return path_of(directory) + "/" + path;
  return ::getcwd(here.data(), here.size()) == nullptr ? path : std::string(here.data()) + "/" + path;
}

bool watched(const std::string& path) {
  const std::string& below = plan().below;
  return !below.empty() && path.starts_with(below) &&
         (path.size() == below.size() || path[below.size()] == '/');
}

unsigned long inode_of(const std::string& path) {
  struct stat status {};
  return ::syscall(SYS_newfstatat, AT_FDCWD, path.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_ino
                                                                                              : 0;
}

unsigned long inode_of(int fd) {
  struct stat status {};
  return ::syscall(SYS_newfstatat, fd, "", &status, AT_EMPTY_PATH) == 0 ? status.st_ino : 0;
}

// What a call did. The fields of a record end with NUL, the record with the number of bytes and the bytes.
void note(std::initializer_list<std::string> fields, std::string_view bytes = {}) {
  if (plan().journal < 0) return;
  std::string record;
  for (const std::string& field : fields) record += field + '\0';
  record += "bytes";
  record += '\0' + std::to_string(bytes.size()) + '\0';
  record += bytes;
  if (::syscall(SYS_write, plan().journal, record.data(), record.size()) != static_cast<long>(record.size()))
    ::_exit(125);
}

// A call that failed, or did nothing, counts as well.
void note_if(bool changed, std::initializer_list<std::string> fields) {
  if (changed) {
    note(fields);
  } else {
    note({"nothing"});
  }
}

// Whether this call is to fail; errno is set then.
bool fails(bool may_be_interrupted = false) {
  Plan& p = plan();
  if (p.twice && may_be_interrupted) {
    p.said_eintr = !p.said_eintr;
    if (p.said_eintr) {
      errno = EINTR;
      return true;
    }
  }
  ++p.calls;
  if (p.at == 0 || p.calls < p.at || (p.calls > p.at && !p.stays)) return false;
  if (p.what == "kill") ::raise(SIGKILL);
  errno = std::atoi(p.what.c_str());
  return true;
}

int open_file(int directory, const char* path, int flags, unsigned mode) {
  const std::string name = path_of(directory, path);
  const bool changes = watched(name) && (flags & (O_CREAT | O_TRUNC)) != 0;
  if (changes && fails(true)) return -1;
  const bool was_there = inode_of(name) != 0;
  const int fd = static_cast<int>(::syscall(SYS_openat, directory, path, flags, mode));
  if (changes && fd >= 0) {
    if (!was_there) note({"create", name, std::to_string(inode_of(fd))});
    if (was_there) note_if((flags & O_TRUNC) != 0, {"cut", std::to_string(inode_of(fd)), "0"});
  } else if (changes) {
    note({"nothing"});
  }
  return fd;
}

unsigned mode_of(int flags, va_list rest) { return (flags & O_CREAT) != 0 ? va_arg(rest, unsigned) : 0; }

// The number of bytes to write, or -1.
ssize_t before_write(int fd, std::size_t size) {
  if (!watched(path_of(fd))) return static_cast<ssize_t>(size);
  if (fails(true)) return -1;
  return static_cast<ssize_t>(plan().short_writes && size > 1 ? size / 2 : size);
}

void after_write(int fd, long offset, const void* bytes, ssize_t written) {
  if (!watched(path_of(fd))) return;
  if (written <= 0) {
    note({"nothing"});
    return;
  }
  note({"write", std::to_string(inode_of(fd)), std::to_string(offset)},
       {static_cast<const char*>(bytes), static_cast<std::size_t>(written)});
}

int sync(int fd, int call) {
  const std::string path = path_of(fd);
  if (watched(path) && fails()) return -1;
  const int result = static_cast<int>(::syscall(call, fd));
  if (watched(path)) {
    struct stat status {};
    const bool directory =
        ::syscall(SYS_newfstatat, fd, "", &status, AT_EMPTY_PATH) == 0 && S_ISDIR(status.st_mode);
    note_if(result == 0,
            {directory ? "sync directory" : "sync", directory ? path : std::to_string(inode_of(fd))});
  }
  return result;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const unsigned mode = mode_of(flags, rest);
  va_end(rest);
  return open_file(AT_FDCWD, path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const unsigned mode = mode_of(flags, rest);
  va_end(rest);
  return open_file(AT_FDCWD, path, flags, mode);
}

int openat(int directory, const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const unsigned mode = mode_of(flags, rest);
  va_end(rest);
  return open_file(directory, path, flags, mode);
}

int mkdir(const char* path, mode_t mode) noexcept {
  const std::string name = path_of(AT_FDCWD, path);
  if (watched(name) && fails()) return -1;
  const int result = static_cast<int>(::syscall(SYS_mkdir, path, mode));
  if (watched(name)) note_if(result == 0, {"make directory", name});
  return result;
}

ssize_t write(int fd, const void* bytes, size_t size) {
  const ssize_t allowed = before_write(fd, size);
  if (allowed < 0) return -1;
  const ssize_t written = ::syscall(SYS_write, fd, bytes, allowed);
  // The files are written from the beginning to the end, some of them with O_APPEND.
  after_write(fd, static_cast<long>(::lseek(fd, 0, SEEK_CUR)) - written, bytes, written);
  return written;
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  const ssize_t allowed = before_write(fd, size);
  if (allowed < 0) return -1;
  const ssize_t written = ::syscall(SYS_pwrite64, fd, bytes, allowed, offset);
  after_write(fd, offset, bytes, written);
  return written;
}

int fsync(int fd) { return sync(fd, SYS_fsync); }
int fdatasync(int fd) { return sync(fd, SYS_fdatasync); }

int ftruncate(int fd, off_t length) noexcept {
  const bool ours = watched(path_of(fd));
  if (ours && fails()) return -1;
  const int result = static_cast<int>(::syscall(SYS_ftruncate, fd, length));
  if (ours) note_if(result == 0, {"cut", std::to_string(inode_of(fd)), std::to_string(length)});
  return result;
}

int renameat(int from_directory, const char* from, int to_directory, const char* to) noexcept {
  const std::string old_name = path_of(from_directory, from);
  const std::string new_name = path_of(to_directory, to);
  if (watched(new_name) && fails()) return -1;
  const int result = static_cast<int>(::syscall(SYS_renameat, from_directory, from, to_directory, to));
  if (watched(new_name)) note_if(result == 0, {"rename", old_name, new_name});
  return result;
}

int rename(const char* from, const char* to) noexcept { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int linkat(int from_directory, const char* from, int to_directory, const char* to, int flags) noexcept {
  const std::string old_name = path_of(from_directory, from);
  const std::string new_name = path_of(to_directory, to);
  if (watched(new_name) && fails()) return -1;
  const int result = static_cast<int>(::syscall(SYS_linkat, from_directory, from, to_directory, to, flags));
  if (watched(new_name)) note_if(result == 0, {"link", old_name, new_name});
  return result;
}

int unlinkat(int directory, const char* path, int flags) noexcept {
  const std::string name = path_of(directory, path);
  if (watched(name) && fails()) return -1;
  const int result = static_cast<int>(::syscall(SYS_unlinkat, directory, path, flags));
  if (watched(name)) note_if(result == 0, {"remove", name});
  return result;
}

int unlink(const char* path) noexcept { return unlinkat(AT_FDCWD, path, 0); }

}  // extern "C"
