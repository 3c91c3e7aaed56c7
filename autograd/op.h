#pragma once

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "autograd/context.h"
#include "autograd/node.h"
#include "autograd/shape.h"
#include "autograd/tensor.h"
#include "kernels/dual.h"

namespace reel {

struct Op;

/// What an op's backward looks at, besides the gradient that arrives: the tests poison the rest.
enum class Reads : std::uint8_t { nothing = 0, inputs = 1, output = 2, both = 3 };
inline bool includes(Reads all, Reads part) {
  return (static_cast<unsigned>(all) & static_cast<unsigned>(part)) != 0;
}

/// A function for every precision of tape, made from one captureless generic lambda `[](auto& c) { ... }`.
struct ForEachPrecision {
  using F32 = void (*)(Context<float>&);
  using F64 = void (*)(Context<double>&);
  using Duals = void (*)(Context<Dual>&);

  F32 f32 = nullptr;
  F64 f64 = nullptr;
  Duals dual = nullptr;

  ForEachPrecision() = default;
  template <class Lambda>
  requires std::is_convertible_v<Lambda, F32> ForEachPrecision(Lambda body)
      : f32(body), f64(body), dual(body) {}  // NOLINT: cards read as written

  void operator()(Context<float>& c) const { f32(c); }
  void operator()(Context<double>& c) const { f64(c); }
  void operator()(Context<Dual>& c) const { dual(c); }
};

/// What a shape rule sees: the op, the inputs and the options. Errors it raises name the user's line and
/// every operand.
class Call {
 public:
  /// `input_nodes` says which of a tape's `nodes` the inputs are.
  Call(const Op& op, std::span<const Here> inputs, const Node* nodes, const std::uint32_t* input_nodes,
       const void* options, std::uint32_t options_type, Place place)
      : op_(op),
        inputs_(inputs),
        nodes_(nodes),
        input_nodes_(input_nodes),
        options_(options),
        options_type_(options_type),
        place_(place) {}

  int inputs() const { return static_cast<int>(inputs_.size()); }
  /// The shape of an input. Throws ValueError if there is no such input.
  const Shape& operator[](int i) const {
    if (i < 0 || i >= inputs()) refuse_input(i);
    return nodes_[input_nodes_[i]].shape;
  }
  /// Throws ValueError if the call gave none, or others.
  template <class Options>
  const Options& options() const {
    constexpr std::uint32_t wanted = detail::type_number<Options>();
    if (options_type_ != wanted) refuse_options();
    return *static_cast<const Options*>(options_);
  }
  Place place() const { return place_; }

  /// Throws ShapeError: first line `place: error: op: reason`, then every operand, then the help if there is
  /// one.
  [[noreturn]] void fail(const std::string& reason, const std::string& help = "") const;
  /// The same as a ValueError, for numbers instead of shapes.
  [[noreturn]] void refuse(const std::string& reason, const std::string& help = "") const;

 private:
  template <class T>
  friend class Context;
  std::string describe(const std::string& reason, const std::string& help) const;
  [[noreturn]] void refuse_input(int i) const;
  [[noreturn]] void refuse_options() const;

  const Op& op_;
  std::span<const Here> inputs_;
  const Node* nodes_;
  const std::uint32_t* input_nodes_;
  const void* options_;
  std::uint32_t options_type_;  // 0 if there are none
  Place place_;
};

/// A named rule that computes the shape of an op's output from its inputs, or explains why there is none.
struct ShapeRule {
  std::string_view name;
  Shape (*apply)(const Call&) = nullptr;
  bool stretches = false;  ///< smaller inputs are broadcast to the output's shape, by the engine
};

/// Some of an op's first 32 inputs, by their numbers.
class InputSet {
 public:
  InputSet() = default;
  InputSet(std::initializer_list<unsigned> inputs) {
    for (const unsigned i : inputs) {
      if (i < most) {
        bits_ |= 1U << i;
      } else {
        beyond_ = true;
      }
    }
  }
  bool empty() const { return bits_ == 0; }
  bool has(int i) const { return i < static_cast<int>(most) && (bits_ >> i & 1) != 0; }
  /// Whether inputs behind those were named, which define() refuses.
  bool beyond() const { return beyond_; }

 private:
  static constexpr unsigned most = 32;
  std::uint32_t bits_ = 0;
  bool beyond_ = false;
};

using Tensors = std::span<const Tensor>;

/// Inputs that the generated tests try on an op: shapes, a range of values, and the call if it has options.
struct Sample {
  std::vector<Shape> shapes;
  double low = -2;
  double high = 2;
  Tensor (*run)(Tensors) = nullptr;  ///< how to call the op; without it, record(op, inputs)
  bool smooth = true;                ///< false: a kink or a jump is near, so differences prove nothing

  Sample between(double lo, double hi) && {
    low = lo;
    high = hi;
    return std::move(*this);
  }
  Sample call(Tensor (*f)(Tensors)) && {
    run = f;
    return std::move(*this);
  }
  Sample kinked() && {
    smooth = false;
    return std::move(*this);
  }
};

/// A sample of an op on inputs of these shapes, with values in [-2, 2].
template <class... S>
Sample on(const S&... shapes) {
  Sample sample;
  sample.shapes = {Shape(shapes)...};
  return sample;
}
inline Sample on(std::initializer_list<Size> a) { return on(Shape(a)); }
inline Sample on(std::initializer_list<Size> a, std::initializer_list<Size> b) {
  return on(Shape(a), Shape(b));
}
inline Sample on(std::initializer_list<Size> a, std::initializer_list<Size> b,
                 std::initializer_list<Size> c) {
  return on(Shape(a), Shape(b), Shape(c));
}
inline Sample on(std::initializer_list<Size> a, std::initializer_list<Size> b, std::initializer_list<Size> c,
                 std::initializer_list<Size> d) {
  return on(Shape(a), Shape(b), Shape(c), Shape(d));
}

/// Everything there is to know about an op, in one place.
struct Op {
  std::string_view name = {};
  std::string_view formula = {};
  std::vector<std::string_view> inputs =
      {};  ///< their names in error messages; "x" if left out; the last one repeats
  ShapeRule shape = {};
  Reads reads = Reads::nothing;
  ForEachPrecision forward = {};
  ForEachPrecision backward = {};  ///< writes to every dx(i) that is not empty
  /// Inputs whose gradient is dy itself, summed where they were stretched; without `stretches` in the shape
  /// rule they have as many elements as the output. The engine passes it on, as its memory where nobody else
  /// needs that; dx(i) is empty.
  InputSet passes_dy_to = {};
  bool view = false;   ///< the output is the input's memory under another shape: no forward, no backward
  bool stops = false;  ///< no derivative passes: there is no backward, and on a dual tape tangents become 0
  std::vector<Sample> samples = {};

  std::uint32_t index = 0;  ///< position in the registry; set by define
  Place place = {};         ///< of its definition; set by define

  bool differentiable() const { return !stops; }
  std::string_view input_name(std::size_t i) const {
    if (inputs.empty()) return "x";
    return inputs[i < inputs.size() ? i : inputs.size() - 1];
  }
};

/// Puts a card into the registry, from which the tests and the `reel ops` table are made, and returns it.
/// Cards are defined before main(): what initialises a variable of a namespace must not run an op.
///
/// A line that runs again defines nothing new and gets the same card. Throws ValueError if another card has
/// the name, naming both places, for a card without a name, a shape rule, a forward (unless it is a view)
/// or a backward (unless it stops gradients), and for one that passes dy to an input behind the first 32.
const Op& define(Op card, Place place = Place::here());

/// All cards, in no particular order.
const std::deque<Op>& registry();

/// Runs an op on the tape of its inputs and remembers it for backward.
///
/// `options` is copied; it must be trivially copyable. The place of the first input is the op's place.
/// Throws ShapeError if the op's shape rule refuses, StateError for tensors of an ended step or of another
/// tape and inside a card that this tape runs, ValueError for fewer inputs or other options than the card
/// reads and for a card that breaks its word (a view of another size, inputs that do not stretch to the
/// result, or of another size that are to get dy), MemoryError if there is no memory for the result.
Tensor record(const Op& op, std::span<const Here> inputs, const void* options, std::size_t options_size,
              std::uint32_t options_type = 0);

template <class Options>
Tensor record(const Op& op, std::span<const Here> inputs, const Options& options) {
  static_assert(std::is_trivially_copyable_v<Options> && std::is_trivially_destructible_v<Options>);
  constexpr std::uint32_t type = detail::type_number<Options>();
  return record(op, inputs, &options, sizeof(Options), type);
}
template <class Options>
Tensor record(const Op& op, std::initializer_list<Here> inputs, const Options& options) {
  return record(op, std::span<const Here>(inputs.begin(), inputs.size()), options);
}
inline Tensor record(const Op& op, std::initializer_list<Here> inputs) {
  return record(op, std::span<const Here>(inputs.begin(), inputs.size()), nullptr, 0);
}

/// The tape that an op with these inputs will run on: that of the first tensor, or, of parameters alone, the
/// one whose step was opened last. Throws StateError if there is none.
Tape& tape_of(std::initializer_list<Here> inputs);

/// Copies integers (labels, tokens) into the memory of the tape that an op with these inputs will run on, so
/// that they live as long as the step. For the options of an op.
std::span<const std::int32_t> keep(std::initializer_list<Here> inputs, std::span<const std::int32_t> values);
std::span<const std::uint8_t> keep(std::initializer_list<Here> inputs, std::span<const std::uint8_t> values);

/// How often this was asked before with the same `of` and `number` in the innermost open step of the tape
/// that an op with this input will run on: 0, 1, 2, ... For what must differ every time that `of` is used in
/// a step, and come again in the next step, like the masks of dropout. Throws StateError if no step is open.
std::uint64_t count_use(const Here& input, const void* of, std::uint64_t number);

}  // namespace reel
