#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <string>
#include <vector>

namespace reel::examples {

/// Columns of a CSV file with commas between them, each a name or a number: written as a line of such a file
/// is, so that a name with a comma stands in quotes, and so does an empty one. Or the word none.
CLI::Validator column_list();

/// The most bytes of one: Linux starts no program with a longer word.
inline constexpr std::size_t longest_column_list = 128 << 10;

/// Those that `text` lists; none if it is empty or says none. Throws DataError if it is no such list.
std::vector<std::string> read_column_list(const std::string& text);

}  // namespace reel::examples
