#include "data/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "data/error.h"

namespace {

namespace fs = std::filesystem;

// A sparse file takes no room on the disk, but its size is what the reader must ask memory for.
TEST(FileDeathTest, says_that_memory_cannot_hold_a_file) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer needs more address space than the limit leaves";
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  GTEST_SKIP() << "a sanitizer needs more address space than the limit leaves";
#endif
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

}  // namespace
