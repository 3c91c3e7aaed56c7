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
  void refused_as_model(const std::vector<std::string>& words, const std::string& reason) {
    const Ran ran = reel(words);
    EXPECT_EQ(ran.code, 4) << ran.err;
    EXPECT_EQ(ran.out, "");
    EXPECT_THAT(ran.err, testing::HasSubstr("forged.safetensors"));
    EXPECT_THAT(ran.err, testing::HasSubstr(reason));
  }
};

}  // namespace reel::examples
