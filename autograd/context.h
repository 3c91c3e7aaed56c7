#pragma once

#include <cstdint>
#include <string>

#include "autograd/node.h"
#include "autograd/shape.h"
#include "autograd/tensor.h"
#include "kernels/into.h"
#include "kernels/map.h"

namespace reel {

class Tape;

namespace detail {
// A number of the type, made from its name: the same in every file. Never 0.
template <class T>
constexpr std::uint32_t type_number() {
  std::uint32_t hash = 2166136261U;  // FNV-1a
  for (const char* c = __PRETTY_FUNCTION__; *c != 0; ++c) {
    hash = static_cast<std::uint32_t>((hash ^ static_cast<unsigned char>(*c)) * std::uint64_t{16777619});
  }
  return hash == 0 ? 1 : hash;
}
}  // namespace detail

/// What an op's forward and backward see of the tape: plain memory in one precision.
///
/// In forward: x(i), y(), save(). In backward also dy(), and dx(i) to write to. `in`, `out` and the like are
/// the same memory as sources and sinks for kernels::map, which broadcast.
template <class T>
class Context {
 public:
  using Scalar = T;

  int inputs() const { return inputs_; }
  const Shape& shape(int i = 0) const { return input(i).shape; }  ///< of an input
  const Shape& shape_y() const { return node_->shape; }
  std::int64_t size(int i = 0) const { return input(i).size; }
  std::int64_t size_y() const { return size_y_; }

  const T* x(int i = 0) const { return static_cast<const T*>(input(i).value); }  ///< an input's values
  T* y() const { return y_; }                                                    ///< the output's values
  const T* dy() const { return dy_; }  ///< backward: the gradient of the output
  /// backward: what dy() is, in memory that may be overwritten: its own where nobody reads that after this
  /// op, else a copy for this call. Afterwards dy() and upstream() mean nothing.
  T* dy_to_change();
  kernels::Into<T> dx(int i = 0) const {
    if (i < 0 || i >= inputs_) refuse_input(i);
    return into_[i];
  }  ///< backward: where an input's gradient goes; empty if unwanted

  /// An input as kernels::map reads it: stretched to the output's shape if it is smaller.
  kernels::Source<T> in(int i = 0) const { return {x(i), stretch_ == nullptr ? nullptr : stretch_ + i}; }
  kernels::Source<T> out() const { return {y_, nullptr}; }
  kernels::Source<T> upstream() const { return {dy_, nullptr}; }
  kernels::Sink<T> result() const { return {{y_, false}, size_y_}; }
  /// Where an input's gradient goes, in the output's shape; the engine sums it over what was stretched.
  kernels::Sink<T> gradient(int i = 0) const { return {dx(i), size_y_}; }

  /// For reductions, whose output is the stretched one: y = sum of x over what `kept` lacks, and the way
  /// back. `kept` is the shape of y with the reduced dimensions left as 1.
  void sum_to_y(const Shape& kept) const;
  kernels::Source<T> stretched_upstream(const Shape& kept) const;
  kernels::Sink<T> whole_gradient(int i = 0) const { return {dx(i), size(i)}; }

  template <class Options>
  const Options& options() const {
    constexpr std::uint32_t wanted = detail::type_number<Options>();
    if (node_->options_type != wanted) refuse_options();
    return *static_cast<const Options*>(node_->options);
  }
  /// How this tape wants floats to be multiplied.
  Products products() const;
  /// A number from the options in this tape's precision.
  static T scalar(double value) { return static_cast<T>(value); }

  /// Whether a gradient may come to the output: only then is anything saved for it of use.
  bool wants_gradient() const { return node_->wants_gradient; }
  T* save(std::int64_t count);  ///< forward, once: memory that backward will find at saved()
  const T* saved() const {
    if (saved_ == nullptr) refuse_saved();
    return static_cast<const T*>(saved_);
  }
  /// saved(), if it has the output's shape.
  kernels::Source<T> kept() const { return {saved(), nullptr}; }
  T* scratch(std::int64_t count);  ///< memory for this call only

  /// Throws ValueError that names the op and the user's line, for what only the values show.
  [[noreturn]] void refuse(const std::string& reason, const std::string& help = "") const;

 private:
  friend class Tape;
  const Node& input(int i) const {
    if (i < 0 || i >= inputs_) refuse_input(i);
    return nodes_[input_nodes_[i]];
  }
  [[noreturn]] void refuse_input(int i) const;
  [[noreturn]] void refuse_options() const;
  [[noreturn]] void refuse_saved() const;
  template <class Work>
  [[noreturn]] void as_call(Work work) const;

  Tape* tape_ = nullptr;
  const Node* nodes_ = nullptr;  // all of the tape's
  const Node* node_ = nullptr;
  const std::uint32_t* input_nodes_ = nullptr;
  int inputs_ = 0;
  std::int64_t size_y_ = 0;
  T* y_ = nullptr;
  const T* dy_ = nullptr;
  T* spare_dy_ = nullptr;  // the same or a copy, to be changed; null while there is none
  void* saved_ = nullptr;
  kernels::Into<T>* into_ = nullptr;
  const kernels::Stretch* stretch_ = nullptr;  // one per input, or null if nothing is stretched
};

}  // namespace reel
