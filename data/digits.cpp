#include "data/digits.h"

#include "data/csv.h"
#include "data/embedded.h"

namespace reel::data {

Dataset digits() {
  Dataset data = parse_csv(embedded::digits_csv, "digits", {.header = CsvOptions::Header::no});
  data.header.reset();  // it is no file of the user
  for (float& x : data.inputs) x /= 16;
  return data;
}

Dataset iris() {
  // The first line holds the counts and the names of the classes.
  const std::string_view text = embedded::iris_csv;
  Dataset data = parse_csv(text.substr(text.find('\n') + 1), "iris", {.header = CsvOptions::Header::no});
  data.header.reset();
  data.class_names = {"setosa", "versicolor", "virginica"};
  return data;
}

}  // namespace reel::data
