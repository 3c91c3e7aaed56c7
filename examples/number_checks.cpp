#include "examples/number_checks.h"

#include <charconv>
#include <cmath>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

namespace reel::examples {
namespace {

// The whole text as one number, or nothing.
template <class T>
std::optional<T> parse(const std::string& text) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stopped != end) return std::nullopt;
  return value;
}

std::string refuse(const std::string& wanted, const std::string& text) {
  const bool other_base = text.size() > 1 && text[0] == '0' && text[1] != '.';
  return "must be " + wanted + ", not " + (text.empty() ? "empty" : text) +
         (other_base ? " (write it in decimal, without a leading 0)" : "");
}

std::string shown(double x) {
  std::ostringstream stream;
  stream << x;
  return stream.str();
}

// Networks compute in 32-bit floats: 1e39 is infinite there, and 1e-46 is zero.
template <class Holds>
bool holds_as_float(double x, Holds holds) {
  const auto as_float = static_cast<float>(x);
  return std::isfinite(as_float) && holds(static_cast<double>(as_float));
}

template <class Holds>
CLI::Validator real(const std::string& wanted, Holds holds) {
  return CLI::Validator(
      [wanted, holds](std::string& text) {
        const std::optional<double> x = parse<double>(text);
        if (!x || !std::isfinite(*x) || !holds(*x)) return refuse(wanted, text);
        if (holds_as_float(*x, holds)) return std::string();
        return "must be " + wanted + ", also as a 32-bit float; " + text + " becomes " +
               shown(static_cast<float>(*x)) + " there";
      },
      "");
}

// "4,,5" has an empty part, and so has "4,".
std::vector<std::string> parts_of(const std::string& text) {
  std::vector<std::string> parts = {""};
  for (const char c : text) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

}  // namespace

CLI::Validator whole_number(std::uint64_t least, std::uint64_t most) {
  const std::string wanted = "a whole number from " + std::to_string(least) + " to " +
                             (most == UINT64_MAX ? std::string("2^64 - 1") : std::to_string(most));
  return CLI::Validator(
      [=](std::string& text) {
        const std::optional<std::uint64_t> n = parse<std::uint64_t>(text);
        const bool octal = text.size() > 1 && text[0] == '0';
        return n && !octal && *n >= least && *n <= most ? std::string() : refuse(wanted, text);
      },
      "");
}

CLI::Validator whole_numbers(std::uint64_t least, std::uint64_t most) {
  return CLI::Validator(
      [one = whole_number(least, most)](std::string& text) {
        if (text.empty()) return refuse("whole numbers with commas between them, as in 128,64", text);
        for (std::string& part : parts_of(text)) {
          const std::string wrong = one(part);
          if (!wrong.empty()) return "in " + text + ", each " + wrong;
        }
        return std::string();
      },
      "");
}

std::vector<std::int64_t> read_whole_numbers(const std::string& text) {
  std::vector<std::int64_t> numbers;
  for (const std::string& part : parts_of(text)) numbers.push_back(parse<std::int64_t>(part).value());
  return numbers;
}

std::string write_whole_numbers(const std::vector<std::int64_t>& numbers) {
  std::string text;
  for (const std::int64_t n : numbers) text += (text.empty() ? "" : ",") + std::to_string(n);
  return text;
}

CLI::Validator positive_number() {
  return real("a positive number", [](double x) { return x > 0; });
}

CLI::Validator not_negative() {
  return real("0 or a positive number", [](double x) { return x >= 0; });
}

CLI::Validator fraction() {
  return real("at least 0 and less than 1", [](double x) { return x >= 0 && x < 1; });
}

CLI::Validator share() {
  return real("above 0 and less than 1", [](double x) { return x > 0 && x < 1; });
}

CLI::Validator number_from(double least, double most) {
  const auto low = static_cast<double>(static_cast<float>(least));  // a limit is in the range as a float, too
  return real("a number from " + shown(least) + " to " + shown(most),
              [=](double x) { return x >= low && x <= most; });
}

}  // namespace reel::examples
