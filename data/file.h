#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace reel::data {

/// The bytes of a regular file. Throws IoError `PATH: reason` for a file that is missing, unreadable, no
/// regular file (a directory, a pipe, a device), that memory cannot hold, or that changes its size while it
/// is read.
std::string read_file(const std::filesystem::path& path);

/// Writes a file, over what was there. Throws IoError.
void write_file(const std::filesystem::path& path, const std::string& bytes);

/// A path for messages: control characters, which could play tricks on a terminal, those that turn the
/// direction of writing, and bytes that are not UTF-8 become \xNN.
std::string printable(const std::filesystem::path& path);

/// The same for a text of several lines: line feeds stay.
std::string printable_lines(std::string_view text);

/// What stands in a file, for a message: printable, and cut behind 200 bytes: `beginning... (1000000 bytes)`.
/// Whoever makes a file may put as much into it as they like.
std::string excerpt(std::string_view text);

/// No path is longer, and no name of data.
constexpr std::size_t longest_path = 4096;

}  // namespace reel::data
