// Every reader of data against the corpus of good and bad files.

#include <gtest/gtest.h>

#include "data/csv.h"
#include "data/error.h"
#include "data/idx.h"
#include "data/npz.h"
#include "tests/support/replay_corpus.h"

namespace {

using namespace reel::data;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span<const char>(text));
}

std::string text_of(const NpyArray& array) {
  std::string text = corpus_shape(array.shape);
  for (const double value : array.to_doubles()) text += " " + corpus_number(value);
  return text;
}

TEST(Corpus, npy) {
  replay_corpus<DataError>("npy", 150, [](const CorpusCase& c) {
    return "ok " + text_of(parse_npy(bytes_of(c.content), c.name));
  });
}

TEST(Corpus, npz) {
  replay_corpus<DataError>("npz", 70, [](const CorpusCase& c) {
    std::string text = "ok";
    for (const auto& [key, array] : parse_npz(bytes_of(c.content), c.name))
      text += "; " + key + " " + text_of(array);
    return text;
  });
}

TEST(Corpus, idx) {
  replay_corpus<DataError>("idx", 100, [](const CorpusCase& c) {
    const IdxArray array = parse_idx(c.content, c.name);
    if (c.kind == "idx") {
      std::string text = "ok " + corpus_shape(array.shape);
      for (const float value : array.to_floats()) text += " " + corpus_number(static_cast<double>(value));
      return text;
    }
    const Dataset data = idx_pair(array, parse_idx(c.more, c.name), c.kind == "idx-pair-10" ? 10 : 0);
    std::string text =
        "ok " + std::to_string(data.count) + " of " + std::to_string(data.classes()) + " classes";
    for (std::size_t i = 0; i < data.labels.size(); ++i) {
      text += "; " + std::to_string(data.labels[i]) + ":";
      for (std::int64_t f = 0; f < data.features; ++f)
        text += " " +
                corpus_number(static_cast<double>(
                    data.inputs[i * static_cast<std::size_t>(data.features) + static_cast<std::size_t>(f)]));
    }
    return text;
  });
}

TEST(Corpus, csv) {
  replay_corpus<DataError>("csv", 100, [](const CorpusCase& c) {
    CsvOptions options;
    if (c.more.starts_with("label=")) options.label_column = c.more.substr(6);
    if (c.more.starts_with("ignore=")) options.ignored_columns = {c.more.substr(7)};
    const Dataset data = parse_csv(c.content, c.name, options);
    std::string text = "ok " + std::to_string(data.features) + " features, classes";
    for (const std::string& name : data.class_names) text += " " + name;
    for (std::size_t i = 0; i < data.labels.size(); ++i) {
      text += "; " + std::to_string(data.labels[i]) + ":";
      for (std::int64_t f = 0; f < data.features; ++f)
        text += " " +
                corpus_number(static_cast<double>(
                    data.inputs[i * static_cast<std::size_t>(data.features) + static_cast<std::size_t>(f)]));
    }
    return text;
  });
}

}  // namespace
