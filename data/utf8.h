#pragma once

#include <cstddef>
#include <string_view>

namespace reel::data {

/// The number of bytes before the first that is not UTF-8 (RFC 3629: no overlong forms, no surrogates,
/// nothing over U+10FFFF); the size of the text if it is all UTF-8.
std::size_t valid_utf8(std::string_view text);

/// The beginning of a text, `most` bytes or a little less: no character of UTF-8 is cut in two.
std::string_view cut_utf8(std::string_view text, std::size_t most);

}  // namespace reel::data
