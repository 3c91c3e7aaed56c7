#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "autograd/shape.h"
#include "kernels/block.h"

namespace reel {

/// All parameters of a model: one flat block of values and one of gradients, so that an optimizer, a clipping
/// norm or a checkpoint is a single loop. Every parameter starts on a 64-byte boundary; the gap behind it
/// holds zeros.
class ParameterBlock {
 public:
  struct Entry {
    std::string name;  ///< the path: "hidden.weight"
    Shape shape;
    std::int64_t offset = 0;    ///< of its first value, in floats
    bool decay = true;          ///< whether weight decay applies by default: false for biases and norms
    bool requires_grad = true;  ///< false: frozen; backward spends nothing on it, and no optimizer moves it
    bool has_gradient = false;  ///< backward has written to it since the last zero_grad
    std::uint64_t changes = 0;  ///< of this one alone: see version()
    std::int64_t size() const { return shape.size(); }
  };

  /// The staggers of the values, of the gradients, and of what an optimizer keeps beside them, from there on:
  /// see make_zero_block.
  static constexpr int value_stagger = 0, gradient_stagger = 1, first_slot_stagger = 2;

  ParameterBlock() = default;
  ParameterBlock(const ParameterBlock&) = delete;
  ParameterBlock& operator=(const ParameterBlock&) = delete;

  /// Adds a parameter filled with zeros. Throws ValueError if the name is taken.
  std::size_t add(std::string name, const Shape& shape, bool decay);

  std::size_t count() const { return entries_.size(); }
  /// These and the spans below throw ValueError if there is no parameter i.
  const Entry& entry(std::size_t i) const { return entries_[checked(i)]; }
  Entry& entry(std::size_t i) { return entries_[checked(i)]; }
  const std::vector<Entry>& entries() const { return entries_; }
  std::int64_t parameters() const;                 ///< without the gaps
  std::int64_t length() const { return length_; }  ///< of the flat block, with the gaps

  /// Values may be written through what these return unless the block is const, so that they count as a
  /// change: see version(). A span that was taken earlier says nothing of what is written through it; call
  /// touch() then. To read, ask a const block: std::as_const(block).values().
  float* values() {
    touch();
    return values_.get();
  }
  const float* values() const { return values_.get(); }
  float* gradients() { return gradients_.get(); }
  const float* gradients() const { return gradients_.get(); }
  std::span<float> values(std::size_t i);
  std::span<const float> values(std::size_t i) const;
  /// Where those of the parameters [first, last) begin, to write to these alone.
  float* values(std::size_t first, std::size_t last);
  std::span<float> gradients(std::size_t i);

  /// Forgets all gradients: the next backward overwrites them. Parameters that no backward reaches read as
  /// zero.
  void zero_grad();
  /// Writes zeros where no backward has written, so that a loop over the flat gradients is right.
  void fill_missing_gradients();

  /// Count changes of any value, and of those of parameter i. A tape remembers the second, to notice a change
  /// between forward and backward, which would get wrong gradients: backward refuses.
  std::uint64_t version() const;
  std::uint64_t version(std::size_t i) const { return whole_changes_ + entry(i).changes; }
  /// Expires with the block: how tapes and optimizers notice that a model is gone.
  std::weak_ptr<const void> life() const { return life_; }
  void touch() { ++whole_changes_; }
  void touch(std::size_t i) { ++entry(i).changes; }

  /// How many steps optimizers have made on this block, skipped ones included; dropout draws by it.
  std::uint64_t steps() const { return steps_; }
  void count_step() { ++steps_; }
  /// For checkpoints: goes on from there.
  void set_steps(std::uint64_t steps) { steps_ = steps; }

 private:
  friend class Parameter;
  std::size_t checked(std::size_t i) const {
    if (i >= entries_.size()) refuse(i);
    return i;
  }
  [[noreturn]] void refuse(std::size_t i) const;

  std::vector<Entry> entries_;
  std::unordered_set<std::string> names_;  // of the entries
  std::int64_t length_ = 0;
  std::int64_t capacity_ = 0;
  kernels::Block<float> values_;
  kernels::Block<float> gradients_;
  std::uint64_t whole_changes_ = 0;  // of all parameters at once
  std::uint64_t steps_ = 0;
  std::shared_ptr<const void> life_ = std::make_shared<const char>();
};

/// One parameter of a model: a name for a stretch of the model's block. All that it is asked throws
/// StateError once the model is gone.
class Parameter {
 public:
  /// Throws ValueError if the block has no parameter of this index.
  Parameter(ParameterBlock& block, std::size_t index)
      : block_(&block), index_(block.checked(index)), life_(block.life()) {}

  const std::string& name() const { return block().entry(index_).name; }
  const Shape& shape() const { return block().entry(index_).shape; }
  /// To write to, which backward refuses if it is between the forward pass and itself: see
  /// ParameterBlock::values. A const parameter is read.
  std::span<float> values() { return block().values(index_); }
  std::span<const float> values() const { return std::as_const(block()).values(index_); }
  /// What backward left on an f32 tape; zeros if none reached this parameter since zero_grad. Gradients of
  /// f64 and dual tapes stay there: tape.leaf(parameter).gradient().
  std::span<const float> gradient() const;

  /// Whether backward computes its gradient, from its next use on: false freezes it. See
  /// Module::requires_grad.
  void requires_grad(bool on) { block().entry(index_).requires_grad = on; }
  bool requires_grad() const { return block().entry(index_).requires_grad; }

  /// `where` it is asked for, in that error.
  ParameterBlock& block(Place where = Place{}) const {
    if (life_.expired()) refuse(where);
    return *block_;
  }
  std::size_t index() const { return index_; }

 private:
  [[noreturn]] static void refuse(const Place& where);

  ParameterBlock* block_;
  std::size_t index_;
  std::weak_ptr<const void> life_;  // of the block
};

}  // namespace reel
