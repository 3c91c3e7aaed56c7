// The readers of safetensors and checkpoints against the corpus of good and bad files, and against files that
// are too large for it.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>

#include "autograd/parameter.h"
#include "nn/checkpoint.h"
#include "nn/error.h"
#include "nn/safetensors.h"
#include "nn/weights.h"
#include "tests/support/replay_corpus.h"

namespace {

using namespace reel::nn;

Safetensors parse(const std::string& file, const std::string& name = "file") {
  const auto bytes = std::as_bytes(std::span<const char>(file));
  return Safetensors::parse({bytes.begin(), bytes.end()}, name);
}

std::string with_length(const std::string& header, const std::string& data = "") {
  std::string file;
  for (unsigned i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i) & 0xFF);
  return file + header + data;
}

std::string number(float value) {
  if (value == value) return corpus_number(static_cast<double>(value));
  char text[16];
  std::snprintf(text, sizeof text, "nan:%08x", std::bit_cast<std::uint32_t>(value));
  return text;
}

TEST(Corpus, safetensors) {
  replay_corpus<FileError>("safetensors", 250, [](const CorpusCase& c) {
    const Safetensors file = parse(c.content, c.name);
    std::string text = "ok";
    for (const SafetensorsEntry& e : file.entries()) {
      text += "; " + e.name + " " + std::string(name_of(e.dtype)) + " " + corpus_shape(e.shape);
      if (e.dtype == Dtype::f32) {
        for (const float value : file.to_floats(e)) text += " " + number(value);
      } else if (e.dtype >= Dtype::f16) {
        for (const double value : file.to_doubles(e)) text += " " + corpus_number(value);
      } else {
        EXPECT_THROW(file.to_floats(e), FileError);
      }
    }
    for (const auto& [key, value] : file.metadata()) text += " | " + key + "=" + value;
    return text;
  });
}

TEST(Corpus, checkpoint) {
  replay_corpus<FileError>("checkpoint", 40, [](const CorpusCase& c) {
    const Safetensors file = parse(c.content, c.name);
    verify_checkpoint(file);
    std::string text = "ok step " + std::to_string(step_of(file));
    for (const auto& [key, value] : notes_of(file)) text += "; " + key + "=" + value;
    return text;
  });
}

TEST(Safetensors, twenty_thousand_tensors_on_one_range_are_refused) {
  std::string header = "{";
  for (int i = 0; i < 20'000; ++i)
    header += (i == 0 ? "\"t" : ",\"t") + std::to_string(i) +
              "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}";
  EXPECT_THROW(parse(with_length(header + "}", "abcd")), FileError);
}

TEST(Safetensors, twenty_thousand_empty_tensors_are_read) {
  std::string header = "{";
  for (int i = 0; i < 20'000; ++i)
    header += (i == 0 ? "\"t" : ",\"t") + std::to_string(i) +
              "\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}";
  EXPECT_EQ(parse(with_length(header + "}")).entries().size(), 20'000U);
}

TEST(Safetensors, a_header_of_many_megabytes_is_read_in_one_pass) {
  std::string header = "{\"__metadata__\":{\"k\":\"" + std::string(20'000'000, 'x') + "\"}}";
  EXPECT_EQ(parse(with_length(header)).metadata().at("k").size(), 20'000'000U);
}

TEST(Safetensors, writer_and_reader_agree_bit_for_bit_in_any_order) {
  const std::int64_t three[] = {3};
  const float x[] = {std::bit_cast<float>(0x7F800001U), -0.0F, 1e-45F};
  const std::int64_t y[] = {INT64_MIN, 0, INT64_MAX};
  SafetensorsWriter a, b;
  a.add<float>("x\n\"\xC3\xA4", three, x);
  a.add<std::int64_t>("y", three, y);
  a.metadata("k", "v");
  b.metadata("k", "v");
  b.add<std::int64_t>("y", three, y);
  b.add<float>("x\n\"\xC3\xA4", three, x);
  EXPECT_EQ(a.bytes(), b.bytes());
  const Safetensors file = parse(a.bytes());
  EXPECT_EQ(file.values<std::int64_t>(file.at("y")), std::vector<std::int64_t>(y, y + 3));
  EXPECT_EQ(std::memcmp(file.at("x\n\"\xC3\xA4").bytes.data(), x, sizeof x), 0);
  EXPECT_THROW(file.at("z"), FileError);
  EXPECT_THROW(file.values<float>(file.at("y")), FileError);
}

TEST(Safetensors, writer_refuses_what_the_reader_would) {
  SafetensorsWriter writer;
  const std::int64_t two[] = {2};
  const std::int64_t negative[] = {-2, -1};
  const std::int64_t huge[] = {1LL << 47, 1LL << 47};
  const std::vector<std::int64_t> many(33, 1);
  const float x[] = {1, 2};
  writer.add<float>("x", two, x);
  EXPECT_THROW(writer.add<float>("x", two, x), std::invalid_argument);
  EXPECT_THROW(writer.add<float>("__metadata__", two, x), std::invalid_argument);
  EXPECT_THROW(writer.add<float>("\xFF", two, x), std::invalid_argument);
  EXPECT_THROW(writer.add<float>("n", negative, x), std::invalid_argument);
  EXPECT_THROW(writer.add<float>("h", huge, {}), std::invalid_argument);
  EXPECT_THROW(writer.add<float>("m", many, std::span(x, 1)), std::invalid_argument);
  EXPECT_THROW(writer.add<float>("s", two, std::span(x, 1)), std::invalid_argument);
  writer.metadata("k", "v");
  EXPECT_THROW(writer.metadata("k", "w"), std::invalid_argument);
  EXPECT_THROW(writer.metadata("\xC0\xAF", "w"), std::invalid_argument);
  EXPECT_THROW(writer.metadata("l", "\xED\xA0\x80"), std::invalid_argument);
}

// Whoever makes a file chooses its names; the messages are not as long.
TEST(Safetensors, long_names_and_many_problems_are_cut_in_messages) {
  const auto refusal = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const FileError& e) {
      return e.what();
    }
    return "taken";
  };
  const std::string name(1 << 20, 'x');
  EXPECT_EQ(refusal([&] { parse(with_length("{\"" + name + "\":7}")); }),
            "file: tensor \"" + name.substr(0, 80) + "\"... (1048576 bytes): it is a number, not an object");

  SafetensorsWriter writer;
  for (int i = 0; i < 1000; ++i) writer.add<float>("w" + std::to_string(i), {}, std::vector<float>(1));
  const Safetensors many = parse(writer.bytes());
  reel::ParameterBlock none;
  const std::string said = refusal([&] { load_weights(many, none); });
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 101) << said;
  EXPECT_TRUE(said.ends_with("is not a parameter of the model\n    and 900 more")) << said;
}

TEST(Safetensors, read_says_what_it_cannot_open) {
  EXPECT_THROW(Safetensors::read("/nonexistent"), IoError);
  EXPECT_THROW(Safetensors::read("/"), IoError);
  EXPECT_THROW(Safetensors::read("/dev/zero"), IoError);
}

}  // namespace
