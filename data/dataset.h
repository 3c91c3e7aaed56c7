#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace reel::data {

/// Samples with classes, or, for a regression, with numbers that are to be found.
struct Dataset {
  std::string name;
  std::int64_t count = 0;
  std::int64_t features = 0;
  std::vector<std::string> class_names;
  std::vector<float> inputs;         // [count, features]
  std::vector<std::int32_t> labels;  // [count], each in [0, classes); may be left out where there are targets
  std::optional<bool> header = {};   // whether the first line of a CSV file named the columns
  std::vector<std::string> feature_names = {};  // [features], of such a line; else empty
  std::string label_name = {};                  // of the class's column, of such a line; else empty
  std::int64_t outputs = 0;                     // of a regression, for a sample
  std::vector<float> targets = {};              // [count, outputs]

  std::int64_t classes() const { return static_cast<std::int64_t>(class_names.size()); }
  /// Whether there is one class, or several samples are all of the same: then there is nothing to learn of
  /// classes.
  bool has_one_class() const;
  /// Throws DataError if there are other than count [features] inputs.
  void check_inputs() const;
  /// The same, and if there are other than count labels (none is right, too, beside targets), one is of no
  /// class, or there are other than count [outputs] targets.
  void check() const;
};

struct Split {
  Dataset train;
  Dataset test;
};

/// Deals the samples out to two sets: of every class the share `test_fraction` (rounded) goes to the second,
/// or of all samples if they have no labels. Which ones follows from the seed alone; both keep the order of
/// the original. Throws DataError for a share that is not from 0 to 1, if one of the two would be empty, and
/// as Dataset::check does.
Split split(const Dataset& all, double test_fraction, std::uint64_t seed);

/// y = (x - mean) / deviation, feature by feature, however small or large its numbers are. A feature whose
/// deviation is within the rounding of its mean, at most 1e-7 |mean|, counts as constant and is only shifted.
struct Standardizer {
  std::vector<float> mean;       // [features]
  std::vector<float> deviation;  // [features]

  /// Throws DataError if there are no samples or no features, and as Dataset::check_inputs does.
  static Standardizer fit(const Dataset& train);
  /// Throws DataError if the number of features differs, and as Dataset::check_inputs does.
  void apply(Dataset& data) const;
};

/// The classes as "0", "1", ...
std::vector<std::string> numbered_classes(std::int64_t count);

}  // namespace reel::data
