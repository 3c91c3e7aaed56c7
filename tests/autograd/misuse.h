#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <string>

#include "autograd/autograd.h"

// What a user can do wrong, and the error that says so: typed, with the op and the line, in every build.

namespace reel {

// Runs the statement and checks the type and a part of the message; the message must name the file of the
// test as the user's place.
#define EXPECT_ERROR(statement, Type, part)                                                                \
  do {                                                                                                     \
    try {                                                                                                  \
      statement;                                                                                           \
      ADD_FAILURE() << "no error";                                                                         \
    } catch (const Type& e) {                                                                              \
      EXPECT_THAT(e.what(), testing::HasSubstr(part));                                                     \
      EXPECT_THAT(e.what(), testing::HasSubstr(std::filesystem::path(__FILE__).filename().string() + ":" + \
                                               std::to_string(__LINE__)));                                 \
    }                                                                                                      \
  } while (false)

class Misuse : public testing::Test {
 protected:
  Tape tape{Precision::f64};
  const double inf = std::numeric_limits<double>::infinity();
};

}  // namespace reel
