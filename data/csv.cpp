#include "data/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "data/csv_reader.h"
#include "data/error.h"
#include "data/file.h"

namespace reel::data {
namespace {

constexpr std::int64_t most_classes = 1'000'000;

enum class Number { good, none, not_finite, out_of_range };

// What from_chars is to read, which knows no sign but "-".
std::string_view without_plus(std::string_view text) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  return text;
}

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

// The whole field as a float.
Number parse_number(const std::string& text, float& value) {
  const std::string_view number = without_plus(text);
  const char* last = number.data() + number.size();
  const auto [end, error] = std::from_chars(number.data(), last, value);
  if (error == std::errc::invalid_argument || end != last) return Number::none;
  if (error == std::errc::result_out_of_range) {
    // Too small is a subnormal or zero, which is a number; too large is not.
    if (!is_below_one(number)) return Number::out_of_range;
    double wide = 0;
    if (std::from_chars(number.data(), last, wide).ec != std::errc{}) wide = number[0] == '-' ? -0.0 : 0.0;
    value = static_cast<float>(wide);
    return Number::good;
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

bool blank(const CsvRecord& record) {
  return record.size() == 1 && record[0].text.empty() && !record[0].quoted;
}

// A feature or a target. `hint` is what the first line may be instead of a sample.
float number(const CsvReader& reader, const CsvField& field, const std::string& hint) {
  float value = 0;
  switch (parse_number(field.text, value)) {
    case Number::good:
      return value;
    case Number::not_finite:
      reader.fail(field, shown(field.text) + " is not finite; leave the line out or fill the value in");
    case Number::out_of_range:
      reader.fail(field, shown(field.text) + " is too large for a 32-bit float");
    case Number::none:
      break;
  }
  const auto refuse = [&](const std::string& reason) { reader.fail(field, reason + hint); };
  if (field.text.empty()) refuse("a value is missing; leave the line out or fill the value in");
  const std::string no_number = shown(field.text) + " is not a number";
  if (field.text.find(',') != std::string::npos) refuse(no_number + "; decimals are written with a point");
  if (field.text.find(';') != std::string::npos)
    refuse(no_number + "; separate fields by commas, and write decimals with a point");
  reader.fail(field, no_number +
                         ", which every column but the class's holds: leave the line or the column out, or "
                         "choose it as the class" +
                         hint);
}

bool is_number(const std::string& text) {
  float value = 0;
  return parse_number(text, value) != Number::none;
}

// The column of this name in the first line.
std::optional<std::size_t> column_named(const std::string& name, const CsvRecord& first) {
  for (std::size_t c = 0; c < first.size(); ++c) {
    if (!name.empty() && first[c].text == name) return c;
  }
  return std::nullopt;
}

// The column of this number, counted from 0.
std::optional<std::size_t> column_numbered(const std::string& text, std::size_t columns) {
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error != std::errc{} || end != text.data() + text.size() || index >= columns) return std::nullopt;
  return index;
}

// What files write where a value is missing. NaN is a number to us, and refused as one.
bool stands_for_nothing(const std::string& text) {
  constexpr std::string_view words[] = {"", "NA", "N/A", "n/a", "NULL", "null", "None", "?", "-"};
  return std::find(std::begin(words), std::end(words), text) != std::end(words);
}

// Whether the first line's features count up from 0, as pandas names columns that have no names: with the
// class's column ("0,1,2"), without it ("label,0,1"), or behind an unnamed column of its index (",0,1").
bool features_count(const CsvRecord& first, std::size_t label, std::size_t start, bool with_label) {
  std::size_t n = 0;
  for (std::size_t c = start; c < first.size(); ++c) {
    if (c == label && !with_label) continue;
    if (c != label && first[c].text != std::to_string(n)) return false;
    ++n;
  }
  return true;
}

bool features_count(const CsvRecord& first, std::size_t label, std::size_t start = 0) {
  return features_count(first, label, start, true) || features_count(first, label, start, false);
}

// In the place of the class's column where there is none.
constexpr std::size_t no_column = std::numeric_limits<std::size_t>::max();

// Whether the first line names the columns, if the class is in column `label`. `ahead` reads on behind it.
bool names_columns(const CsvRecord& first, std::size_t label, CsvReader ahead) {
  // Names are no numbers. A sample can have such a feature, too, but then others are numbers, or it says that
  // a value is missing: it is refused where it stands, and not passed over as a header.
  std::size_t features = 0;
  std::size_t numeric = 0;
  std::size_t names = 0;
  for (std::size_t c = 0; c < first.size(); ++c) {
    if (c == label) continue;
    ++features;
    const bool number = is_number(first[c].text);
    numeric += number ? 1 : 0;
    names += !number && !stands_for_nothing(first[c].text) ? 1 : 0;
  }
  if (numeric == 0) return names > 0;
  if (numeric + names < features || label == no_column) return false;

  // Where features are numbers, the class tells: a text where all others are numbers, or, in a line that
  // counts, one that no other line has, though every other class has several.
  const std::string& own = first[label].text;
  const bool text_label = !is_number(own);
  if (text_label && stands_for_nothing(own)) return false;
  bool counts = first.size() > 2 &&
                (text_label ? features_count(first, label)
                            : features_count(first, label, 0, true) && own == std::to_string(label));
  if (!text_label && !counts) return false;
  std::map<std::string, std::size_t> classes;
  bool numbers = true;
  for (CsvRecord record; ahead.next(record);) {
    if (record.size() != first.size()) continue;
    const std::string& text = record[label].text;
    ++classes[text];
    numbers = numbers && is_number(text);
    counts = counts && text != own;
    if (!(text_label && numbers) && !counts) return false;
  }
  if (classes.empty()) return false;
  return (text_label && numbers) ||
         std::all_of(classes.begin(), classes.end(), [](const auto& c) { return c.second > 1; });
}

// What to do if a first line that is read as a sample was meant to name the columns.
std::string header_hint(const CsvRecord& first, std::size_t label) {
  if (label != 0 && first[0].text.empty() && first.size() > 2 && features_count(first, label, 1)) {
    return "; this line looks like a header whose first column has no name, as pandas writes it with its "
           "index: write the file with index=False";
  }
  return "; if this line names the columns, let no name be a number, or choose the class by its name with "
         "--label-column";
}

// A column that the caller chose: `text` may be a name in the first line, a number, or both.
struct Choice {
  const char* what;
  std::string text;
  std::optional<std::size_t> named, numbered;

  Choice(const char* kind, const std::string& chosen, const CsvRecord& first)
      : what(kind),
        text(chosen),
        named(column_named(chosen, first)),
        numbered(column_numbered(chosen, first.size())) {}
};

// It names a column only in a first line that is a header.
std::size_t column_of(const Choice& choice, bool header, const CsvRecord& first, const CsvReader& reader,
                      const std::string& name) {
  const auto& [what, text, named, numbered] = choice;
  if (header && named && numbered && *named != *numbered) {
    reader.fail(first[*named],
                std::string(what) + " " + shown(text) + " could be column " + std::to_string(*named) +
                    " (counted from 0), which has this name, or column " + text + ", whose name is " +
                    shown(first[*numbered].text) +
                    ": choose that one by its name, or give this one a name that is no number");
  }
  if (header && named) return *named;
  if (numbered) return *numbered;
  constexpr std::size_t most = 20;
  std::string known;
  for (std::size_t c = 0; c < std::min(most, first.size()); ++c)
    known += (known.empty() ? "" : ", ") + shown(first[c].text);
  if (first.size() > most) known += " and " + std::to_string(first.size() - most) + " more";
  throw DataError(name + ": there is no " + what + " " + shown(text) +
                  (header ? "; the header has " + known : "") + "; a number from 0 to " +
                  std::to_string(first.size() - 1) + " works too");
}

// What the first line is, and which columns hold the class, or the targets.
struct Layout {
  bool header = false;
  std::size_t label = no_column;
  std::vector<std::size_t> targets = {};
  std::vector<bool> is_feature = {};  // of every column
};

Layout layout_of(const CsvRecord& first, const CsvReader& reader, const CsvOptions& options, bool labelled,
                 const std::string& name) {
  Choice label("label column", options.label_column, first);
  const bool has_label = labelled || !label.text.empty();
  if (label.text.empty() && labelled) label.numbered = first.size() - 1;
  std::vector<Choice> targets;
  for (const std::string& column : options.target_columns)
    targets.emplace_back("target column", column, first);

  Layout layout;
  layout.header = options.header == CsvOptions::Header::yes;
  if (options.header == CsvOptions::Header::detect) {
    // A number beyond the last column, perhaps counted from 1, may also be what the first sample holds.
    const auto only_named = [](const Choice& c) { return c.named && !c.numbered && !is_number(c.text); };
    const std::size_t otherwise = labelled ? first.size() - 1 : no_column;
    layout.header = only_named(label) || std::any_of(targets.begin(), targets.end(), only_named) ||
                    names_columns(first, label.numbered.value_or(otherwise), reader);
  }
  layout.is_feature.assign(first.size(), true);
  if (has_label) {
    layout.label = column_of(label, layout.header, first, reader, name);
    layout.is_feature[layout.label] = false;
  }
  for (const Choice& target : targets) {
    const std::size_t column = column_of(target, layout.header, first, reader, name);
    if (!layout.is_feature[column]) {
      throw DataError(name + ": column " + std::to_string(column) +
                      " (counted from 0) is chosen twice, as target column " + shown(target.text) +
                      " and before");
    }
    layout.is_feature[column] = false;
    layout.targets.push_back(column);
  }
  return layout;
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
  const Layout layout = layout_of(first, reader, options, labelled, name);
  const auto features = std::count(layout.is_feature.begin(), layout.is_feature.end(), true);
  if (features == 0) reader.fail(first[0], "no column is left for a feature");
  if (layout.header) {
    std::set<std::string> names;
    for (const CsvField& f : first) {
      if (!names.insert(f.text).second) reader.fail(f, "column name " + shown(f.text) + " is there twice");
    }
    reader.next(record);
  }

  Dataset data;
  data.name = name;
  data.header = layout.header;
  data.features = features;
  data.outputs = static_cast<std::int64_t>(layout.targets.size());
  std::vector<CsvField> labels;
  std::string hint =
      !layout.header && options.header == CsvOptions::Header::detect ? header_hint(first, layout.label) : "";
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
    for (std::size_t c = 0; c < columns; ++c) {
      if (layout.is_feature[c]) data.inputs.push_back(number(reader, record[c], hint));
    }
    for (const std::size_t c : layout.targets) data.targets.push_back(number(reader, record[c], hint));
    if (labelled) labels.push_back(std::move(record[layout.label]));
    ++data.count;
    hint.clear();  // only the first line can be a header
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
