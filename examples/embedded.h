#pragma once

#include <string_view>

/// Files that are part of the program; data/embed.cmake puts them there.
namespace reel::examples::embedded {

extern const std::string_view attention_page;

}  // namespace reel::examples::embedded
