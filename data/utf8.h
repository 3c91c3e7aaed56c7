#pragma once

#include <cstddef>
#include <string_view>

namespace reel::data {

/// The number of bytes before the first that is not UTF-8 (RFC 3629: no overlong forms, no surrogates,
/// nothing over U+10FFFF); the size of the text if it is all UTF-8.
std::size_t valid_utf8(std::string_view text);

}  // namespace reel::data
