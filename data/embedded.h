#pragma once

#include <string_view>

/// Files that are part of the program; data/embed.cmake puts them there.
namespace reel::data::embedded {

extern const std::string_view digits_csv;
extern const std::string_view iris_csv;

}  // namespace reel::data::embedded
