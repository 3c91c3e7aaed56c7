#pragma once

#include "data/dataset.h"

namespace reel::data {

// Points in the plane, the classes in turn; `noise` is the deviation of the normal noise on every coordinate.
// Each throws DataError for fewer samples than classes, fewer than 2 classes, or noise that is not >= 0.

struct SpiralsOptions {
  std::int64_t count = 1500;
  std::int64_t classes = 3;
  double noise = 0.1;
  std::uint64_t seed = 1;
};
/// Arms that wind once around the origin.
Dataset spirals(const SpiralsOptions& options = {});

struct MoonsOptions {
  std::int64_t count = 1500;
  double noise = 0.1;
  std::uint64_t seed = 1;
};
/// Two half circles that reach into each other: two classes.
Dataset moons(const MoonsOptions& options = {});

struct BlobsOptions {
  std::int64_t count = 1500;
  std::int64_t classes = 3;
  double noise = 0.2;
  std::uint64_t seed = 1;
};
/// Clouds around points on a circle of radius 1.
Dataset blobs(const BlobsOptions& options = {});

}  // namespace reel::data
