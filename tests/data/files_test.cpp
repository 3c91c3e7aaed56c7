// Every reader and writer through files, as programs use them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "data/addition.h"
#include "data/batches.h"
#include "data/csv.h"
#include "data/digits.h"
#include "data/error.h"
#include "data/fashion_mnist.h"
#include "data/file.h"
#include "data/npy.h"
#include "data/npz.h"
#include "data/text.h"

namespace reel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;
using namespace std::string_literals;

class InAFolder : public testing::Test {
 protected:
  InAFolder()
      : folder(std::filesystem::temp_directory_path() / ("reel_loaders_" + std::to_string(::getpid()))) {
    std::filesystem::create_directory(folder);
  }
  ~InAFolder() override {
    ::unsetenv("REEL_FASHION_MNIST");
    std::filesystem::remove_all(folder);
  }
  std::filesystem::path folder;
};

TEST_F(InAFolder, FashionMnistIsFourIdxFiles) {
  ::setenv("REEL_FASHION_MNIST", folder.c_str(), 1);
  for (const std::string part : {"train", "t10k"}) {
    EXPECT_THAT([] { fashion_mnist(); }, ThrowsMessage<IoError>(HasSubstr(part + "-")));
    write_file(folder / (part + "-images-idx3-ubyte"), "\0\0\x08\3\0\0\0\2\0\0\0\1\0\0\0\2\0\xFF\xFF\0"s);
    write_file(folder / (part + "-labels-idx1-ubyte"), "\0\0\x08\1\0\0\0\2\7\x09"s);
  }
  const Split split = fashion_mnist();
  EXPECT_THAT(split.train.inputs, ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(split.test.labels, ElementsAre(7, 9));
  EXPECT_EQ(split.test.class_names[9], "ankle boot");
}

TEST_F(InAFolder, CsvAndTextAreReadByName) {
  write_file(folder / "a.csv", "1,0\n2,1\n");
  EXPECT_THAT(read_csv(folder / "a.csv", {}).labels, ElementsAre(0, 1));
  write_file(folder / "a.txt", "abcabcabcabc");
  EXPECT_EQ(Text::read(folder / "a.txt", 3).vocabulary().bytes(), "abc");
}

TEST_F(InAFolder, WhatEveryNumpyWriterWritesIsReadAgain) {
  const std::int64_t shape[] = {2};
  const float floats[] = {0.5F, -2};
  const std::int32_t small[] = {5, -6};
  const std::int64_t large[] = {1LL << 40, -1};
  write_npy(folder / "f.npy", shape, std::span<const float>(floats));
  write_npy(folder / "l.npy", shape, std::span<const std::int64_t>(large));
  EXPECT_THAT(read_npy(folder / "f.npy").to_floats(), ElementsAre(0.5F, -2.0F));
  EXPECT_THAT(read_npy(folder / "l.npy").to_integers(), ElementsAre(1LL << 40, -1));
  NpzWriter writer;
  writer.add("f", shape, std::span<const float>(floats));
  writer.add("s", shape, std::span<const std::int32_t>(small));
  writer.add("l", shape, std::span<const std::int64_t>(large));
  writer.write(folder / "all.npz");
  const auto arrays = read_npz(folder / "all.npz");
  EXPECT_THAT(arrays.at("s").to_integers(), ElementsAre(5, -6));
  EXPECT_THAT(arrays.at("l").to_integers(), ElementsAre(1LL << 40, -1));
}

TEST(BatchesInOrder, AreTheSamplesAsTheyStand) {
  const Dataset d = iris();
  const Batches batches(d, 32, 1);
  const Batch last = batches.in_order(4);
  EXPECT_EQ(last.count, 22);
  EXPECT_EQ(last.labels.size(), 22U);
  EXPECT_EQ(last.inputs[0], d.inputs[4 * 128]);
  EXPECT_EQ(last.labels[21], d.labels[149]);
}

TEST(AdditionPrompt, IsWrittenInThreeDigits) {
  EXPECT_THAT(Addition::prompt_tokens({.a = 47, .b = 385}), ElementsAre(0, 4, 7, 10, 3, 8, 5, 11));
  EXPECT_EQ(Addition::vocabulary().bytes(), "0123456789+=");
}

}  // namespace
}  // namespace reel::data
