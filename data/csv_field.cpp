#include "data/csv_field.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>

#include "data/file.h"
#include "data/utf8.h"

namespace reel::data {

std::string_view without_plus(std::string_view text) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  return text;
}

namespace {

// Whether a decimal number is below 1, whatever its sign: by the place of its first digit that is not 0.
bool is_below_one(std::string_view number) {
  const std::size_t mark = std::min(number.find_first_of("eE"), number.size());
  const std::string_view digits = number.substr(0, mark);
  const std::size_t first = digits.find_first_of("123456789");
  if (first == std::string_view::npos) return true;
  // Without its exponent it is below 10^power, and not below 10^(power - 1).
  const auto point = static_cast<std::int64_t>(std::min(digits.find('.'), digits.size()));
  const auto place = static_cast<std::int64_t>(first);
  const std::int64_t power = place < point ? point - place : point + 1 - place;
  if (mark == number.size()) return power <= 0;
  const std::string_view spelled = without_plus(number.substr(mark + 1));
  std::int64_t exponent = 0;
  const auto result = std::from_chars(spelled.data(), spelled.data() + spelled.size(), exponent);
  // One beyond 64 bits outweighs all zeros that a text can have.
  if (result.ec == std::errc::result_out_of_range) return spelled.starts_with('-');
  return exponent <= -power;
}

}  // namespace

CsvNumber parse_number(const std::string& text, float& value) {
  const std::string_view number = without_plus(text);
  const char* last = number.data() + number.size();
  const auto [end, error] = std::from_chars(number.data(), last, value);
  if (error == std::errc::invalid_argument || end != last) return CsvNumber::none;
  if (error == std::errc::result_out_of_range) {
    // Too small is a subnormal or zero, which is a number; too large is not.
    if (!is_below_one(number)) return CsvNumber::out_of_range;
    double wide = 0;
    if (std::from_chars(number.data(), last, wide).ec != std::errc{}) wide = number[0] == '-' ? -0.0 : 0.0;
    value = static_cast<float>(wide);
    return CsvNumber::good;
  }
  return std::isfinite(value) ? CsvNumber::good : CsvNumber::not_finite;
}

bool is_number(const std::string& text) {
  float value = 0;
  return parse_number(text, value) != CsvNumber::none;
}

bool is_number_with_a_comma(std::string text) {
  std::replace(text.begin(), text.end(), ',', '.');
  return is_number(text);
}

bool stands_for_nothing(const std::string& text) {
  constexpr std::string_view words[] = {"",     "NA",   "N/A",  "n/a", "#N/A", "#NA", "<NA>",
                                        "NULL", "null", "None", "?",   "-",    "."};
  return std::find(std::begin(words), std::end(words), text) != std::end(words);
}

std::string shown(const std::string& text) {
  constexpr std::size_t most = 40;
  return "\"" + printable(cut_utf8(text, most)) + (text.size() > most ? "...\"" : "\"");
}

}  // namespace reel::data
