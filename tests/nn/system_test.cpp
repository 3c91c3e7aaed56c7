#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "nn/atomic_file.h"
#include "nn/directory_lock.h"
#include "nn/error.h"
#include "nn/file_descriptor.h"
#include "nn/safetensors.h"
#include "nn/sha256.h"
#include "nn/wanted_tensors.h"
#include "nn/weights.h"
#include "tests/nn/checkpoint_problem.h"

// Directories, locks, hashes, and the number types that a file may hold.

namespace reel::nn {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST(Directories, AreMadeWithAllAboveThem) {
  const TemporaryDirectory place;
  const fs::path deep = place.path() / "a" / "b" / "c";
  EXPECT_TRUE(make_directories(deep));
  EXPECT_TRUE(fs::is_directory(deep));
  EXPECT_FALSE(make_directories(deep));
  EXPECT_TRUE(make_directories(place.path() / "d" / ""));
  EXPECT_TRUE(fs::is_directory(place.path() / "d"));
}

TEST(Directories, ThatWereMadeAreNamedAndThoseThatWereThereAreNot) {
  const TemporaryDirectory place;
  fs::create_directory(place.path() / "a");
  std::vector<fs::path> made;
  make_directories(place.path() / "a" / "b" / "c" / "", &made);
  EXPECT_EQ(made, (std::vector<fs::path>{place.path() / "a" / "b", place.path() / "a" / "b" / "c"}));
  std::ofstream(place.path() / "file").put('x');
  EXPECT_THROW(make_directories(place.path() / "file" / "d", &made), IoError);
  EXPECT_EQ(made.size(), 2u);
}

TEST(Locks, GoWithTheirDirectoryIfNothingElseIsInIt) {
  const TemporaryDirectory place;
  for (const char* name : {"empty", "full"}) fs::create_directory(place.path() / name);
  std::ofstream(place.path() / "full" / "file").put('x');
  DirectoryLock empty(place.path() / "empty");
  DirectoryLock full(place.path() / "full");
  empty.remove_empty_directory();
  full.remove_empty_directory();
  EXPECT_FALSE(fs::exists(place.path() / "empty"));
  EXPECT_TRUE(fs::exists(place.path() / "full" / "file"));
  EXPECT_THROW(DirectoryLock(place.path() / "full"), IoError);
}

TEST(Directories, BelowAFileAreRefusedWithThePathAndTheReason) {
  const TemporaryDirectory place;
  const fs::path file = place.path() / "file";
  std::ofstream(file).put('x');
  for (const fs::path& path : {file, file / "below"}) {
    try {
      make_directories(path);
      ADD_FAILURE() << path << " was made";
    } catch (const IoError& e) {
      EXPECT_EQ(std::string(e.what()), file.string() + ": cannot make the directory: File exists");
    }
  }
}

TEST(Locks, MoveWithTheirDirectory) {
  static_assert(!std::is_copy_constructible_v<DirectoryLock>);
  const TemporaryDirectory place;
  fs::create_directory(place.path() / "a");
  fs::create_directory(place.path() / "b");
  DirectoryLock a(place.path() / "a");
  DirectoryLock moved(std::move(a));
  EXPECT_THROW(DirectoryLock(place.path() / "a"), IoError);
  {
    DirectoryLock b(place.path() / "b");
    moved = std::move(b);
    EXPECT_THROW(DirectoryLock(place.path() / "b"), IoError);
  }
  EXPECT_NO_THROW(DirectoryLock(place.path() / "a"));
  EXPECT_THROW(DirectoryLock(place.path() / "b"), IoError);
}

TEST(Hash, OfATextIsTheOneOfTheStandard) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(NumberTypes, OfDoublesAreReadAsFloatsAndOthersAreNamed) {
  const std::vector<std::int64_t> shape = {2};
  const std::vector<double> doubles = {0.1, -1e300};
  const std::vector<std::int32_t> integers = {1, 2};
  SafetensorsWriter writer;
  writer.add<double>("doubles", shape, doubles);
  writer.add<std::int32_t>("integers", shape, integers);
  const std::string text = writer.bytes();
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  const Safetensors file = Safetensors::parse({bytes, bytes + text.size()}, "file");
  EXPECT_THAT(file.to_floats(file.at("doubles")), testing::ElementsAre(0.1F, -INFINITY));
  ParameterBlock block;
  block.add("integers", {2}, true);
  try {
    load_weights(file, block);
    FAIL() << "loaded";
  } catch (const FileError& e) {
    EXPECT_THAT(e.what(), HasSubstr("integers: has dtype I32, not F32"));
  }
}

}  // namespace
}  // namespace reel::nn
