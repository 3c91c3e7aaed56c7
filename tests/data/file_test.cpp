#include "data/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "data/error.h"
#include "tests/support/sanitizer.h"

namespace {

// What the next call fails with; 0: it does not.
int error_of_read = 0;
int error_of_fstat = 0;

}  // namespace

extern "C" {

ssize_t read(int fd, void* to, size_t size) {
  errno = std::exchange(error_of_read, 0);
  return errno != 0 ? -1 : ::syscall(SYS_read, fd, to, size);
}

int fstat(int fd, struct stat* status) noexcept {
  errno = std::exchange(error_of_fstat, 0);
  return errno != 0 ? -1 : static_cast<int>(::syscall(SYS_fstat, fd, status));
}

}  // extern "C"

namespace {

namespace fs = std::filesystem;

TEST(Printable, escapes_what_plays_tricks_on_a_terminal_and_nothing_else) {
  const auto utf8 = [](unsigned code) {
    const auto byte = [](unsigned b) { return static_cast<char>(static_cast<unsigned char>(b)); };
    if (code < 0x80) return std::string{byte(code)};
    if (code < 0x800) return std::string{byte(0xC0 | code >> 6), byte(0x80 | (code & 0x3F))};
    return std::string{byte(0xE0 | code >> 12), byte(0x80 | (code >> 6 & 0x3F)), byte(0x80 | (code & 0x3F))};
  };
  const auto is_in = [](unsigned code, unsigned least, unsigned most) {
    return code >= least && code <= most;
  };
  for (unsigned code = 0; code < 0x10000; ++code) {
    if (is_in(code, 0xD800, 0xDFFF)) continue;  // surrogates have no UTF-8
    const bool control = code < 0x20 || is_in(code, 0x7F, 0x9F);
    const bool turns = code == 0x61C || is_in(code, 0x200E, 0x200F) || is_in(code, 0x202A, 0x202E) ||
                       is_in(code, 0x2066, 0x2069);
    std::string shown = utf8(code);
    if (control || turns) {
      shown.clear();
      for (const char c : utf8(code)) {
        char hex[8];
        std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
        shown += hex;
      }
    }
    ASSERT_EQ(reel::data::printable("a" + utf8(code) + "z"), "a" + shown + "z") << code;
  }
}

TEST(File, is_quoted_from_no_longer_than_a_message_can_be) {
  const auto repeated = [](const std::string& text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += text;
    return all;
  };
  EXPECT_EQ(reel::data::excerpt(""), "");
  EXPECT_EQ(reel::data::excerpt("a\nb\x1b"), "a\\x0ab\\x1b");
  EXPECT_EQ(reel::data::excerpt(repeated("x", 200)), repeated("x", 200));
  EXPECT_EQ(reel::data::excerpt(repeated("x", 201)), repeated("x", 200) + "... (201 bytes)");
  // No character is cut in two; escapes are cut as the bytes that they stand for.
  EXPECT_EQ(reel::data::excerpt("x" + repeated("\xC3\xA4", 1000)),
            "x" + repeated("\xC3\xA4", 99) + "... (2001 bytes)");
  EXPECT_EQ(reel::data::excerpt(repeated("\xFF", 1 << 20)), repeated("\\xff", 200) + "... (1048576 bytes)");
}

// A sparse file takes no room on the disk, but its size is what the reader must ask memory for.
TEST(FileDeathTest, says_that_memory_cannot_hold_a_file) {
#if REEL_HAS_SANITIZER
  GTEST_SKIP() << "a sanitizer needs more address space than the limit leaves";
#endif
  const fs::path path = fs::temp_directory_path() / ("reel_sparse_" + std::to_string(::getpid()));
  std::ofstream(path).put('x');
  fs::resize_file(path, std::uintmax_t{8} << 30);
  const auto read = [&] {
    const rlimit limit{rlim_t{4} << 30, rlim_t{4} << 30};
    ::setrlimit(RLIMIT_AS, &limit);
    try {
      (void)reel::data::read_file(path);
    } catch (const reel::data::IoError& error) {
      std::fputs(error.what(), stderr);
      std::_Exit(5);
    }
    std::_Exit(0);
  };
  EXPECT_EXIT(read(), ::testing::ExitedWithCode(5), "has 8589934592 bytes, more than there is memory for");
  fs::remove(path);
}

std::string refusal(const char* path) {
  try {
    (void)reel::data::read_file(path);
  } catch (const reel::data::IoError& error) {
    return error.what();
  }
  return "read";
}

// The kernel says that its own files are of no size, or of a page, and gives more, or less.
TEST(File, that_is_not_as_long_as_the_system_said) {
  const char* more = "/proc/self/status";
  EXPECT_EQ(refusal(more),
            std::string(more) + ": became longer while it was read; try again when it is complete");
  const char* less = "/sys/devices/system/cpu/online";
  std::error_code none;
  if (fs::file_size(less, none) != 4096) GTEST_SKIP() << less << " is not there";
  const std::string said = refusal(less);
  EXPECT_TRUE(said.starts_with(std::string(less) + ": became shorter while it was read: ")) << said;
  EXPECT_TRUE(said.ends_with(" of 4096 bytes")) << said;
}

TEST(File, says_what_the_system_refuses) {
  const fs::path path = fs::temp_directory_path() / ("reel_file_" + std::to_string(::getpid()));
  std::ofstream(path) << "text";
  error_of_read = EIO;
  EXPECT_EQ(refusal(path.c_str()), path.string() + ": cannot be read: Input/output error");
  error_of_fstat = EIO;
  EXPECT_EQ(refusal(path.c_str()), path.string() + ": cannot be examined: Input/output error");
  error_of_read = EINTR;  // a signal came first
  EXPECT_EQ(reel::data::read_file(path), "text");
  fs::remove(path);
}

}  // namespace
