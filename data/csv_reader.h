#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace reel::data {

/// What stands between two delimiters, and where.
struct CsvField {
  std::string text;
  std::size_t line = 0;
  std::size_t column = 0;  // of its first byte, from 1
  bool quoted = false;
};
using CsvRecord = std::vector<CsvField>;

/// Takes a text apart into records of fields (RFC 4180; LF or CRLF, a byte order mark is skipped, and so are
/// spaces around a field). What the fields mean is of no matter to it. A copy reads on by itself.
class CsvReader {
 public:
  /// Reads on in the text, which must stay. Throws DataError if it is no UTF-8 text.
  CsvReader(std::string_view text, const std::string& name, char delimiter);

  /// The next record, or false at the end. Throws DataError `NAME:LINE:COLUMN: reason`.
  bool next(CsvRecord& record);

  /// Throws DataError that names the place of the field.
  [[noreturn]] void fail(const CsvField& field, const std::string& reason) const;

 private:
  CsvField field();
  void quoted(CsvField& f);

  std::string_view text_;
  std::string name_;
  char delimiter_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  std::size_t line_start_ = 0;
};

}  // namespace reel::data
