#include "data/csv_layout.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include "data/csv_field.h"
#include "data/error.h"

namespace reel::data {
namespace {

// The column of this name in the first line.
std::optional<std::size_t> column_named(const std::string& name, const CsvRecord& first) {
  for (std::size_t c = 0; c < first.size(); ++c) {
    if (first[c].text == name) return c;
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

// The columns that are no features, as far as is known before it is known what the first line is.
struct NoFeatures {
  std::size_t label = CsvLayout::no_column;
  std::vector<bool> ignored;

  bool has(std::size_t column) const { return column == label || ignored[column]; }
};

// Whether the features of the first line count up from 0, from column `start` on. The class's column has a
// number of its own or has none.
bool features_count(const CsvRecord& first, const NoFeatures& others, std::size_t start, bool with_label) {
  std::size_t n = 0;
  for (std::size_t c = start; c < first.size(); ++c) {
    if (c == others.label && !with_label) continue;
    if (!others.has(c) && first[c].text != std::to_string(n)) return false;
    ++n;
  }
  return true;
}

bool features_count(const CsvRecord& first, const NoFeatures& others, std::size_t start) {
  return features_count(first, others, start, true) || features_count(first, others, start, false);
}

// The same as pandas names columns that have no names: with the class's column ("0,1,2"), without it
// ("label,0,1"), or behind an unnamed column of its index (",0,1"), where that is no feature.
bool features_count(const CsvRecord& first, const NoFeatures& others) {
  return features_count(first, others, 0) || (others.has(0) && features_count(first, others, 1));
}

// What the features of the first line look like.
struct Features {
  std::size_t count = 0;
  std::size_t numbers = 0;
  std::size_t names = 0;

  Features(const CsvRecord& first, const NoFeatures& others) {
    for (std::size_t c = 0; c < first.size(); ++c) {
      if (others.has(c)) continue;
      const std::string& text = first[c].text;
      // "1,5" is refused as a number where it stands, and no name.
      const bool number = is_number(text) || is_number_with_a_comma(text);
      ++count;
      numbers += number ? 1 : 0;
      names += !number && !stands_for_nothing(text) ? 1 : 0;
    }
  }

  // Names are no numbers. A sample can have such a feature, too, but then others are numbers, or it says that
  // a value is missing: it is refused where it stands, and not passed over as a header.
  bool are_names() const { return numbers == 0 && names > 0; }
  bool may_be_names() const { return are_names() || (numbers > 0 && numbers + names == count); }
};

// Whether the first line names the columns, one of which is the class's. `ahead` reads on behind it.
bool names_columns(const CsvRecord& first, const NoFeatures& others, CsvReader ahead) {
  const Features features(first, others);
  if (features.are_names()) return true;
  if (!features.may_be_names()) return false;

  // Where features are numbers, the class tells: a text where all others are numbers, or, in a line that
  // counts, one that no other line has, though every other class has several.
  const std::string& own = first[others.label].text;
  const bool text_label = !is_number(own);
  if (text_label && stands_for_nothing(own)) return false;
  bool counts =
      first.size() > 2 && features_count(first, text_label ? others : NoFeatures{.ignored = others.ignored});
  if (!text_label && !counts) return false;
  std::map<std::string, std::size_t> classes;
  bool numbers = true;
  for (CsvRecord record; ahead.next(record);) {
    if (record.size() != first.size()) continue;
    const std::string& text = record[others.label].text;
    ++classes[text];
    numbers = numbers && is_number(text);
    counts = counts && text != own;
    if (!(text_label && numbers) && !counts) return false;
  }
  if (classes.empty()) return false;
  return (text_label && numbers) ||
         std::all_of(classes.begin(), classes.end(), [](const auto& c) { return c.second > 1; });
}

// The same if there is no class. What is in a column that is passed over means nothing.
bool names_columns_without_class(const CsvRecord& first, const NoFeatures& others, const CsvReader& reader) {
  if (first.size() > 1 && features_count(first, others)) {
    reader.fail(
        first[0],
        "this line may be a sample, or name the columns by numbers, as pandas does: say with --header "
        "yes or no whether it names them");
  }
  return Features(first, others).are_names();
}

// What to do if a first line that is read as a sample was meant to name the columns.
std::string header_hint(const CsvRecord& first, const NoFeatures& others, bool labelled) {
  if (!others.has(0) && first[0].text.empty() && first.size() > 2 && features_count(first, others, 1)) {
    return "; this line looks like a header whose first column has no name, as pandas writes it with its "
           "index: write the file with index=False, or leave that column out with --ignore-columns '\"\"'";
  }
  return std::string("; if this line names the columns, let no name be a number, or ") +
         (labelled ? "choose the class by its name with --label-column" : "say so with --header yes");
}

// The first few names.
std::string listed(const CsvRecord& first) {
  constexpr std::size_t most = 20;
  std::string known;
  for (std::size_t c = 0; c < std::min(most, first.size()); ++c)
    known += (known.empty() ? "" : ", ") + shown(first[c].text);
  if (first.size() > most) known += " and " + std::to_string(first.size() - most) + " more";
  return known;
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
  throw DataError(name + ": there is no " + what + " " + shown(text) +
                  (header ? "; the header has " + listed(first) : "") + "; a number from 0 to " +
                  std::to_string(first.size() - 1) + " works too");
}

// Whether it is a name that makes a header of the first line. A number beyond the last column, perhaps
// counted from 1, may also be what the first sample holds, and a class may be given for the name of its
// column.
bool names_this_line(const Choice& choice, const CsvRecord& first, const std::vector<bool>& ignored,
                     CsvReader ahead) {
  if (!choice.named || choice.numbered || is_number(choice.text)) return false;
  const Features others(first, {*choice.named, ignored});
  if (others.may_be_names() && others.names > 0) return true;
  for (CsvRecord record; ahead.next(record);) {
    if (record.size() == first.size() && record[*choice.named].text == choice.text) return false;
  }
  return true;
}

// The columns of these names, as many as there are.
std::vector<std::size_t> columns_named(const std::vector<std::string>& names, const CsvRecord& first) {
  std::vector<std::size_t> columns;
  for (const std::string& name : names) {
    if (const auto column = column_named(name, first)) columns.push_back(*column);
  }
  return columns;
}

std::vector<Choice> choices(const char* what, const std::vector<std::string>& columns,
                            const CsvRecord& first) {
  std::vector<Choice> result;
  for (const std::string& column : columns) result.emplace_back(what, column, first);
  return result;
}

// What the options choose, before it is known whether the first line is a header.
struct Choices {
  Choice label;
  std::vector<Choice> targets, ignored;
  NoFeatures no_features;

  // `labelled` files have their class in the last column that is not ignored, if none is chosen.
  Choices(const CsvRecord& first, const CsvOptions& options, bool labelled)
      : label("label column", options.label_column, first),
        targets(choices("target column", options.target_columns, first)),
        ignored(choices("ignored column", options.ignored_columns, first)) {
    no_features.ignored.resize(first.size());
    for (const Choice& choice : ignored) {
      if (const auto column = choice.numbered ? choice.numbered : choice.named)
        no_features.ignored[*column] = true;
    }
    if (label.text.empty()) {
      label.named.reset();
      std::size_t last = first.size() - 1;
      while (last > 0 && no_features.ignored[last]) --last;
      if (labelled) label.numbered = last;
    }
    no_features.label = label.numbered.value_or(labelled ? first.size() - 1 : CsvLayout::no_column);
  }

  bool has_label() const { return !label.text.empty() || label.numbered; }
};

bool is_header(const CsvRecord& first, const CsvReader& reader, const CsvOptions& options, bool labelled,
               const Choices& chosen) {
  if (options.header != CsvOptions::Header::detect) return options.header == CsvOptions::Header::yes;
  const NoFeatures& others = chosen.no_features;
  const auto names_it = [&](const Choice& choice) {
    return names_this_line(choice, first, others.ignored, reader);
  };
  const std::vector<std::string>& wanted = options.feature_columns;
  if (!wanted.empty() && columns_named(wanted, first).size() == wanted.size()) return true;
  if (names_it(chosen.label) || std::any_of(chosen.targets.begin(), chosen.targets.end(), names_it) ||
      std::any_of(chosen.ignored.begin(), chosen.ignored.end(), names_it))
    return true;
  return labelled ? names_columns(first, others, reader) : names_columns_without_class(first, others, reader);
}

}  // namespace

CsvLayout csv_layout(const CsvRecord& first, const CsvReader& reader, const CsvOptions& options,
                     bool labelled, const std::string& name) {
  const Choices chosen(first, options, labelled);
  CsvLayout layout;
  layout.header = is_header(first, reader, options, labelled, chosen);
  std::vector<bool> taken(first.size());
  const auto take = [&](std::size_t column, const std::string& as) {
    if (taken[column])
      throw DataError(name + ": column " + std::to_string(column) + " (counted from 0) is chosen twice, as " +
                      as + " and before");
    taken[column] = true;
    return column;
  };
  const auto take_chosen = [&](const Choice& choice) {
    return take(column_of(choice, layout.header, first, reader, name),
                choice.what + (choice.text.empty() ? "" : " " + shown(choice.text)));
  };
  if (chosen.has_label()) layout.label = take_chosen(chosen.label);
  for (const Choice& target : chosen.targets) layout.targets.push_back(take_chosen(target));
  if (layout.header) layout.features = columns_named(options.feature_columns, first);
  if (!layout.features.empty()) {
    for (const std::string& wanted : options.feature_columns) {
      const auto column = column_named(wanted, first);
      if (!column)
        throw DataError(name + ": there is no column " + shown(wanted) + "; the header has " + listed(first));
      take(*column, "feature " + shown(wanted));
    }
  } else {
    for (const Choice& choice : chosen.ignored) take_chosen(choice);
    for (std::size_t c = 0; c < first.size(); ++c) {
      if (!taken[c]) layout.features.push_back(c);
    }
  }
  if (!layout.header && options.header == CsvOptions::Header::detect) {
    NoFeatures others = chosen.no_features;
    others.label = layout.label;
    layout.hint = header_hint(first, others, labelled);
  }
  return layout;
}

}  // namespace reel::data
