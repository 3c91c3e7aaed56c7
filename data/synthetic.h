#pragma once

#include "data/dataset.h"

namespace reel::data {

struct SyntheticOptions {
  std::int64_t count = 1500;
  std::int64_t classes = 3;
  double noise = 0.1;  ///< deviation of the normal noise on every coordinate
  std::uint64_t seed = 1;
};

// Points in the plane, the classes in turn. Each throws DataError for fewer samples than classes, or fewer
// than 2 classes.

/// Arms that wind once around the origin.
Dataset spirals(const SyntheticOptions& options = {});
/// Two half circles that reach into each other; `classes` must be 2.
Dataset moons(const SyntheticOptions& options = {.classes = 2});
/// Clouds around points on a circle of radius 1.
Dataset blobs(const SyntheticOptions& options = {.noise = 0.2});

}  // namespace reel::data
