#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "data/dataset.h"

namespace reel::data {

struct CsvOptions {
  enum class Header { detect, yes, no };
  /// detect: the first line is one if a feature in it is not a number, if `label_column` is a name in it, or
  /// if its class is a text and all others are numbers. Also if it counts (0,1,2,... or 0,1,2,...,class) and
  /// its class is in no other line, though every other class is in several.
  Header header = Header::detect;
  char delimiter = ',';
  std::string label_column = {};  ///< a name from the header or a number from 0; empty: the last column
};

/// Reads numbers and a class per line (RFC 4180: quoted fields, doubled quotes; LF or CRLF; a byte order mark
/// is skipped). Classes are whole numbers from 0, or texts, which are numbered in sorted order. Throws
/// DataError `NAME:LINE:COLUMN: reason` for anything else: ragged lines, missing values, numbers that are
/// none or not finite, ... and `NAME: reason` if every sample has the same class.
Dataset parse_csv(std::string_view text, const std::string& name, const CsvOptions& options = {});

/// Reads a file. Throws IoError if it cannot be read.
Dataset read_csv(const std::filesystem::path& path, const CsvOptions& options = {});

}  // namespace reel::data
