#include "data/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "data/csv_field.h"
#include "data/csv_layout.h"
#include "data/csv_reader.h"
#include "data/error.h"
#include "data/file.h"

namespace reel::data {
namespace {

constexpr std::int64_t most_classes = 1'000'000;

bool blank(const CsvRecord& record) {
  return record.size() == 1 && record[0].text.empty() && !record[0].quoted;
}

std::string why_no_number(const std::string& text, bool labelled, const std::string& column) {
  if (text.empty()) return "a value is missing; leave the line out or fill the value in";
  const std::string no_number = shown(text) + " is not a number";
  if (is_number_with_a_comma(text)) return no_number + "; decimals are written with a point";
  if (text.find(';') != std::string::npos)
    return no_number + "; separate fields by commas, and write decimals with a point";
  if (!labelled)
    return no_number + "; leave the line out, or pass the column over with --ignore-columns" + column;
  return no_number +
         ", which every column but the class's holds: leave the line out, leave the column out with "
         "--ignore-columns" +
         column + ", or choose it as the class" + (column.empty() ? "" : " with --label-column" + column);
}

// A feature or a target. `name` is that of its column, or null; `hint` is what the first line may be instead
// of a sample.
float number_of(const CsvReader& reader, const CsvField& field, bool labelled, const CsvField* name,
                const std::string& hint) {
  float value = 0;
  switch (parse_number(field.text, value)) {
    case CsvNumber::good:
      return value;
    case CsvNumber::not_finite:
      reader.fail(field, shown(field.text) + " is not finite; leave the line out or fill the value in");
    case CsvNumber::out_of_range:
      reader.fail(field, shown(field.text) + " is too large for a 32-bit float");
    case CsvNumber::none:
      break;
  }
  const std::string column = name == nullptr ? "" : " " + shown(name->text);
  reader.fail(field, why_no_number(field.text, labelled, column) + hint);
}

bool holds_number(const CsvField& field) { return is_number(field.text); }

// Among numbers "?" and the like are no class; among texts "-" or "NA" may well be one.
void refuse_missing(const CsvReader& reader, const std::vector<CsvField>& labels) {
  const auto missing = [](const CsvField& f) { return stands_for_nothing(f.text); };
  const bool numbers = std::any_of(labels.begin(), labels.end(), holds_number) &&
                       std::all_of(labels.begin(), labels.end(),
                                   [&](const CsvField& f) { return holds_number(f) || missing(f); });
  const auto found = std::find_if(labels.begin(), labels.end(), missing);
  if (!numbers || found == labels.end()) return;
  reader.fail(*found, found->text.empty()
                          ? "the class is missing"
                          : "the class is missing: " + shown(found->text) +
                                " stands among numbers; leave the line out or fill the class in");
}

// Class numbers from what the label column holds.
void number_classes(const CsvReader& reader, const std::vector<CsvField>& labels, Dataset& data) {
  refuse_missing(reader, labels);
  std::int64_t largest = -1;
  if (!std::all_of(labels.begin(), labels.end(), holds_number)) {
    std::map<std::string, std::int32_t> names;
    for (const CsvField& f : labels) {
      if (f.text.empty()) reader.fail(f, "the class is missing");
      names.emplace(f.text, 0);
    }
    std::int32_t next = 0;
    for (auto& [text, index] : names) {
      index = next++;
      data.class_names.push_back(text);
    }
    for (const CsvField& f : labels) data.labels.push_back(names[f.text]);
    return;
  }
  for (const CsvField& f : labels) {
    double value = 0;
    const std::string_view number = without_plus(f.text);
    const char* end = number.data() + number.size();
    const auto result = std::from_chars(number.data(), end, value);
    if (result.ec != std::errc{} || result.ptr != end || !(value >= 0) || value != std::floor(value) ||
        value >= static_cast<double>(most_classes)) {
      reader.fail(f, "class " + shown(f.text) + " is not a whole number from 0 to " +
                         std::to_string(most_classes - 1));
    }
    data.labels.push_back(static_cast<std::int32_t>(value));
    largest = std::max(largest, static_cast<std::int64_t>(value));
  }
  data.class_names = numbered_classes(largest + 1);
}

}  // namespace

Dataset parse_csv(std::string_view text, const std::string& name, const CsvOptions& options) {
  CsvReader reader(text, name, options.delimiter);
  CsvRecord record;
  while (reader.next(record) && blank(record)) {
  }
  if (record.empty() || blank(record)) throw DataError(name + ": the file is empty");
  const CsvRecord first = record;
  const std::size_t columns = first.size();
  const bool labelled = options.labelled && options.target_columns.empty();
  if (columns == 1) {
    const std::string& line = first[0].text;
    const char* other = line.find(';') != std::string::npos    ? "semicolons"
                        : line.find('\t') != std::string::npos ? "tabs"
                                                               : nullptr;
    if (other != nullptr && options.delimiter == ',') {
      reader.fail(first[0],
                  std::string("the fields are separated by ") + other + "; separate them by commas");
    }
    if (labelled) reader.fail(first[0], "one column; at least one feature and the class are needed");
  }
  CsvLayout layout = csv_layout(first, reader, options, labelled, name);
  if (layout.header) reader.next(record);

  Dataset data;
  data.name = name;
  data.header = layout.header;
  data.features = static_cast<std::int64_t>(layout.features.size());
  if (layout.header) {
    for (const std::size_t c : layout.features) data.feature_names.push_back(first[c].text);
    if (labelled) data.label_name = first[layout.label].text;
  }
  data.outputs = static_cast<std::int64_t>(layout.targets.size());
  const auto number_in = [&](std::size_t c) {
    return number_of(reader, record[c], labelled, layout.header ? &first[c] : nullptr, layout.hint);
  };
  std::vector<CsvField> labels;
  std::size_t blank_line = 0;
  for (; !record.empty(); reader.next(record)) {
    if (blank(record)) {
      if (blank_line == 0) blank_line = record[0].line;
      continue;
    }
    if (blank_line != 0) {
      throw DataError(name + ":" + std::to_string(blank_line) + ":1: a blank line in the middle; remove it");
    }
    if (record.size() != columns) {
      reader.fail(record.back(),
                  std::to_string(record.size()) + " fields, the first line has " + std::to_string(columns));
    }
    for (const std::size_t c : layout.features) data.inputs.push_back(number_in(c));
    for (const std::size_t c : layout.targets) data.targets.push_back(number_in(c));
    if (labelled) labels.push_back(std::move(record[layout.label]));
    ++data.count;
    layout.hint.clear();  // only the first line can be a header
  }
  if (data.count == 0) throw DataError(name + ": there is a header and nothing else");
  if (!labelled) return data;
  number_classes(reader, labels, data);
  if (data.has_one_class() && !options.one_class)
    throw DataError(name + ": every sample has the same class; there is nothing to tell apart");
  return data;
}

Dataset read_csv(const std::filesystem::path& path, const CsvOptions& options) {
  return parse_csv(read_file(path), printable(path), options);
}

}  // namespace reel::data
