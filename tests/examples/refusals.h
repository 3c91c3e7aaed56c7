#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nn/safetensors.h"
#include "tests/examples/program.h"

namespace reel::examples {

/// What the program must not do to its user: break what is not its own, trust what a file says of itself, or
/// pass off as good what is not.
class Refusals : public testing::Test {
 protected:
  Workplace place;
  Ran reel(const std::vector<std::string>& words) { return run_reel(words, place.path()); }

  // The best model of a short run, with another configuration: nothing but its own words vouches for it.
  void forge(const std::string& from, const std::string& to,
             const std::function<void(nlohmann::ordered_json&)>& change) {
    const nn::Safetensors file = nn::Safetensors::read(place / from);
    nn::SafetensorsWriter writer;
    for (const nn::SafetensorsEntry& e : file.entries()) writer.add(e.name, e.dtype, e.shape, e.bytes);
    nlohmann::ordered_json config = nlohmann::ordered_json::parse(file.metadata().at("config"));
    change(config);
    writer.metadata("format", "reel-model");
    writer.metadata("config", config.dump());
    writer.write(place / to);
  }
  void write_text() {  // cat.txt
    std::string text;
    for (int i = 0; i < 60; ++i) text += "the cat sat on the mat.\n";
    write(place / "cat.txt", text);
  }
  // A model that knows the bytes of a small text.
  void train_on_text(const std::string& to, const std::vector<std::string>& more = {}) {
    write_text();
    std::vector<std::string> words = {"train",   "--data", "cat.txt", "--layers", "1",     "--heads", "1",
                                      "--width", "8",      "--steps", "2",        "--out", to};
    words.insert(words.end(), more.begin(), more.end());
    ASSERT_EQ(reel(words).code, 0);
  }
  // Two models, sums.safetensors and text.safetensors, with finite weights that are too large to compute
  // with.
  void write_huge_models() {
    ASSERT_EQ(
        reel({"train", "--layers", "1", "--heads", "1", "--width", "8", "--steps", "2", "--out", "sums"})
            .code,
        0);
    train_on_text("text");
    for (const std::string name : {"sums", "text"}) {
      const nn::Safetensors file = nn::Safetensors::read(place / (name + "/best.safetensors"));
      nn::SafetensorsWriter writer;
      for (const nn::SafetensorsEntry& e : file.entries()) {
        std::vector<float> values(e.bytes.size() / sizeof(float), -1e30F);
        for (std::size_t i = 1; i < values.size(); i += 2) values[i] = 1e30F;
        writer.add<float>(e.name, e.shape, values);
      }
      writer.metadata("format", "reel-model");
      writer.metadata("config", file.metadata().at("config"));
      writer.write(place / (name + ".safetensors"));
    }
  }
  void refused_as_model(const std::vector<std::string>& words, const std::string& reason) {
    const Ran ran = reel(words);
    EXPECT_EQ(ran.code, 4) << ran.err;
    EXPECT_EQ(ran.out, "");
    EXPECT_THAT(ran.err, testing::HasSubstr("forged.safetensors"));
    EXPECT_THAT(ran.err, testing::HasSubstr(reason));
  }
};

}  // namespace reel::examples
