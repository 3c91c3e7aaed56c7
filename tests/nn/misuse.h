#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "nn/nn.h"

// How a test of misuse looks at the error.

namespace reel::nn {

inline constexpr int another_line =
    0;  // of the test's file: where the model was called, or the struct that holds a member

// Checks the type, a part of the message, and that the message starts with the user's line: the one where
// expect_error itself is called, unless it is said to be another.
template <class Type, class Work>
void expect_error(Work work, const char* part, int line = __builtin_LINE(),
                  const char* file = __builtin_FILE()) {
  const std::string name = std::filesystem::path(file).filename().string();
  const std::string number = line == another_line ? "" : std::to_string(line) + ": error: ";
  try {
    work();
    ADD_FAILURE() << "no error; expected: " << part;
  } catch (const Type& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr(part));
    EXPECT_THAT(e.what(), testing::HasSubstr(name + ":" + number));
    EXPECT_THAT(e.place.file, testing::EndsWith(name));
    EXPECT_EQ(e.what(), at(e.place, "") + (e.what() + at(e.place, "").size()));
  }
}

// A module made with an outer scope's line of its own, as a model that is put together at run time.
struct Root final : Module {
  using Module::add_parameter;
  using Module::Module;
};

}  // namespace reel::nn
