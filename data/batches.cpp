#include "data/batches.h"

#include <algorithm>

#include "data/error.h"
#include "kernels/philox.h"

namespace reel::data {
namespace {
constexpr std::uint64_t shuffle_stream = 0x73687566;  // "shuf"

// The rows [first, first + count) of all [rows, width]; none if there are none.
template <class T>
std::span<const T> rows_of(std::span<const T> all, std::int64_t width, std::int64_t first,
                           std::int64_t count) {
  if (all.empty()) return {};
  return all.subspan(static_cast<std::size_t>(first * width), static_cast<std::size_t>(count * width));
}
}  // namespace

Batches::Batches(const Dataset& data, std::int64_t batch, std::uint64_t seed)
    : data_(data), batch_(batch), seed_(seed) {
  data.check();
  if (data.count == 0) throw DataError(data.name + ": it has no samples");
  if (batch < 1 || batch > data.count) {
    throw DataError("a batch of " + std::to_string(batch) + " samples does not fit " + data.name +
                    ", which has " + std::to_string(data.count) +
                    " for training; choose a batch between 1 and " + std::to_string(data.count));
  }
  order_.resize(static_cast<std::size_t>(data.count));
  inputs_.resize(static_cast<std::size_t>(batch * data.features));
  labels_.resize(data.labels.empty() ? 0 : static_cast<std::size_t>(batch));
  targets_.resize(static_cast<std::size_t>(batch * data.outputs));
}

std::int64_t Batches::per_epoch() const { return (data_.count + batch_ - 1) / batch_; }

const Batch& Batches::shuffled(std::int64_t step) {
  if (step < 0) throw DataError(data_.name + ": there is no step " + std::to_string(step));
  const std::int64_t epoch = step / per_epoch();
  if (epoch != epoch_) {
    const kernels::Philox numbers(seed_, shuffle_stream);
    numbers.permutation(static_cast<std::uint64_t>(epoch), std::span<std::int32_t>(order_));
    epoch_ = epoch;
  }
  const std::int64_t first = step % per_epoch() * batch_;
  const std::int64_t count = std::min(batch_, data_.count - first);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t from = order_[static_cast<std::size_t>(first + i)];
    std::copy_n(data_.inputs.begin() + from * data_.features, data_.features,
                inputs_.begin() + i * data_.features);
    if (!labels_.empty()) labels_[static_cast<std::size_t>(i)] = data_.labels[static_cast<std::size_t>(from)];
    std::copy_n(data_.targets.begin() + from * data_.outputs, data_.outputs,
                targets_.begin() + i * data_.outputs);
  }
  current_ = {.inputs = rows_of<float>(inputs_, data_.features, 0, count),
              .labels = rows_of<std::int32_t>(labels_, 1, 0, count),
              .count = count,
              .rows = rows_of<std::int32_t>(order_, 1, first, count),
              .targets = rows_of<float>(targets_, data_.outputs, 0, count)};
  return current_;
}

Batch Batches::in_order(std::int64_t index) const {
  if (index < 0 || index >= per_epoch()) {
    throw DataError(data_.name + ": there is no batch " + std::to_string(index) + "; there are " +
                    std::to_string(per_epoch()));
  }
  const std::int64_t first = index * batch_;
  const std::int64_t count = std::min(batch_, data_.count - first);
  return {.inputs = rows_of<float>(data_.inputs, data_.features, first, count),
          .labels = rows_of<std::int32_t>(data_.labels, 1, first, count),
          .count = count,
          .targets = rows_of<float>(data_.targets, data_.outputs, first, count)};
}

}  // namespace reel::data
