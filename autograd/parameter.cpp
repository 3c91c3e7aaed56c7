#include "autograd/parameter.h"

#include <algorithm>
#include <cstring>

#include "autograd/error.h"

namespace reel {
namespace {

constexpr std::int64_t floats_per_line = 16;  // 64 bytes

}  // namespace

std::size_t ParameterBlock::add(std::string name, const Shape& shape, bool decay) {
  if (names_.contains(name)) throw ValueError(Place{}, "parameter \"" + name + "\" is declared twice");
  const std::int64_t room = (shape.size() + floats_per_line - 1) / floats_per_line * floats_per_line;
  if (length_ + room > capacity_) {
    const std::int64_t wanted = std::max({length_ + room, 2 * capacity_, floats_per_line * 16});
    kernels::Block<float> values = kernels::make_zero_block<float>(wanted, value_stagger);
    kernels::Block<float> gradients = kernels::make_zero_block<float>(wanted, gradient_stagger);
    const std::size_t bytes = static_cast<std::size_t>(length_) * sizeof(float);
    if (bytes > 0) std::memcpy(values.get(), values_.get(), bytes);
    if (std::ranges::any_of(entries_, &Entry::has_gradient))
      std::memcpy(gradients.get(), gradients_.get(), bytes);
    values_ = std::move(values);
    gradients_ = std::move(gradients);
    capacity_ = wanted;
  }
  // Only what is in use is touched: the rest of the capacity costs no memory, nor do gradients before the
  // first backward, or of what never has one. Values take theirs now, though they are zeros already: a lack
  // of it shows before anything is trained.
  std::fill_n(values_.get() + length_, room, 0.0F);
  // What may throw comes before anything has changed.
  if (entries_.size() == entries_.capacity()) entries_.reserve(2 * entries_.size() + 1);
  names_.insert(name);
  entries_.push_back({std::move(name), shape, length_, decay});
  length_ += room;
  return entries_.size() - 1;
}

std::int64_t ParameterBlock::parameters() const {
  std::int64_t total = 0;
  for (const Entry& e : entries_) total += e.size();
  return total;
}

std::uint64_t ParameterBlock::version() const {
  std::uint64_t count = whole_changes_ + entries_.size();  // one that is added is a change, too
  for (const Entry& e : entries_) count += e.changes;
  return count;
}

std::span<float> ParameterBlock::values(std::size_t i) {
  return {values(i, i + 1), static_cast<std::size_t>(entry(i).size())};
}
float* ParameterBlock::values(std::size_t first, std::size_t last) {
  for (std::size_t i = first; i < last; ++i) touch(i);
  return values_.get() + entry(first).offset;
}
std::span<const float> ParameterBlock::values(std::size_t i) const {
  return {values_.get() + entry(i).offset, static_cast<std::size_t>(entry(i).size())};
}
std::span<float> ParameterBlock::gradients(std::size_t i) {
  return {gradients_.get() + entry(i).offset, static_cast<std::size_t>(entry(i).size())};
}

void ParameterBlock::refuse(std::size_t i) const {
  throw ValueError(Place{}, "parameter block: there is no parameter " + std::to_string(i) + ", there are " +
                                std::to_string(entries_.size()) +
                                help_line("count from 0 to below count(), in the order of declaration"));
}

void ParameterBlock::zero_grad() {
  for (Entry& e : entries_) e.has_gradient = false;
}

void ParameterBlock::fill_missing_gradients() {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].has_gradient) continue;
    const std::span<float> gradient = gradients(i);
    std::fill(gradient.begin(), gradient.end(), 0.0F);
  }
}

std::span<const float> Parameter::gradient() const {
  const std::span<float> gradient = block().gradients(index_);
  if (!block_->entry(index_).has_gradient) std::fill(gradient.begin(), gradient.end(), 0.0F);
  return gradient;
}

void Parameter::refuse(const Place& where) {
  const std::string what = "parameter: the model that it is one of was destroyed";
  throw StateError(where,
                   (where.line > 0 ? at(where, what) : what) +
                       help_line("a model must live longer than the parameters that are taken from it"));
}

}  // namespace reel
