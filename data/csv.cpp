#include "data/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>

#include "data/error.h"
#include "data/file.h"
#include "data/utf8.h"

namespace reel::data {
namespace {

constexpr std::size_t most_columns = 100'000;
constexpr std::int64_t most_classes = 1'000'000;

struct Field {
  std::string text;
  std::size_t line = 0;
  std::size_t column = 0;  // of its first byte, from 1
  bool quoted = false;
};
using Record = std::vector<Field>;

class Parser {
 public:
  Parser(std::string_view text, const std::string& name, char delimiter)
      : text_(text), name_(name), delimiter_(delimiter) {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
    if (text_.starts_with("\xFF\xFE") || text_.starts_with("\xFE\xFF")) {
      throw DataError(name_ + ":1:1: the file is UTF-16; save it as UTF-8");
    }
    const std::size_t nul = text_.find('\0');
    if (nul != std::string_view::npos) {
      throw DataError(name_ + ": byte " + std::to_string(nul) + " is NUL: this is no text file");
    }
    const std::size_t valid = valid_utf8(text_);
    if (valid != text_.size()) {
      const auto line =
          1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(valid), '\n');
      throw DataError(name_ + ":" + std::to_string(line) + ": byte " + std::to_string(valid) +
                      ": the text is not UTF-8; save it as UTF-8");
    }
  }

  // The next record, or false at the end.
  bool next(Record& record) {
    record.clear();
    if (at_ == text_.size()) return false;
    while (true) {
      record.push_back(field());
      if (record.size() > most_columns)
        fail(record.back(), "more than " + std::to_string(most_columns) + " columns");
      if (at_ == text_.size()) return true;
      const char c = text_[at_++];
      if (c == delimiter_) continue;
      if (c == '\r') {
        if (at_ == text_.size() || text_[at_] != '\n') {
          throw DataError(name_ + ":" + std::to_string(line_) +
                          ": a carriage return without a line feed; end lines with LF or CRLF");
        }
        ++at_;
      }
      ++line_;
      line_start_ = at_;
      return true;
    }
  }

  [[noreturn]] void fail(const Field& field, const std::string& reason) const {
    throw DataError(name_ + ":" + std::to_string(field.line) + ":" + std::to_string(field.column) + ": " +
                    reason);
  }

 private:
  Field field() {
    Field f;
    f.line = line_;
    f.column = at_ - line_start_ + 1;
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    if (at_ < text_.size() && text_[at_] == '"') {
      quoted(f);
    } else {
      const std::size_t start = at_;
      while (at_ < text_.size() && text_[at_] != delimiter_ && text_[at_] != '\n' && text_[at_] != '\r')
        ++at_;
      f.text = std::string(text_.substr(start, at_ - start));
      while (!f.text.empty() && f.text.back() == ' ') f.text.pop_back();
    }
    return f;
  }

  void quoted(Field& f) {
    f.quoted = true;
    ++at_;
    while (true) {
      if (at_ == text_.size()) fail(f, "a quote is opened here and never closed");
      const char c = text_[at_++];
      if (c == '"') {
        if (at_ == text_.size() || text_[at_] != '"') break;
        ++at_;
      }
      if (c == '\n') {
        ++line_;
        line_start_ = at_;
      }
      f.text += c;
    }
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    if (at_ < text_.size() && text_[at_] != delimiter_ && text_[at_] != '\n' && text_[at_] != '\r') {
      fail(f, "text follows the closing quote; quotes inside a quoted field are doubled");
    }
  }

  std::string_view text_;
  const std::string& name_;
  char delimiter_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  std::size_t line_start_ = 0;
};

enum class Number { good, none, not_finite, out_of_range };

// The whole field as a float; out of range is told apart, since from_chars reports it.
Number parse_number(const std::string& text, float& value) {
  const char* first = text.data();
  const char* last = first + text.size();
  if (first != last && *first == '+') ++first;
  const auto [end, error] = std::from_chars(first, last, value);
  if (error == std::errc::invalid_argument || end != last || first == last ||
      (first[0] == '-' && text[0] == '+'))
    return Number::none;
  if (error == std::errc::result_out_of_range) {
    // Too small is a subnormal or zero, which is a number; too large is not.
    double wide = 0;
    const auto wide_result = std::from_chars(first, last, wide);
    if (wide_result.ec == std::errc{} && std::fabs(wide) < 1) {
      value = static_cast<float>(wide);
      return Number::good;
    }
    if (wide_result.ec == std::errc::result_out_of_range) {
      const std::size_t exponent = text.find_first_of("eE");
      if (exponent != std::string::npos && exponent + 1 < text.size() && text[exponent + 1] == '-') {
        value = 0;
        return Number::good;
      }
    }
    return Number::out_of_range;
  }
  return std::isfinite(value) ? Number::good : Number::not_finite;
}

std::string shown(const std::string& text) {
  std::string result = text.substr(0, 40);
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7F) c = '?';
  }
  return "\"" + result + (text.size() > 40 ? "...\"" : "\"");
}

bool blank(const Record& record) { return record.size() == 1 && record[0].text.empty() && !record[0].quoted; }

float feature(const Parser& parser, const Field& field) {
  float value = 0;
  switch (parse_number(field.text, value)) {
    case Number::good:
      return value;
    case Number::not_finite:
      parser.fail(field, shown(field.text) + " is not finite; leave the line out or fill the value in");
    case Number::out_of_range:
      parser.fail(field, shown(field.text) + " is too large for a 32-bit float");
    case Number::none:
      break;
  }
  if (field.text.empty()) parser.fail(field, "a value is missing; leave the line out or fill the value in");
  if (field.text.find(',') != std::string::npos)
    parser.fail(field, shown(field.text) + " is not a number; decimals are written with a point");
  if (field.text.find(';') != std::string::npos)
    parser.fail(field, shown(field.text) +
                           " is not a number; separate fields by commas, and write decimals with a point");
  parser.fail(field, shown(field.text) +
                         " is not a number, which every column but the class's holds: leave the line or the "
                         "column out, or choose it as the class");
}

// The column that holds the class.
std::size_t label_column(const Record& header, bool has_header, std::size_t columns,
                         const CsvOptions& options, const std::string& name) {
  if (options.label_column.empty()) return columns - 1;
  if (has_header) {
    for (std::size_t c = 0; c < header.size(); ++c) {
      if (header[c].text == options.label_column) return c;
    }
  }
  std::size_t index = 0;
  const std::string& text = options.label_column;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error == std::errc{} && end == text.data() + text.size() && index < columns) return index;
  std::string known;
  for (const Field& f : header) known += (known.empty() ? "" : ", ") + shown(f.text);
  throw DataError(name + ": there is no label column " + shown(text) +
                  (has_header ? "; the header has " + known : "") + "; a number from 0 to " +
                  std::to_string(columns - 1) + " works too");
}

// Class numbers from what the label column holds.
void number_classes(const Parser& parser, const std::vector<Field>& labels, Dataset& data) {
  bool numbers = true;
  std::int64_t largest = -1;
  for (const Field& f : labels) {
    float value = 0;
    numbers = numbers && parse_number(f.text, value) != Number::none;
  }
  if (!numbers) {
    std::map<std::string, std::int32_t> names;
    for (const Field& f : labels) {
      if (f.text.empty()) parser.fail(f, "the class is missing");
      names.emplace(f.text, 0);
    }
    std::int32_t next = 0;
    for (auto& [text, index] : names) {
      index = next++;
      data.class_names.push_back(text);
    }
    for (const Field& f : labels) data.labels.push_back(names[f.text]);
    return;
  }
  for (const Field& f : labels) {
    double value = 0;
    const char* end = f.text.data() + f.text.size();
    const auto result = std::from_chars(f.text.data(), end, value);
    if (result.ec != std::errc{} || result.ptr != end || !(value >= 0) || value != std::floor(value) ||
        value >= static_cast<double>(most_classes)) {
      parser.fail(f, "class " + shown(f.text) + " is not a whole number from 0 to " +
                         std::to_string(most_classes - 1));
    }
    data.labels.push_back(static_cast<std::int32_t>(value));
    largest = std::max(largest, static_cast<std::int64_t>(value));
  }
  data.class_names = numbered_classes(largest + 1);
}

}  // namespace

Dataset parse_csv(std::string_view text, const std::string& name, const CsvOptions& options) {
  Parser parser(text, name, options.delimiter);
  Record record;
  while (parser.next(record) && blank(record)) {
  }
  if (record.empty() || blank(record)) throw DataError(name + ": the file is empty");
  const Record first = record;
  const std::size_t columns = first.size();
  if (columns == 1) {
    const std::string& line = first[0].text;
    const char* other = line.find(';') != std::string::npos    ? "semicolons"
                        : line.find('\t') != std::string::npos ? "tabs"
                                                               : nullptr;
    if (other != nullptr && options.delimiter == ',') {
      parser.fail(first[0],
                  std::string("the fields are separated by ") + other + "; separate them by commas");
    }
    parser.fail(first[0], "one column; at least one feature and the class are needed");
  }
  bool has_header = options.header == CsvOptions::Header::yes;
  if (options.header == CsvOptions::Header::detect) {
    // A class may be a text in every line, so only the others tell.
    std::size_t texts = 0;
    float value = 0;
    for (const Field& f : first)
      texts += parse_number(f.text, value) == Number::none && !f.text.empty() ? 1 : 0;
    has_header = texts > 1 || (texts == 1 && parse_number(first.back().text, value) != Number::none) ||
                 (texts == columns);
  }
  if (has_header) {
    std::set<std::string> names;
    for (const Field& f : first) {
      if (!names.insert(f.text).second) parser.fail(f, "column name " + shown(f.text) + " is there twice");
    }
    parser.next(record);
  }
  const std::size_t label = label_column(first, has_header, columns, options, name);

  Dataset data;
  data.name = name;
  data.features = static_cast<std::int64_t>(columns) - 1;
  std::vector<Field> labels;
  std::size_t blank_line = 0;
  for (; !record.empty(); parser.next(record)) {
    if (blank(record)) {
      if (blank_line == 0) blank_line = record[0].line;
      continue;
    }
    if (blank_line != 0) {
      throw DataError(name + ":" + std::to_string(blank_line) + ":1: a blank line in the middle; remove it");
    }
    if (record.size() != columns) {
      parser.fail(record.back(),
                  std::to_string(record.size()) + " fields, the first line has " + std::to_string(columns));
    }
    for (std::size_t c = 0; c < columns; ++c) {
      if (c == label) {
        labels.push_back(std::move(record[c]));
      } else {
        data.inputs.push_back(feature(parser, record[c]));
      }
    }
  }
  if (labels.empty()) throw DataError(name + ": there is a header and nothing else");
  data.count = static_cast<std::int64_t>(labels.size());
  number_classes(parser, labels, data);
  if (data.has_one_class())
    throw DataError(name + ": every sample has the same class; there is nothing to tell apart");
  return data;
}

Dataset read_csv(const std::filesystem::path& path, const CsvOptions& options) {
  return parse_csv(read_file(path), printable(path), options);
}

}  // namespace reel::data
