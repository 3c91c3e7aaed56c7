#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "data/csv.h"
#include "data/csv_header.h"
#include "data/csv_reader.h"

namespace reel::data {

/// What the first line of a CSV file is, and what its columns hold.
struct CsvLayout {
  bool header = false;
  std::size_t label = no_column;
  std::vector<std::size_t> targets = {};
  std::vector<std::size_t> features = {};  // their columns, in order
  std::string hint = {};                   // for a message, if the first line cannot be read as a sample
};

/// That of a file whose first line is `first`; `reader` stands behind it. If it is not `labelled`, a column
/// that options.label_column names is passed over. Throws DataError if a column that the options name is not
/// there, or is named twice, if no feature is left, or if nothing tells what the first line is.
CsvLayout csv_layout(const CsvRecord& first, const CsvReader& reader, const CsvOptions& options,
                     bool labelled, const std::string& name);

}  // namespace reel::data
