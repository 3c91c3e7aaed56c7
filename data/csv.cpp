#include "data/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
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

bool is_number(const std::string& text) {
  float value = 0;
  return parse_number(text, value) != Number::none;
}

// The column of this name in the first line.
std::optional<std::size_t> column_named(const std::string& name, const Record& first) {
  const auto found = std::find_if(first.begin(), first.end(), [&](const Field& f) { return f.text == name; });
  if (found == first.end()) return std::nullopt;
  return static_cast<std::size_t>(found - first.begin());
}

// The column of this number, counted from 0.
std::optional<std::size_t> column_numbered(const std::string& text, std::size_t columns) {
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error != std::errc{} || end != text.data() + text.size() || index >= columns) return std::nullopt;
  return index;
}

// Whether the first line names the columns. `ahead` reads on behind it.
bool is_header(const Record& first, Parser ahead, const CsvOptions& options) {
  if (options.header != CsvOptions::Header::detect) return options.header == CsvOptions::Header::yes;
  const std::optional<std::size_t> numbered = column_numbered(options.label_column, first.size());
  if (!options.label_column.empty() && !numbered && column_named(options.label_column, first)) return true;
  const std::size_t label = numbered.value_or(first.size() - 1);

  // A feature that is no number is a name.
  const bool text_label = !is_number(first[label].text);
  bool complete = true;
  bool counts = first.size() > 2;  // "0,1,2,...", as pandas names columns that have no names
  for (std::size_t c = 0; c < first.size(); ++c) {
    const std::string& text = first[c].text;
    complete = complete && !text.empty();
    if (c == label && text_label) continue;
    if (!text.empty() && !is_number(text)) return true;
    counts = counts && text == std::to_string(c);
  }

  // Where all features are numbers, the class tells: a text where all others are numbers, or, in a line that
  // counts, one that no other line has, though every other class has several.
  if (!complete || (!text_label && !counts)) return false;
  std::map<std::string, std::size_t> classes;
  bool numbers = true;
  for (Record record; ahead.next(record);) {
    if (record.size() != first.size()) continue;
    const std::string& text = record[label].text;
    ++classes[text];
    numbers = numbers && is_number(text);
    counts = counts && text != first[label].text;
    if (!(text_label && numbers) && !counts) return false;
  }
  if (classes.empty()) return false;
  return (text_label && numbers) ||
         std::all_of(classes.begin(), classes.end(), [](const auto& c) { return c.second > 1; });
}

// The column that holds the class.
std::size_t label_column(const Record& header, bool has_header, std::size_t columns,
                         const CsvOptions& options, const std::string& name) {
  if (options.label_column.empty()) return columns - 1;
  const std::string& text = options.label_column;
  if (has_header) {
    if (const auto named = column_named(text, header)) return *named;
  }
  if (const auto numbered = column_numbered(text, columns)) return *numbered;
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
  for (const Field& f : labels) numbers = numbers && is_number(f.text);
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
  const bool has_header = is_header(first, parser, options);
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
