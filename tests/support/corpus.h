#pragma once

#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
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

inline std::vector<CorpusCase> read_corpus(const std::string& kind) {
  std::ifstream file(REEL_SOURCE_DIR "/tests/corpus/" + kind + ".tsv");
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

/// A number as the expectations write it.
inline std::string corpus_number(double value) {
  if (std::isnan(value)) return "nan";
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

inline std::string corpus_shape(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t n : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

/// Runs `read` on every case: it returns what was read, as "ok ..." would say it, or throws an Error.
template <class Error>
void replay_corpus(const std::string& kind, std::size_t at_least,
                   const std::function<std::string(const CorpusCase&)>& read) {
  const std::vector<CorpusCase> cases = read_corpus(kind);
  EXPECT_GE(cases.size(), at_least);
  for (const CorpusCase& c : cases) {
    std::string said;
    bool accepted = false;
    try {
      said = read(c);
      accepted = true;
    } catch (const Error& e) {
      said = e.what();
      EXPECT_LT(said.size(), 1000U) << c.name;
      for (const char byte : said) EXPECT_FALSE(byte >= 0 && byte < 0x20 && byte != '\n') << c.name;
    }
    if (c.expected.starts_with("ok")) {
      EXPECT_EQ(said, c.expected) << c.name;
    } else {
      EXPECT_FALSE(accepted) << c.name << ": accepted as " << said.substr(0, 200);
      EXPECT_NE(said.find(c.expected), std::string::npos)
          << c.name << "\n  said:     " << said << "\n  expected: " << c.expected;
    }
  }
}
