#include "data/idx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <string>

#include "data/error.h"

namespace reel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string size_bytes(std::uint32_t n) {
  return {static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8),
          static_cast<char>(n)};
}

std::string idx(unsigned char type, const std::vector<std::uint32_t>& shape, const std::string& payload) {
  std::string bytes = {0, 0, static_cast<char>(type), static_cast<char>(shape.size())};
  for (const std::uint32_t n : shape) bytes += size_bytes(n);
  return bytes + payload;
}

std::string gzip(const std::string& plain) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, plain.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

TEST(Idx, ReadsEveryElementType) {
  EXPECT_THAT(parse_idx(idx(0x08, {3}, std::string("\x00\x7F\xFF", 3)), "t").to_floats(),
              ElementsAre(0, 127, 255));
  EXPECT_THAT(parse_idx(idx(0x09, {2}, "\x7F\xFF"), "t").to_floats(), ElementsAre(127, -1));
  EXPECT_THAT(parse_idx(idx(0x0B, {2}, std::string("\x01\x00\xFF\xFE", 4)), "t").to_floats(),
              ElementsAre(256, -2));
  EXPECT_THAT(parse_idx(idx(0x0C, {1}, std::string("\xFF\xFF\xFF\xFD", 4)), "t").to_floats(),
              ElementsAre(-3));
  EXPECT_THAT(parse_idx(idx(0x0D, {1}, std::string("\x3F\xC0\x00\x00", 4)), "t").to_floats(),
              ElementsAre(1.5f));
  EXPECT_THAT(parse_idx(idx(0x0E, {1}, std::string("\xBF\xE0\x00\x00\x00\x00\x00\x00", 8)), "t").to_floats(),
              ElementsAre(-0.5f));
}

TEST(Idx, IsToldFromGzipByContent) {
  const std::string plain = idx(0x08, {2, 2}, "abcd");
  EXPECT_EQ(parse_idx(gzip(plain), "t").bytes, parse_idx(plain, "t").bytes);
  EXPECT_THAT(parse_idx(gzip(plain), "t").shape, ElementsAre(2, 2));
  // As `cat a.gz b.gz` makes it, cut anywhere.
  for (std::size_t at = 0; at <= plain.size(); ++at) {
    const std::string members = gzip(plain.substr(0, at)) + gzip(plain.substr(at));
    EXPECT_EQ(parse_idx(members, "t").bytes, parse_idx(plain, "t").bytes) << at;
  }
}

TEST(Idx, ReadsPackedDataForWhichRoomIsMadeSeveralTimes) {
  std::string payload(17'000'000, '\0');
  for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<char>(i * 2654435761U >> 24);
  EXPECT_TRUE(parse_idx(gzip(idx(0x08, {17'000'000}, payload)), "t").bytes == payload);
}

struct Bad {
  const char* reason;
  std::string bytes;
  const char* message;
};
void PrintTo(const Bad& b, std::ostream* out) { *out << b.reason; }

std::vector<Bad> bad_files() {
  const std::string good = idx(0x08, {2, 3}, "abcdef");
  std::vector<Bad> files = {
      {"first bytes",
       "PK\x03\x04"
       "aaaaaaaa",
       "the first two bytes are not 0"},
      {"little-endian magic", std::string("\x03\x08\x00\x00", 4) + "aaaaaaaa",
       "the first two bytes are not 0"},
      {"unknown type", idx(0x0A, {1}, "a"), "element type 10 (byte 2) is unknown"},
      {"no dimensions", idx(0x08, {}, ""), "0 dimensions"},
      {"255 dimensions", std::string("\0\0\x08\xFF", 4) + std::string(1020, '\1'), "255 dimensions"},
      {"dimension 0", idx(0x08, {2, 0}, ""), "dimension 1 is 0"},
      {"product 0 mod 2^32", idx(0x08, {65536, 65536}, "a"), "cannot be in a file of"},
      {"product over 2^64", idx(0x0E, {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, "a"), "more than 2^64 bytes"},
      {"terabytes", idx(0x08, {60000, 7500, 7500}, "a"), "cannot be in a file of"},
      {"payload short by one", good.substr(0, good.size() - 1), "it holds 5 of the 6 bytes"},
      {"payload long by one", good + "x", "longer than its header says"},
      {"float that is not finite", idx(0x0D, {1}, std::string("\x7F\x80\x00\x00", 4)),
       "number 0 is not finite"},
      {"gzip cut", gzip(good).substr(0, 20), "ends too early"},
      {"gzip bad checksum",
       [&] {
         std::string s = gzip(good);
         s[s.size() - 7] = static_cast<char>(s[s.size() - 7] ^ 1);
         return s;
       }(),
       "damaged"},
      {"second gzip member cut", gzip(good) + gzip("").substr(0, 12), "ends too early"},
      {"two gzip members followed by junk", gzip(good) + gzip("") + "junk", "4 bytes follow the gzip data"},
      {"gzip followed by junk", gzip(good) + "junk", "4 bytes follow the gzip data"},
      {"gzip holding too much", gzip(good + std::string(1 << 20, 'x')), "longer than its header says"},
      {"gzip bomb", gzip(idx(0x08, {1u << 31}, std::string(1 << 16, '\0'))), "cannot be in a file of"},
  };
  for (std::size_t n = 0; n < 12; ++n) files.push_back({"header cut", good.substr(0, n), "it ends inside"});
  return files;
}

class BadIdx : public testing::TestWithParam<Bad> {};
INSTANTIATE_TEST_SUITE_P(Every, BadIdx, testing::ValuesIn(bad_files()));

TEST_P(BadIdx, IsRefusedWithTheReason) {
  try {
    parse_idx(GetParam().bytes, "t.idx").to_floats();
    FAIL() << "accepted";
  } catch (const DataError& e) {
    EXPECT_THAT(e.what(), HasSubstr(GetParam().message));
    EXPECT_THAT(e.what(), HasSubstr("t.idx"));
  }
}

TEST(IdxPair, ImagesAndLabelsMustBelongTogether) {
  const IdxArray images = parse_idx(idx(0x08, {2, 1, 2}, std::string("\x00\xFF\x33\x66", 4)), "images");
  const IdxArray labels = parse_idx(idx(0x08, {2}, std::string("\x01\x00", 2)), "labels");
  const Dataset d = idx_pair(images, labels);
  EXPECT_THAT(d.inputs, ElementsAre(0, 1, 0.2f, 0.4f));
  EXPECT_THAT(d.labels, ElementsAre(1, 0));
  EXPECT_EQ(d.classes(), 2);
  const auto message = [](auto f) {
    try {
      f();
    } catch (const DataError& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(message([&] { idx_pair(labels, images); }), HasSubstr("swapped"));
  EXPECT_THAT(message([&] { idx_pair(images, images); }), HasSubstr("swapped"));
  const IdxArray three = parse_idx(idx(0x08, {3}, std::string("\x01\x00\x01", 3)), "labels");
  EXPECT_THAT(message([&] { idx_pair(images, three); }), HasSubstr("2 images, but 3 labels"));
  const IdxArray high = parse_idx(idx(0x08, {2}, std::string("\x01\x0A", 2)), "labels");
  EXPECT_THAT(message([&] { idx_pair(images, high, 10); }),
              HasSubstr("of image 1 is no class; classes run from 0 to 9"));
  for (const char label : {'\0', '\3'}) {
    const IdxArray alike = parse_idx(idx(0x08, {2}, std::string(2, label)), "labels");
    EXPECT_THAT(message([&] { idx_pair(images, alike); }),
                HasSubstr("labels: every image has the same class; there is nothing to tell apart"));
    EXPECT_EQ(idx_pair(images, alike, 10).classes(), 10);
    EXPECT_EQ(idx_pair(images, alike, 0, true).classes(), label + 1);
  }
}

TEST(IdxImages, AreSamplesWithoutLabels) {
  const Dataset d =
      idx_images(parse_idx(idx(0x08, {2, 1, 3}, std::string("\x00\xFF\x33\x33\x00\xFF", 6)), "t"));
  EXPECT_EQ(d.name, "t");
  EXPECT_EQ(d.count, 2);
  EXPECT_EQ(d.features, 3);
  EXPECT_THAT(d.inputs, ElementsAre(0, 1, 0.2f, 0.2f, 0, 1));
  EXPECT_TRUE(d.labels.empty());
  EXPECT_THAT(idx_images(parse_idx(idx(0x09, {1, 2}, "\x7F\xFF"), "t")).inputs, ElementsAre(127, -1));
  EXPECT_THROW(idx_images(parse_idx(idx(0x08, {2}, "ab"), "t")), DataError);
  IdxArray nothing;
  nothing.shape = {0, 3};
  EXPECT_THROW(idx_images(nothing), DataError);
}

TEST(IdxPair, RefusesArraysThatHoldNothingOrOtherThanTheirShape) {
  const auto array = [](const std::vector<std::int64_t>& shape, std::size_t bytes) {
    return IdxArray{.shape = shape, .bytes = std::string(bytes, '\1'), .name = "mine"};
  };
  const auto refused = [](const IdxArray& images, const IdxArray& labels, const std::string& why) {
    EXPECT_THAT([&] { idx_pair(images, labels, 2); },
                testing::ThrowsMessage<DataError>(HasSubstr("mine: " + why)));
  };
  EXPECT_NO_THROW(idx_pair(array({2, 2}, 4), array({2}, 2), 2));
  refused(array({0, 2}, 0), array({0}, 0), "it has shape [0, 2]; at least one image of at least one pixel");
  refused(array({2, 0}, 0), array({2}, 2), "it has shape [2, 0]; at least one image");
  refused(array({-2, 2}, 4), array({-2}, 2), "it has shape [-2, 2]; at least one image");
  refused(array({2, 2}, 5), array({2}, 2), "5 inputs for 2 samples of 2 features");
  refused(array({2, 2}, 4), array({2}, 1), "1 labels for 2 samples");
}

TEST(Idx, IsSeenByItsFirstTwoBytesHoweverShort) {
  EXPECT_TRUE(looks_like_idx(idx(0x08, {2, 2}, "abcd")));
  EXPECT_TRUE(looks_like_idx(gzip("text")));
  EXPECT_TRUE(looks_like_idx(std::string(2, '\0')));
  EXPECT_FALSE(looks_like_idx(std::string(1, '\0')));
  EXPECT_FALSE(looks_like_idx(""));
  EXPECT_FALSE(looks_like_idx("1,2,0\n"));
}

}  // namespace
}  // namespace reel::data
