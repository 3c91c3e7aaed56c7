#pragma once

#include <string>
#include <string_view>

// What the text of a CSV field says.

namespace reel::data {

enum class CsvNumber { good, none, not_finite, out_of_range };

/// What from_chars is to read, which knows no sign but "-".
std::string_view without_plus(std::string_view text);

/// The whole text as a float.
CsvNumber parse_number(const std::string& text, float& value);

/// Whether it is one, finite or not.
bool is_number(const std::string& text);

/// Whether it would be one with a point where it has a comma.
bool is_number_with_a_comma(std::string text);

/// Whether it is what files write where a value is missing. NaN is a number to us, and refused as one.
bool stands_for_nothing(const std::string& text);

/// The text for a message, in quotes.
std::string shown(const std::string& text);

}  // namespace reel::data
