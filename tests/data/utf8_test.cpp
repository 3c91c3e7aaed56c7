#include "data/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace reel::data {
namespace {

TEST(Utf8, FindsTheFirstByteThatIsNone) {
  EXPECT_EQ(valid_utf8(""), 0U);
  EXPECT_EQ(valid_utf8("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"), 10U);
  EXPECT_EQ(valid_utf8("ab\xFF"), 2U);
  EXPECT_EQ(valid_utf8("ab\xC3"), 2U);            // cut
  EXPECT_EQ(valid_utf8("\xC0\x80"), 0U);          // overlong
  EXPECT_EQ(valid_utf8("\xED\xA0\x80"), 0U);      // a surrogate
  EXPECT_EQ(valid_utf8("\xF4\x90\x80\x80"), 0U);  // over U+10FFFF
}

TEST(Utf8, CutsBetweenCharacters) {
  const std::string text = "a\xC3\xA9\xF0\x9F\x98\x80z";  // 1, 2, 4 and 1 bytes
  const std::size_t kept[] = {0, 1, 1, 3, 3, 3, 3, 7, 8, 8};
  for (std::size_t most = 0; most < std::size(kept); ++most)
    EXPECT_EQ(cut_utf8(text, most), text.substr(0, kept[most])) << most;
  const std::string none(10, '\x80');
  EXPECT_EQ(cut_utf8(none, 5), none.substr(0, 5));
}

}  // namespace
}  // namespace reel::data
