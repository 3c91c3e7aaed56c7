#include "data/npy.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <limits>
#include <stdexcept>

#include "data/error.h"

namespace {

using namespace reel::data;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span<const char>(text));
}

NpyArray parse(const std::string& file) { return parse_npy(bytes_of(file), "a.npy"); }

// A file with the given dictionary, as version 1.0, 2.0 or 3.0.
std::string file_of(const std::string& dictionary, const std::string& data, int version = 1) {
  std::string file = "\x93NUMPY";
  file += static_cast<char>(version);
  file += '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i)
    file += static_cast<char>(dictionary.size() >> (8 * i) & 0xFF);
  return file + dictionary + data;
}

std::string header(const std::string& descr, const std::string& shape, const char* order = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
}

template <class T>
std::string raw(std::initializer_list<T> values, bool swap = false) {
  std::string text;
  for (T value : values) {
    std::string one(reinterpret_cast<const char*>(&value), sizeof value);
    if (swap) std::reverse(one.begin(), one.end());
    text += one;
  }
  return text;
}

std::string message_of(const std::string& file) {
  try {
    parse(file);
  } catch (const DataError& e) {
    return e.what();
  }
  return "accepted";
}

TEST(Npy, reads_what_it_writes_bit_for_bit) {
  const std::int64_t shape[] = {2, 3};
  const float values[] = {
      -0.0F,         1e-45F, std::bit_cast<float>(0x7FC12345U), std::numeric_limits<float>::infinity(),
      3.4028235e38F, 0.1F};
  const std::string file = npy_bytes(shape, std::span<const float>(values));
  EXPECT_EQ(file.size() % 64, 24U);
  const NpyArray array = parse(file);
  EXPECT_EQ(array.shape, (std::vector<std::int64_t>{2, 3}));
  const std::vector<float> read = array.to_floats();
  ASSERT_EQ(read.size(), 6U);
  for (std::size_t i = 0; i < 6; ++i)
    EXPECT_EQ(std::bit_cast<std::uint32_t>(read[i]), std::bit_cast<std::uint32_t>(values[i]));
}

TEST(Npy, reads_every_type_in_both_byte_orders) {
  for (const bool big : {false, true}) {
    const std::string o = big ? ">" : "<";
    EXPECT_EQ(parse(file_of(header(o + "i2", "(2,)"), raw<std::int16_t>({-2, 300}, big))).to_integers(),
              (std::vector<std::int64_t>{-2, 300}));
    EXPECT_EQ(parse(file_of(header(o + "u2", "(1,)"), raw<std::uint16_t>({65535}, big))).to_floats(),
              std::vector<float>{65535});
    EXPECT_EQ(parse(file_of(header(o + "i4", "(1,)"), raw<std::int32_t>({-7}, big))).to_doubles(),
              std::vector<double>{-7});
    EXPECT_EQ(parse(file_of(header(o + "u4", "(1,)"), raw<std::uint32_t>({4294967295U}, big))).to_doubles(),
              std::vector<double>{4294967295.0});
    EXPECT_EQ(
        parse(file_of(header(o + "i8", "(1,)"), raw<std::int64_t>({9007199254740993}, big))).to_integers(),
        std::vector<std::int64_t>{9007199254740993});
    EXPECT_EQ(parse(file_of(header(o + "f4", "(1,)"), raw<float>({1.5F}, big))).to_floats(),
              std::vector<float>{1.5F});
    EXPECT_EQ(parse(file_of(header(o + "f8", "(1,)"), raw<double>({0.1}, big))).to_doubles(),
              std::vector<double>{0.1});
    EXPECT_EQ(parse(file_of(header(o + "f2", "(3,)"), raw<std::uint16_t>({0x3C00, 0x8001, 0xFBFF}, big)))
                  .to_doubles(),
              (std::vector<double>{1, -std::ldexp(1.0, -24), -65504}));
  }
  EXPECT_EQ(parse(file_of(header("|b1", "(2,)"), std::string("\1\0", 2))).to_integers(),
            (std::vector<std::int64_t>{1, 0}));
  EXPECT_EQ(parse(file_of(header("|i1", "(1,)"), "\xFF")).to_integers(), std::vector<std::int64_t>{-1});
  EXPECT_EQ(parse(file_of(header("|u1", "(1,)"), "\xFF")).to_integers(), std::vector<std::int64_t>{255});
}

TEST(Npy, brings_fortran_order_to_c_order) {
  // numpy.asfortranarray(arange(24).reshape(2, 3, 4)), whose element [i, j, k] is 12 i + 4 j + k.
  std::string data;
  for (int k = 0; k < 4; ++k) {
    for (int j = 0; j < 3; ++j) {
      for (int i = 0; i < 2; ++i) data += raw<std::int32_t>({12 * i + 4 * j + k});
    }
  }
  const NpyArray array = parse(file_of(header("<i4", "(2, 3, 4)", "True"), data));
  const std::vector<std::int64_t> values = array.to_integers();
  for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(values[i], static_cast<std::int64_t>(i));
}

TEST(Npy, reads_versions_2_and_3_scalars_and_empty_arrays) {
  for (const int version : {2, 3})
    EXPECT_EQ(parse(file_of(header("<f4", "(1,)"), raw<float>({2}), version)).to_floats(),
              std::vector<float>{2});
  const NpyArray scalar = parse(file_of(header("<f8", "()"), raw<double>({3})));
  EXPECT_TRUE(scalar.shape.empty());
  EXPECT_EQ(scalar.count(), 1U);
  const NpyArray empty = parse(file_of(header("<f8", "(0, 3)"), ""));
  EXPECT_EQ(empty.count(), 0U);
  EXPECT_EQ(empty.shape, (std::vector<std::int64_t>{0, 3}));
}

TEST(Npy, refuses_integers_it_cannot_hold_and_floats_as_integers) {
  const NpyArray large = parse(file_of(header("<u8", "(2,)"), raw<std::uint64_t>({1, 1ULL << 63})));
  EXPECT_THROW(
      {
        try {
          large.to_integers();
        } catch (const DataError& e) {
          EXPECT_STREQ(e.what(), "a.npy: element 1 is larger than 2^63 - 1");
          throw;
        }
      },
      DataError);
  EXPECT_THROW(parse(file_of(header("<f4", "()"), raw<float>({1}))).to_integers(), DataError);
}

TEST(Npy, refuses_every_truncation_and_every_longer_file) {
  const std::int64_t shape[] = {3};
  const std::int64_t values[] = {1, 2, 3};
  const std::string file = npy_bytes(shape, std::span<const std::int64_t>(values));
  for (std::size_t size = 0; size < file.size(); ++size)
    EXPECT_THROW(parse(file.substr(0, size)), DataError) << size;
  EXPECT_THROW(parse(file + '\0'), DataError);
}

TEST(Npy, says_what_is_wrong_and_where) {
  EXPECT_EQ(message_of("PK\3\4"), "a.npy: byte 0: this is a zip archive, as NPZ files are; read it as NPZ");
  EXPECT_EQ(message_of(file_of(header("|O", "(1,)"), "")),
            "a.npy: byte 20: the type '|O' is an array of Python objects; convert it to numbers");
  EXPECT_EQ(message_of(file_of(header("<f4", "(4)"), "")),
            "a.npy: byte 63: 'shape' is a number in brackets, not a tuple");
  EXPECT_EQ(message_of(file_of(header("<f4", "(1,)"), "123")),
            "a.npy: byte 68: shape and type need 4 bytes of data, 3 follow");
  EXPECT_EQ(message_of(file_of(header("|b1", "(1,)"), "\2")),
            "a.npy: element 0 of a bool array is neither 0 nor 1");
}

TEST(Npy, writer_refuses_a_shape_that_does_not_fit) {
  const float values[] = {1, 2, 3};
  for (const std::vector<std::int64_t>& shape :
       {std::vector<std::int64_t>{2}, {-3}, {1LL << 62, 1LL << 62}, {}})
    EXPECT_THROW(npy_bytes(shape, std::span<const float>(values)), std::invalid_argument);
}

TEST(Npy, writes_and_reads_files) {
  const auto path = std::filesystem::temp_directory_path() / ("reel_npy_" + std::to_string(::getpid()));
  const std::int64_t shape[] = {2};
  const std::int32_t values[] = {5, -6};
  write_npy(path, shape, std::span<const std::int32_t>(values));
  EXPECT_EQ(read_npy(path).to_integers(), (std::vector<std::int64_t>{5, -6}));
  std::filesystem::remove(path);
  EXPECT_THROW(read_npy(path), IoError);
  EXPECT_THROW(write_npy(path / "x", shape, std::span<const std::int32_t>(values)), IoError);
  EXPECT_THROW(write_npy("/dev/full", shape, std::span<const std::int32_t>(values)), IoError);
}

}  // namespace
