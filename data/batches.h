#pragma once

#include <span>
#include <vector>

#include "data/dataset.h"

namespace reel::data {

/// A few samples; good until the next one is asked for.
struct Batch {
  std::span<const float> inputs;         // [count, features]
  std::span<const std::int32_t> labels;  // [count], or none if the set has none
  std::int64_t count = 0;
  std::span<const std::int32_t> rows = {};  // [count], of the set; empty in the set's own order
  std::span<const float> targets = {};      // [count, outputs], of a regression
};

/// Deals out a set in batches, in an order that follows from (seed, epoch) alone, so that a run can go on at
/// any of them. The last batch of an epoch is smaller if the numbers do not fit. Buffers are reused: once
/// warm it does not allocate.
class Batches {
 public:
  /// Keeps a reference to the set. Throws DataError if the batch is larger than it, or empty.
  Batches(const Dataset& data, std::int64_t batch, std::uint64_t seed);
  Batches(Dataset&&, std::int64_t, std::uint64_t) = delete;  // it would be gone before the first batch

  std::int64_t per_epoch() const;
  /// The batch of step `step`, counted over all epochs. Throws DataError if it is negative.
  const Batch& shuffled(std::int64_t step);
  /// Batch `index` of the set in its own order, for evaluation. Throws DataError if there is none.
  Batch in_order(std::int64_t index) const;

 private:
  const Dataset& data_;
  std::int64_t batch_;
  std::uint64_t seed_;
  std::int64_t epoch_ = -1;  // whose order is in order_
  std::vector<std::int32_t> order_;
  std::vector<float> inputs_;
  std::vector<std::int32_t> labels_;
  std::vector<float> targets_;
  Batch current_;
};

}  // namespace reel::data
