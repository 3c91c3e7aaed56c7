#include "data/csv_header.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "data/csv_field.h"

namespace reel::data {
namespace {

bool features_count(const CsvRecord& first, const NoFeatures& others, std::size_t start, bool with_label,
                    bool with_ignored) {
  std::size_t n = 0;
  for (std::size_t c = start; c < first.size(); ++c) {
    if (c == others.label ? !with_label : others.ignored[c] && !with_ignored) continue;
    if (!others.has(c) && first[c].text != std::to_string(n)) return false;
    ++n;
  }
  return true;
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

}  // namespace

bool features_count(const CsvRecord& first, const NoFeatures& others, std::size_t start) {
  for (const bool with_label : {true, false}) {
    for (const bool with_ignored : {true, false}) {
      if (features_count(first, others, start, with_label, with_ignored)) return true;
    }
  }
  return false;
}

bool names_a_chosen_column(const CsvRecord& first, std::vector<std::size_t> chosen,
                           const std::vector<bool>& ignored, CsvReader ahead) {
  const auto has_names_beside = [&](std::size_t column) {
    const Features others(first, {column, ignored});
    return others.may_be_names() && others.names > 0;
  };
  const auto is_ignored = [&](std::size_t column) { return ignored[column]; };
  const bool one_is_ignored = std::any_of(chosen.begin(), chosen.end(), is_ignored);
  if (one_is_ignored && has_names_beside(no_column)) return true;
  if (std::any_of(chosen.begin(), chosen.end(),
                  [&](std::size_t column) { return !is_ignored(column) && has_names_beside(column); }))
    return true;
  for (CsvRecord record; !chosen.empty() && ahead.next(record);) {
    if (record.size() != first.size()) continue;
    std::erase_if(chosen, [&](std::size_t column) { return record[column].text == first[column].text; });
  }
  return !chosen.empty();
}

bool names_columns(const CsvRecord& first, const NoFeatures& others, CsvReader ahead) {
  const Features features(first, others);
  if (features.are_names()) return true;
  if (!features.may_be_names()) return false;

  // Where features are numbers, the class tells: a text where all others are numbers, or, in a line that
  // counts, one that no other line has, though every other class has several.
  const std::string& own = first[others.label].text;
  const bool text_label = !is_number(own);
  if (text_label && stands_for_nothing(own)) return false;
  bool counts = features.count > 1 &&
                features_count(first, text_label ? others : NoFeatures{.ignored = others.ignored});
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

// What is in a column that is passed over means nothing.
bool names_columns_without_class(const CsvRecord& first, const NoFeatures& others, const CsvReader& reader) {
  const auto ignored = std::count(others.ignored.begin(), others.ignored.end(), true);
  if (static_cast<std::ptrdiff_t>(first.size()) - ignored > 1 && features_count(first, others)) {
    reader.fail(
        first[0],
        "this line may be a sample, or name the columns by numbers, as pandas does: say with --header "
        "yes or no whether it names them");
  }
  return Features(first, others).are_names();
}

}  // namespace reel::data
