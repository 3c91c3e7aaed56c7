#include "data/npz.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zip.h>

#include <algorithm>
#include <new>
#include <numeric>
#include <stdexcept>

#include "data/error.h"
#include "tests/support/count_allocations.h"

namespace {

using namespace reel::data;

std::map<std::string, NpyArray> parse(const std::string& file) {
  return parse_npz(std::as_bytes(std::span<const char>(file)), "a.npz");
}

std::string example() {
  NpzWriter writer;
  const std::int64_t shape[] = {3};
  const float x[] = {1, 2, 3};
  const std::int64_t y[] = {4, 5, 6};
  writer.add("y", shape, std::span<const std::int64_t>(y));
  writer.add("x", shape, std::span<const float>(x));
  return writer.bytes();
}

TEST(Npz, reads_what_it_writes) {
  const auto arrays = parse(example());
  ASSERT_EQ(arrays.size(), 2U);
  EXPECT_EQ(arrays.at("x").to_floats(), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(arrays.at("y").to_integers(), (std::vector<std::int64_t>{4, 5, 6}));
  EXPECT_EQ(arrays.at("x").name, "a.npz[x.npy]");
  EXPECT_TRUE(parse(NpzWriter().bytes()).empty());
}

TEST(Npz, reads_a_member_for_which_room_is_made_several_times) {
  std::vector<std::int32_t> x(4'500'000);
  std::iota(x.begin(), x.end(), 0);
  const std::int64_t shape[] = {static_cast<std::int64_t>(x.size())};
  NpzWriter writer;
  writer.add("x", shape, std::span<const std::int32_t>(x));
  const std::vector<std::int64_t> read = parse(writer.bytes()).at("x").to_integers();
  EXPECT_TRUE(std::equal(x.begin(), x.end(), read.begin(), read.end()));
}

TEST(Npz, writes_the_same_bytes_every_time) {
  const std::string once = example();
  EXPECT_EQ(once, example());
  // The date field of the first member: the first day of 1980, not today.
  EXPECT_EQ(once.substr(10, 4), std::string("\0\0\x21\0", 4));
}

// As numpy.savez_compressed has it; NpzWriter packs nothing.
std::string deflated() {
  const std::string plain = example();
  const std::size_t at = plain.find("\x93NUMPY");
  const std::string npy = plain.substr(at, plain.find("PK", at) - at);
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* target = zip_source_buffer_create(nullptr, 0, 0, &error);
  zip_source_keep(target);
  zip_t* archive = zip_open_from_source(target, ZIP_TRUNCATE, &error);
  zip_source_t* source = zip_source_buffer(archive, npy.data(), npy.size(), 0);
  EXPECT_EQ(zip_file_add(archive, "x.npy", source, 0), 0);
  EXPECT_EQ(zip_set_file_compression(archive, 0, ZIP_CM_DEFLATE, 0), 0);
  EXPECT_EQ(zip_close(archive), 0);
  std::string bytes(1 << 12, '\0');
  EXPECT_EQ(zip_source_open(target), 0);
  bytes.resize(static_cast<std::size_t>(zip_source_read(target, bytes.data(), bytes.size())));
  zip_source_close(target);
  zip_source_free(target);
  return bytes;
}

TEST(Npz, does_not_blame_the_file_for_a_lack_of_memory) {
  for (const std::string& file : {example(), deflated()}) {
    const std::size_t members = parse(file).size();
    std::size_t attempt = 0;
    for (bool happened = true; happened;) {
      const reel::support::FailingAllocation failing(++attempt);
      std::string said;
      try {
        EXPECT_EQ(parse(file).size(), members);
      } catch (const std::bad_alloc&) {
      } catch (const DataError& e) {
        said = e.what();
      }
      happened = failing.happened();
      // The words of libzip 1.7 if it has no memory for the directory: they cannot be told from the others.
      EXPECT_TRUE(said.empty() || said.ends_with(": Not a zip archive")) << attempt << ": " << said;
    }
    EXPECT_GT(attempt, 3U);
  }
}

TEST(Npz, refuses_every_truncation) {
  const std::string file = example();
  for (std::size_t size = 0; size < file.size(); ++size)
    EXPECT_THROW(parse(file.substr(0, size)), DataError) << size;
}

TEST(Npz, a_flipped_byte_is_refused_or_changes_no_value) {
  // Some fields of an archive (a date, who made it) mean nothing here; the data is under a CRC-32.
  const std::string file = example();
  for (std::size_t at = 0; at < file.size(); ++at) {
    std::string damaged = file;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x41);
    try {
      for (const auto& [key, array] : parse(damaged)) {
        const std::vector<double> values = array.to_doubles();
        EXPECT_TRUE((values == std::vector<double>{1, 2, 3}) || (values == std::vector<double>{4, 5, 6}))
            << at;
      }
    } catch (const DataError&) {
    }
  }
}

TEST(Npz, writer_refuses_names_that_are_taken_or_not_plain) {
  NpzWriter writer;
  const float x[] = {1};
  writer.add("x", {}, std::span<const float>(x));
  EXPECT_THROW(writer.add("x", {}, std::span<const float>(x)), std::invalid_argument);
  for (const char* name : {"", "a/b", "a\\b", "\n", "\xC3\xA4"})
    EXPECT_THROW(writer.add(name, {}, std::span<const float>(x)), std::invalid_argument) << name;
  EXPECT_THAT([&] { writer.add("w:a", {}, std::span<const float>(x)); },
              testing::ThrowsMessage<std::invalid_argument>(
                  testing::HasSubstr("must be printable ASCII without /, \\ and :")));
}

}  // namespace
