#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"

namespace reel::data {

struct CsvOptions {
  enum class Header { detect, yes, no };
  /// detect: the first line is one if a column chosen below is a name in it and no number, or if no feature
  /// in it is a number and one is a name (not empty, NA, N/A, #N/A, null, None, ?, - or the like). Also if
  /// its class is a text and all others are numbers (and no feature is missing), or if it counts (0,1,2,...
  /// with or without the class) and its class is in no other line, though every other class has several. Any
  /// other line is a sample.
  Header header = Header::detect;
  char delimiter = ',';
  /// A name from the header or a number from 0; empty: the last column that is not ignored. A number that is
  /// also the name of another column is refused.
  std::string label_column = {};
  /// Columns, chosen as label_column is, that are passed over, whatever is in them. They need not be there
  /// where feature_columns are found.
  std::vector<std::string> ignored_columns = {};
  /// Whether all samples may be of one class, as of a file that is only measured.
  bool one_class = false;
  /// If not, samples have no class: every column is a feature, but for one that `label_column` names, which
  /// is passed over, too. Then detect: the first line is a header if such a column is a name in it and no
  /// number, or if no feature in it is a number and one is a name. If its features count (0,1,2,...), it is
  /// refused; else it is a sample.
  bool labelled = true;
  /// Of a regression: the columns, chosen as label_column is, whose numbers are to be found. Then there is no
  /// class.
  std::vector<std::string> target_columns = {};
  /// If the header has columns of all these names, they are the features, in this order, and other columns
  /// are passed over; then detect: the first line is a header if it has them. A header that has only some of
  /// them is refused. One that has none, or none at all: features are found by their place.
  std::vector<std::string> feature_columns = {};
  /// If features are found by their names, this is that of the class's column, in place of label_column; or
  /// the class is in the only column that is no feature.
  std::string label_name = {};
};

/// Reads numbers and a class per line, or what the options say (RFC 4180: quoted fields, doubled quotes; LF
/// or CRLF; a byte order mark is skipped). Classes are whole numbers from 0, or texts, which are numbered in
/// sorted order. Throws DataError `NAME:LINE:COLUMN: reason` for anything else: ragged lines, missing values,
/// numbers that are none or not finite, ... and `NAME: reason` if every sample has the same class and that is
/// not allowed.
Dataset parse_csv(std::string_view text, const std::string& name, const CsvOptions& options = {});

/// Reads a file. Throws IoError if it cannot be read.
Dataset read_csv(const std::filesystem::path& path, const CsvOptions& options = {});

}  // namespace reel::data
