// What a checkpoint does when the machine does not: this program has its own versions of the system calls
// that write files, which fail, or kill the process, at the call that a test asks for.

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <string>
#include <utility>
#include <vector>

#include "nn/atomic_file.h"
#include "nn/directory_lock.h"
#include "nn/error.h"
#include "nn/safetensors.h"
#include "tests/nn/checkpoint_problem.h"

namespace {

struct Plan {
  int at = 0;     // the call, from 1; 0: none
  int error = 0;  // what it fails with; 0: the process is killed before it
  bool short_writes = false;
  int calls = 0;
  const char* failed = "";                  // what the call was
  std::vector<std::string>* log = nullptr;  // where the calls are written down
} plan;

int error_of_pread = 0;  // of the next one; 0: it does not fail

// Whether this call is the one to fail.
bool fails(const char* call) {
  if (plan.log != nullptr) plan.log->emplace_back(call);
  if (plan.at == 0 || ++plan.calls != plan.at) return false;
  plan.failed = call;
  if (plan.error == 0) ::raise(SIGKILL);
  errno = plan.error;
  return true;
}

}  // namespace

extern "C" {

int openat(int directory, const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const unsigned mode = (flags & O_CREAT) != 0 ? va_arg(rest, unsigned) : 0;
  va_end(rest);
  return fails("openat") ? -1 : static_cast<int>(::syscall(SYS_openat, directory, path, flags, mode));
}

ssize_t write(int fd, const void* bytes, size_t size) {
  if (fails("write")) return -1;
  if (plan.short_writes && size > 1) size /= 2;
  return ::syscall(SYS_write, fd, bytes, size);
}

ssize_t pread(int fd, void* to, size_t size, off_t at) {
  errno = std::exchange(error_of_pread, 0);
  return errno != 0 ? -1 : ::syscall(SYS_pread64, fd, to, size, at);
}

int fsync(int fd) noexcept(false);
int fsync(int fd) {
  struct stat status {};
  const bool directory = ::fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
  return fails(directory ? "fsync of the directory" : "fsync") ? -1
                                                               : static_cast<int>(::syscall(SYS_fsync, fd));
}

int renameat(int from_directory, const char* from, int to_directory, const char* to) noexcept {
  return fails("renameat")
             ? -1
             : static_cast<int>(::syscall(SYS_renameat, from_directory, from, to_directory, to));
}

int linkat(int from_directory, const char* from, int to_directory, const char* to, int flags) noexcept {
  return fails("linkat")
             ? -1
             : static_cast<int>(::syscall(SYS_linkat, from_directory, from, to_directory, to, flags));
}

int unlinkat(int directory, const char* path, int flags) noexcept {
  return fails("unlinkat") ? -1 : static_cast<int>(::syscall(SYS_unlinkat, directory, path, flags));
}

}  // extern "C"

namespace {

using namespace reel;
using testing::AnyOf;
using testing::HasSubstr;
namespace fs = std::filesystem;

std::size_t files_in(const fs::path& directory) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

void damage(const fs::path& path) {
  std::string bytes = read_all(path);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
  write_all(path, bytes);
}

// In a process of its own: goes on from what is there and saves step 3, killed before the given call. Whether
// it was.
bool killed_while_saving(const fs::path& directory, int call) {
  const pid_t child = ::fork();
  if (child == 0) {
    SmallRun run;
    nn::Checkpoint checkpoint(directory, run.block, run.adam);
    checkpoint.load();
    run.go_to(3);
    plan = {.at = call};
    checkpoint.save(3);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

TEST(CheckpointFaults, killed_before_any_system_call_it_goes_on_from_a_whole_checkpoint) {
  int call = 1;
  for (bool killed = true; killed; ++call) {
    const TemporaryDirectory directory;
    save_steps(directory.path(), {1, 2});
    killed = killed_while_saving(directory.path(), call);
    EXPECT_THAT(outcome_of_load(directory.path()), killed ? AnyOf("2", "3") : AnyOf("3", "3")) << call;
    // The second generation is whole as well, at every moment.
    EXPECT_NO_THROW(nn::read_checkpoint(directory.path() / "checkpoint.previous.safetensors")) << call;

    nn::DirectoryLock(directory.path()).remove_stale_temporaries();
    fs::remove(directory.path() / ".lock");
    EXPECT_EQ(files_in(directory.path()), 2U) << call;
    save_steps(directory.path(), {4});
    EXPECT_EQ(outcome_of_load(directory.path()), "4");
  }
  EXPECT_GT(call, 8) << "the calls of a save are not seen";
}

TEST(CheckpointFaults, killed_while_the_newest_is_damaged_it_does_not_lose_the_other) {
  int call = 1;
  for (bool killed = true; killed; ++call) {
    const TemporaryDirectory directory;
    save_steps(directory.path(), {1, 2});
    damage(directory.path() / "checkpoint.safetensors");
    killed = killed_while_saving(directory.path(), call);
    EXPECT_THAT(outcome_of_load(directory.path()), AnyOf("1", "3")) << call;
  }
  EXPECT_GT(call, 5);
}

TEST(CheckpointFaults, an_error_in_any_system_call_is_told_and_costs_nothing_that_was_saved) {
  for (const int error : {ENOSPC, EIO, EROFS, EDQUOT}) {
    int call = 1;
    for (bool failed = true; failed; ++call) {
      const TemporaryDirectory directory;
      save_steps(directory.path(), {1, 2});
      SmallRun run;
      nn::Checkpoint checkpoint(directory.path(), run.block, run.adam);
      run.go_to(3);
      plan = {.at = call, .error = error};
      std::string said;
      try {
        checkpoint.save(3);
      } catch (const nn::IoError& e) {
        said = e.what();
      }
      failed = plan.calls >= call;  // the call was reached
      const std::string what = plan.failed;
      plan = {};
      const std::string outcome = outcome_of_load(directory.path());
      if (said.empty()) {
        // A name that cannot be removed is left behind; anything else must be told.
        EXPECT_THAT(what, AnyOf("", "unlinkat")) << call;
        EXPECT_EQ(outcome, "3") << call;
      } else {
        EXPECT_THAT(said, HasSubstr("checkpoint.safetensors: cannot ")) << call;
        EXPECT_THAT(said, HasSubstr(std::generic_category().message(error))) << call;
        EXPECT_THAT(outcome, AnyOf("2", "3")) << call;
      }
      EXPECT_NO_THROW(nn::read_checkpoint(directory.path() / "checkpoint.previous.safetensors")) << call;
      checkpoint.save(3);
      EXPECT_EQ(outcome_of_load(directory.path()), "3") << call;
    }
    EXPECT_GT(call, 8);
  }
}

// After a power cut a name may stand for a file whose bytes never reached the disk, unless they were synced
// first; and the name itself is safe only after the directory was.
TEST(CheckpointFaults, bytes_are_synced_before_they_get_their_name_and_the_name_after) {
  const TemporaryDirectory directory;
  save_steps(directory.path(), {1});
  std::vector<std::string> calls;
  plan = {.log = &calls};
  save_steps(directory.path(), {2});
  plan = {};
  EXPECT_THAT(calls, testing::ElementsAre("openat", "openat", "write", "fsync", "linkat", "renameat",
                                          "unlinkat", "renameat", "fsync of the directory"));
}

TEST(CheckpointFaults, short_writes_and_interrupted_calls_are_gone_on_with) {
  const TemporaryDirectory directory;
  plan = {.short_writes = true};
  save_steps(directory.path(), {1});
  for (const int call : {1, 2, 3}) {  // the directory is opened, the file is opened, and written
    plan = {.at = call, .error = EINTR};
    save_steps(directory.path(), {1 + call});
    plan = {};
    EXPECT_EQ(outcome_of_load(directory.path()), std::to_string(1 + call));
  }
}

TEST(CheckpointFaults, a_file_system_without_hard_links_keeps_two_generations_too) {
  const TemporaryDirectory directory;
  save_steps(directory.path(), {1, 2});
  for (int call = 1;; ++call) {
    plan = {.at = call, .error = EPERM};
    std::string said;
    try {
      save_steps(directory.path(), {3});
    } catch (const nn::IoError& e) {
      said = e.what();
    }
    plan = {};
    if (said.empty()) break;  // that was linkat
    ASSERT_LT(call, 20);
  }
  EXPECT_EQ(outcome_of_load(directory.path()), "3");
  fs::remove(directory.path() / "checkpoint.safetensors");
  EXPECT_EQ(outcome_of_load(directory.path()), "2");
}

TEST(CheckpointFaults, a_limit_on_the_size_of_files_is_an_error_not_the_end) {
  const TemporaryDirectory directory;
  save_steps(directory.path(), {1});
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{300, 300};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      save_steps(directory.path(), {2});
    } catch (const nn::IoError& e) {
      ::_exit(std::string(e.what()).find("cannot write: File too large") != std::string::npos ? 0 : 2);
    }
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(outcome_of_load(directory.path()), "1");
  EXPECT_EQ(files_in(directory.path()), 1U);
}

TEST(AtomicFile, replaces_a_link_and_follows_the_umask) {
  const TemporaryDirectory directory;
  write_all(directory.path() / "target", "kept");
  fs::create_symlink("target", directory.path() / "name");
  const mode_t old = ::umask(027);
  nn::write_file_atomically(directory.path() / "name", "new");
  ::umask(old);
  EXPECT_EQ(read_all(directory.path() / "target"), "kept");
  EXPECT_EQ(read_all(directory.path() / "name"), "new");
  EXPECT_EQ(fs::symlink_status(directory.path() / "name").type(), fs::file_type::regular);
  EXPECT_EQ(fs::status(directory.path() / "name").permissions(), fs::perms(0640));
}

TEST(AtomicFile, writes_beside_what_stands_at_the_temporary_name) {
  const TemporaryDirectory directory;
  const std::string taken = ".name.tmp." + std::to_string(::getpid());
  write_all(directory.path() / taken, "of another thread, which is not done");
  nn::write_file_atomically(directory.path() / "name", "new");
  EXPECT_EQ(read_all(directory.path() / taken), "of another thread, which is not done");
  EXPECT_EQ(read_all(directory.path() / "name"), "new");
  EXPECT_EQ(files_in(directory.path()), 2U);
}

TEST(AtomicFile, says_what_it_cannot_write) {
  const TemporaryDirectory directory;
  EXPECT_THROW(nn::write_file_atomically(directory.path() / "none" / "x", "a"), nn::IoError);
  EXPECT_THROW(nn::write_file_atomically(directory.path() / "..", "a"), nn::IoError);
  EXPECT_THROW(nn::write_file_atomically(directory.path() / std::string("a\0b", 3), "a"), nn::IoError);
  fs::create_directory(directory.path() / "d");
  EXPECT_THROW(nn::write_file_atomically(directory.path() / "d", "a"), nn::IoError);
  EXPECT_EQ(files_in(directory.path()), 1U);
  EXPECT_THROW(nn::write_file_atomically("/proc/x", "a"), nn::IoError);
}

TEST(DirectoryLock, refuses_a_second_process_and_names_the_first) {
  const TemporaryDirectory directory;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const nn::DirectoryLock lock(directory.path());
    static_cast<void>(::write(ready[1], "x", 1));
    ::pause();
    ::_exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  try {
    const nn::DirectoryLock lock(directory.path());
    ADD_FAILURE() << "locked twice";
  } catch (const nn::IoError& e) {
    EXPECT_THAT(e.what(),
                HasSubstr("process " + std::to_string(child) + " is writing to this run directory"));
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_NO_THROW(nn::DirectoryLock(directory.path()));  // a dead process holds nothing
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(DirectoryLock, removes_only_what_a_killed_save_left_behind) {
  const TemporaryDirectory directory;
  for (const char* name : {".a.tmp.12", ".b.safetensors.tmp.7.3", ".a.tmp", "results.tmp.12", ".a.tmp.x",
                           ".a.12", ".tmp.5", "b"})
    write_all(directory.path() / name, "");
  fs::create_directory(directory.path() / ".d.tmp.1");
  const nn::DirectoryLock lock(directory.path());
  EXPECT_THAT(lock.remove_stale_temporaries(), testing::ElementsAre(".a.tmp.12", ".b.safetensors.tmp.7.3"));
  EXPECT_EQ(files_in(directory.path()), 8U);  // the lock file, too
}

TEST(DirectoryLock, removes_what_is_of_the_named_files_and_nothing_else) {
  const TemporaryDirectory directory;
  for (const char* name : {".a.tmp.12", ".a.tmp.7.3", ".thesis.tmp.2024", ".aa.tmp.12", "a"})
    write_all(directory.path() / name, "");
  const nn::DirectoryLock lock(directory.path());
  EXPECT_THAT(lock.remove_stale_temporaries({"a", "b"}), testing::ElementsAre(".a.tmp.12", ".a.tmp.7.3"));
  EXPECT_EQ(files_in(directory.path()), 4U);  // the lock file, too
}

TEST(DirectoryLock, takes_no_file_of_somebody_else) {
  const TemporaryDirectory directory;
  const fs::path lock = directory.path() / ".lock";
  for (const std::string& foreign : {std::string("mine"), std::string("12 notes"), std::string(40, '1')}) {
    write_all(lock, foreign);
    EXPECT_THAT([&] { nn::DirectoryLock{directory.path()}; },
                testing::ThrowsMessage<nn::IoError>(HasSubstr("it is not the lock of a run")));
    EXPECT_EQ(read_all(lock), foreign);
  }
  // What a process leaves that was killed at any time, and a power cut.
  for (const std::string& own :
       {std::string(), std::string("12"), std::string("12\n"), std::string(3, '\0')}) {
    write_all(lock, own);
    EXPECT_NO_THROW(nn::DirectoryLock{directory.path()});
  }
}

TEST(DirectoryLock, removes_the_same_in_a_directory_of_its_own_and_in_no_other) {
  const TemporaryDirectory directory;
  for (const char* name : {"own", "elsewhere", "locked"}) {
    fs::create_directory(directory.path() / name);
    for (const char* file : {".a.tmp.12", ".a.tmp.x", "notes"}) write_all(directory.path() / name / file, "");
  }
  write_all(directory.path() / "locked/.lock", "");
  write_all(directory.path() / "file", "");
  fs::create_directory_symlink("elsewhere", directory.path() / "link");
  const nn::DirectoryLock lock(directory.path());
  EXPECT_THAT(lock.remove_stale_temporaries_in("own"), testing::ElementsAre(".a.tmp.12"));
  EXPECT_EQ(files_in(directory.path() / "own"), 2U);
  for (const char* name : {"link", "locked", "file", "nothing"}) {
    EXPECT_THAT(lock.remove_stale_temporaries_in(name), testing::IsEmpty()) << name;
  }
  EXPECT_TRUE(fs::exists(directory.path() / "elsewhere/.a.tmp.12"));
  EXPECT_TRUE(fs::exists(directory.path() / "locked/.a.tmp.12"));
}

TEST(Safetensors, says_what_the_system_cannot_read) {
  const TemporaryDirectory directory;
  save_steps(directory.path(), {1});
  const fs::path path = directory.path() / "checkpoint.safetensors";
  error_of_pread = EIO;
  EXPECT_THAT([&] { nn::Safetensors::read(path); },
              testing::ThrowsMessage<nn::IoError>(HasSubstr("Input/output error")));
  error_of_pread = EINTR;  // a signal came first
  EXPECT_NO_THROW(nn::Safetensors::read(path));
}

TEST(DirectoryLock, says_when_the_directory_is_not_there) {
  EXPECT_THROW(nn::DirectoryLock("/nonexistent/run"), nn::IoError);
}

}  // namespace
