#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/corpus.h"

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
  const std::vector<CorpusCase> cases = read_corpus_file(REEL_SOURCE_DIR "/tests/corpus/" + kind + ".tsv");
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
