#include "examples/column_list.h"

#include <utility>

#include "data/csv_reader.h"
#include "data/error.h"
#include "data/file.h"

namespace reel::examples {

CLI::Validator column_list() {
  return CLI::Validator(
      [](std::string& text) {
        constexpr const char* wanted = "must be names or numbers of columns, with commas between them";
        try {
          read_column_list(text);
          if (!text.empty()) return std::string();
        } catch (const data::DataError&) {
        }
        return wanted + (", not " + (text.empty() ? "empty" : data::excerpt(text)));
      },
      "");
}

std::vector<std::string> read_column_list(const std::string& text) {
  const std::string name = "a list of columns";
  data::CsvReader reader(text, name, ',');
  data::CsvRecord record;
  std::vector<std::string> columns;
  if (text.size() > longest_column_list) throw data::DataError(name + ": it is too long");
  if (text == "none" || !reader.next(record)) return columns;
  for (const data::CsvField& field : record) {
    if (field.text.empty() && !field.quoted) reader.fail(field, "a column without a name");
    columns.push_back(field.text);
  }
  const data::CsvField last = std::move(record.back());
  if (reader.next(record)) reader.fail(last, "it goes on behind the end of the line");
  return columns;
}

}  // namespace reel::examples
