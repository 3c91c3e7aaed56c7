#pragma once

#include <charconv>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

/// A line of tests/corpus/*.tsv; see corpus_format.py there.
struct CorpusCase {
  std::string kind;
  std::string name;
  std::string expected;
  std::string content;
  std::string more;
};

/// The text with \xNN replaced by a byte and \*COUNT(..) by its repetition.
inline std::string unescaped(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    if (text[0] != '\\') {
      bytes += text[0];
      text.remove_prefix(1);
    } else if (text.size() >= 4 && text[1] == 'x') {
      unsigned byte = 0;
      std::from_chars(text.data() + 2, text.data() + 4, byte, 16);
      bytes += static_cast<char>(byte);
      text.remove_prefix(4);
    } else {
      std::size_t count = 0;
      const char* open = std::from_chars(text.data() + 2, text.data() + text.size(), count).ptr;
      const auto start = static_cast<std::size_t>(open - text.data()) + 1;
      const std::size_t end = text.find(')', start);
      if (end == std::string_view::npos) throw std::runtime_error("corpus: a repetition without its end");
      const std::string unit = unescaped(text.substr(start, end - start));
      for (std::size_t i = 0; i < count; ++i) bytes += unit;
      text.remove_prefix(end + 1);
    }
  }
  return bytes;
}

inline std::vector<CorpusCase> read_corpus_file(const std::string& path) {
  std::ifstream file(path);
  std::vector<CorpusCase> cases;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("# ")) continue;
    std::vector<std::string> fields(1);
    for (const char c : line) {
      if (c == '\t') {
        fields.emplace_back();
      } else {
        fields.back() += c;
      }
    }
    if (fields.size() != 5)
      throw std::runtime_error("corpus: a line without 5 fields: " + line.substr(0, 80));
    cases.push_back({fields[0], fields[1], unescaped(fields[2]), unescaped(fields[3]), unescaped(fields[4])});
  }
  return cases;
}
