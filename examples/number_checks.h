#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

// What numbers a flag takes. All are decimal: 0x10 would be 16 to CLI11, and 010 would be 8. What is no whole
// number must be in its range as a 32-bit float, too. CLI11 writes a check's description behind the type of
// its option; these have none, so that a help text shows what type_name says.

namespace reel::examples {

/// A whole number from `least` to `most`.
CLI::Validator whole_number(std::uint64_t least, std::uint64_t most);

/// Whole numbers with commas between them, and how they are read and written.
CLI::Validator whole_numbers(std::uint64_t least, std::uint64_t most);
std::vector<std::int64_t> read_whole_numbers(const std::string& text);
std::string write_whole_numbers(const std::vector<std::int64_t>& numbers);

/// A finite number above 0.
CLI::Validator positive_number();

/// A finite number, 0 or above.
CLI::Validator not_negative();

/// A number of at least 0 and less than 1.
CLI::Validator fraction();

/// A number above 0 and less than 1: a part that leaves something of both.
CLI::Validator share();

/// A number of at least `least` and at most `most`.
CLI::Validator number_from(double least, double most);

}  // namespace reel::examples
