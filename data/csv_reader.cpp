#include "data/csv_reader.h"

#include <algorithm>

#include "data/error.h"
#include "data/utf8.h"

namespace reel::data {
namespace {

constexpr std::size_t most_columns = 100'000;

}  // namespace

CsvReader::CsvReader(std::string_view text, const std::string& name, char delimiter)
    : text_(text), name_(name), delimiter_(delimiter) {
  if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
  if (text_.starts_with("\xFF\xFE") || text_.starts_with("\xFE\xFF")) {
    throw DataError(name_ + ":1:1: the file is UTF-16; save it as UTF-8");
  }
  const std::size_t nul = text_.find('\0');
  if (nul != std::string_view::npos) {
    throw DataError(name_ + ": byte " + std::to_string(nul) + " is NUL: this is no text file");
  }
  const std::size_t valid = valid_utf8(text_);
  if (valid != text_.size()) {
    const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(valid), '\n');
    throw DataError(name_ + ":" + std::to_string(line) + ": byte " + std::to_string(valid) +
                    ": the text is not UTF-8; save it as UTF-8");
  }
}

bool CsvReader::next(CsvRecord& record) {
  record.clear();
  if (at_ == text_.size()) return false;
  while (true) {
    record.push_back(field());
    if (record.size() > most_columns)
      fail(record.back(), "more than " + std::to_string(most_columns) + " columns");
    if (at_ == text_.size()) return true;
    const char c = text_[at_++];
    if (c == delimiter_) continue;
    if (c == '\r') {
      if (at_ == text_.size() || text_[at_] != '\n') {
        throw DataError(name_ + ":" + std::to_string(line_) +
                        ": a carriage return without a line feed; end lines with LF or CRLF");
      }
      ++at_;
    }
    ++line_;
    line_start_ = at_;
    return true;
  }
}

void CsvReader::fail(const CsvField& field, const std::string& reason) const {
  throw DataError(name_ + ":" + std::to_string(field.line) + ":" + std::to_string(field.column) + ": " +
                  reason);
}

CsvField CsvReader::field() {
  CsvField f;
  f.line = line_;
  f.column = at_ - line_start_ + 1;
  while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  if (at_ < text_.size() && text_[at_] == '"') {
    quoted(f);
  } else {
    const std::size_t start = at_;
    while (at_ < text_.size() && text_[at_] != delimiter_ && text_[at_] != '\n' && text_[at_] != '\r') ++at_;
    f.text = std::string(text_.substr(start, at_ - start));
    while (!f.text.empty() && f.text.back() == ' ') f.text.pop_back();
  }
  return f;
}

void CsvReader::quoted(CsvField& f) {
  f.quoted = true;
  ++at_;
  while (true) {
    if (at_ == text_.size()) fail(f, "a quote is opened here and never closed");
    const char c = text_[at_++];
    if (c == '"') {
      if (at_ == text_.size() || text_[at_] != '"') break;
      ++at_;
    }
    if (c == '\n') {
      ++line_;
      line_start_ = at_;
    }
    f.text += c;
  }
  while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  if (at_ < text_.size() && text_[at_] != delimiter_ && text_[at_] != '\n' && text_[at_] != '\r') {
    fail(f, "text follows the closing quote; quotes inside a quoted field are doubled");
  }
}

}  // namespace reel::data
