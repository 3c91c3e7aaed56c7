#include "data/csv_layout.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "data/csv_field.h"
#include "data/csv_header.h"
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
  if (header && named) {
    for (std::size_t c = *named + 1; c < first.size(); ++c) {
      if (first[c].text == text) reader.fail(first[c], "column name " + shown(text) + " is there twice");
    }
    return *named;
  }
  if (numbered) return *numbered;
  throw DataError(name + ": there is no " + what + " " + shown(text) +
                  (header ? "; the header has " + listed(first) : "") + "; a number from 0 to " +
                  std::to_string(first.size() - 1) + " works too");
}

// No other column may have the name of one that is read.
void require_own_names(const CsvLayout& layout, const CsvRecord& first, const CsvReader& reader) {
  std::map<std::string, std::size_t> columns;
  std::set<std::size_t> is_read(layout.features.begin(), layout.features.end());
  is_read.insert(layout.targets.begin(), layout.targets.end());
  is_read.insert(layout.label);
  for (std::size_t c = 0; c < first.size(); ++c) {
    const auto [before, is_new] = columns.emplace(first[c].text, c);
    if (!is_new && (is_read.contains(c) || is_read.contains(before->second)))
      reader.fail(first[c], "column name " + shown(first[c].text) + " is there twice");
  }
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
    no_features.label = label.numbered.value_or(labelled ? first.size() - 1 : no_column);
  }

  bool has_label() const { return !label.text.empty() || label.numbered; }
};

// The columns that are chosen by what may be their names in the first line. A number may be what the first
// sample holds, also one beyond the last column, perhaps counted from 1.
std::vector<std::size_t> chosen_by_name(const Choices& chosen) {
  std::vector<std::size_t> columns;
  const auto add = [&](const Choice& choice) {
    if (choice.named && !choice.numbered && !is_number(choice.text)) columns.push_back(*choice.named);
  };
  add(chosen.label);
  std::for_each(chosen.targets.begin(), chosen.targets.end(), add);
  std::for_each(chosen.ignored.begin(), chosen.ignored.end(), add);
  return columns;
}

bool is_header(const CsvRecord& first, const CsvReader& reader, const CsvOptions& options, bool labelled,
               const Choices& chosen) {
  if (options.header != CsvOptions::Header::detect) return options.header == CsvOptions::Header::yes;
  const std::vector<std::string>& wanted = options.feature_columns;
  if (!wanted.empty() && columns_named(wanted, first).size() == wanted.size()) return true;
  const NoFeatures& others = chosen.no_features;
  if (names_a_chosen_column(first, chosen_by_name(chosen), others.ignored, reader)) return true;
  return labelled ? names_columns(first, others, reader) : names_columns_without_class(first, others, reader);
}

// The class's column where features are found by their names.
std::size_t label_beside(const std::vector<std::size_t>& features, const std::string& label_name,
                         const CsvRecord& first, const std::string& name) {
  if (const auto named = column_named(label_name, first)) return *named;
  std::vector<std::size_t> others;
  for (std::size_t c = 0; c < first.size(); ++c) {
    if (std::find(features.begin(), features.end(), c) == features.end()) others.push_back(c);
  }
  if (others.size() == 1) return others[0];
  throw DataError(name + ": there is no column " + shown(label_name) +
                  " that holds the class; the header has " + listed(first) +
                  "; choose one with --label-column");
}

}  // namespace

CsvLayout csv_layout(const CsvRecord& first, const CsvReader& reader, const CsvOptions& options,
                     bool labelled, const std::string& name) {
  const Choices chosen(first, options, labelled);
  const std::vector<bool>& ignored = chosen.no_features.ignored;
  const auto require_features = [&](bool are_left) {
    if (!are_left) reader.fail(first[0], "no column is left for a feature");
  };
  require_features(std::find(ignored.begin(), ignored.end(), false) != ignored.end());
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
  if (layout.header) layout.features = columns_named(options.feature_columns, first);
  const bool by_names = !layout.features.empty();
  if (by_names && labelled && !options.label_name.empty()) {
    layout.label = take(label_beside(layout.features, options.label_name, first, name), "label column");
  } else if (chosen.has_label()) {
    layout.label = take_chosen(chosen.label);
  }
  for (const Choice& target : chosen.targets) layout.targets.push_back(take_chosen(target));
  if (by_names) {
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
  require_features(!layout.features.empty());
  if (layout.header) require_own_names(layout, first, reader);
  if (!layout.header && options.header == CsvOptions::Header::detect)
    layout.hint = header_hint(first, {layout.label, ignored}, labelled);
  return layout;
}

}  // namespace reel::data
