#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "autograd/error.h"
#include "autograd/place.h"

// Checks of options: each throws ValueError that names the line, the field, its value and what is wrong with
// it.

namespace reel::nn {

/// What a check says about a number: `place: error: owner: field = value reason`.
struct Field {
  const char* owner;
  const char* name;
  Place where;
};

[[noreturn]] inline void refuse(const std::string& value, const Field& field, const std::string& reason) {
  throw ValueError(field.where, at(field.where, std::string(field.owner) + ": " + field.name + " = " + value +
                                                    " " + reason));
}
[[noreturn]] inline void refuse(double value, const Field& field, const std::string& reason) {
  refuse(short_number(value), field, reason);
}

inline void check_positive(double value, const Field& field) {
  if (!(value > 0)) refuse(value, field, "is not positive");
}
inline void check_not_negative(double value, const Field& field) {
  if (!(value >= 0)) refuse(value, field, "is not a number >= 0");
}
/// Kernels compute in float: 1e39 is infinite there and 1e-46 is zero.
inline void check_finite_float(double value, const Field& field) {
  if (!std::isfinite(static_cast<float>(value))) refuse(value, field, "is not finite as a float");
}
inline void check_not_negative_float(double value, const Field& field) {
  check_not_negative(value, field);
  check_finite_float(value, field);
}
inline void check_positive_float(double value, const Field& field) {
  check_positive(value, field);
  check_finite_float(value, field);
  if (!(static_cast<float>(value) > 0)) refuse(value, field, "is zero as a float");
}
/// In [0, 1) as a float too, where 0.99999999 is 1.
inline void check_fraction(double value, const Field& field) {
  if (!(value >= 0 && static_cast<float>(value) < 1)) refuse(value, field, "is not in [0, 1)");
}
inline void check_at_least(std::int64_t value, std::int64_t least, const Field& field) {
  if (value < least) refuse(std::to_string(value), field, "is less than " + std::to_string(least));
}

/// The size of a dimension, if it is one.
inline std::int64_t checked_size(std::int64_t size, const Field& field) {
  check_at_least(size, 0, field);
  if (size > std::numeric_limits<std::int32_t>::max())
    refuse(std::to_string(size), field, "is not below 2^31");
  return size;
}
/// One that is at least 1.
inline std::int64_t checked_positive_size(std::int64_t size, const Field& field) {
  check_at_least(size, 1, field);
  return checked_size(size, field);
}

/// A width, which so many heads share; rotary positions turn pairs of a head's channels.
inline void check_heads(std::int64_t width, std::int64_t heads, bool rotary, const char* owner, Place where) {
  const auto fail = [&](const std::string& reason, const std::string& help) {
    throw ValueError(where, at(where, std::string(owner) + ": " + reason) + help_line(help));
  };
  if (heads < 1) fail(std::to_string(heads) + " heads", "there must be at least one");
  if (width % heads != 0) {
    const std::int64_t below = width / heads * heads;
    fail(std::to_string(heads) + " heads do not divide the width " + std::to_string(width),
         "with these heads, a width of " + (below > 0 ? std::to_string(below) + " or " : "") +
             std::to_string(below + heads) + " would do");
  }
  if (rotary && width / heads % 2 != 0) {
    fail("rotary positions turn pairs of channels, a head has " + std::to_string(width / heads),
         "with " + std::to_string(heads) + " heads, a width of " + std::to_string(width + heads) +
             " would do");
  }
}

}  // namespace reel::nn
