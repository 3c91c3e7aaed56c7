#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "autograd/arena.h"
#include "autograd/error.h"
#include "autograd/gradient_pool.h"
#include "autograd/node.h"
#include "autograd/op.h"
#include "autograd/parameter.h"
#include "autograd/tensor.h"

namespace reel {

struct Autopsy;
struct Layer;
struct Range;
struct Watch;

/// While it lives, its tape records; when it ends, everything recorded since it began is forgotten.
class Step {
 public:
  ~Step();
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

 private:
  friend class Tape;
  Step(Tape& tape, bool inference, Place place);
  std::uint32_t tape_slot_;
  std::uint64_t number_ = 0;
};

struct BackwardOptions {
  bool retain_graph = false;  ///< keep what a second backward through the same ops needs
};

/// What is on a tape, and what it costs.
struct TapeStatistics {
  std::size_t nodes = 0;
  std::size_t value_bytes = 0;     ///< of values, options and what forward saved
  std::size_t gradient_bytes = 0;  ///< high water of the gradients that lived at once
  std::size_t reserved_bytes = 0;  ///< asked from the heap
  struct PerOp {
    std::string_view op;
    std::size_t calls = 0;
    double forward_ms = 0;
    double backward_ms = 0;
  };
  std::vector<PerOp> ops;  ///< filled while profile(true); slowest first
};

/// Records what a program computes and plays it backwards.
///
/// Operations are kept in recording order, so that backward is one reverse loop. Memory comes from arenas:
/// once warm, a step asks the heap for nothing. A tape belongs to the thread that opened its step; the
/// parallelism is inside the kernels. Several threads, each with a tape, may run one model while none of them
/// trains or changes it: nothing guards its values and gradients.
class Tape {
 public:
  /// On an f32 tape, `Products::bf16` rounds the factors of `linear` and `matmul` to bfloat16, forward and
  /// backward, which processors with AVX512-BF16 or AMX multiply much faster; all else, parameters and sums
  /// included, stays f32. `Products::bf16x6` is as exact as `full`, but for numbers next to 0, and faster
  /// with AMX. Bits then depend on the processor and on the shape (it takes 64 rows and 64 columns at least):
  /// a row alone may have others than among many.
  explicit Tape(Precision precision = Precision::f32, Products products = Products::full);
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  Precision precision() const { return precision_; }
  Products products() const { return products_; }

  /// Opens a step: `const auto step = tape.record();`. Steps nest. Throws StateError while another thread has
  /// one open, while an op of the tape runs, and while the tape plays backwards.
  [[nodiscard]] Step record(Place place = Place::here()) { return Step(*this, false, place); }
  /// Opens a step whose values nobody will differentiate: backward in it is an error.
  [[nodiscard]] Step inference(Place place = Place::here()) { return Step(*this, true, place); }
  /// Whether the innermost open step was opened with inference(); false if none is open.
  bool in_inference() const;

  /// A leaf without a gradient; the values are copied, bytes as the numbers 0 to 255. Throws ShapeError if
  /// their number does not fit the shape.
  Tensor constant(std::span<const float> values, const Shape& shape, Place place = Place::here());
  Tensor constant(std::span<const double> values, const Shape& shape, Place place = Place::here());
  Tensor constant(std::span<const std::uint8_t> values, const Shape& shape, Place place = Place::here());
  Tensor constant(std::initializer_list<double> values, const Shape& shape, Place place = Place::here());
  Tensor constant(double value, Place place = Place::here());
  /// A constant that an f32 tape reads where it lies, without a copy: batches that are large beside their
  /// model. The numbers must stay there, unchanged, until the step ends, which nobody checks. Tapes of other
  /// precisions copy. Throws ShapeError as constant() does.
  Tensor from_blob(std::span<const float> values, const Shape& shape, Place place = Place::here());
  /// A temporary would be gone before the step ends.
  Tensor from_blob(std::vector<float>&& values, const Shape& shape, Place place = Place::here()) = delete;
  /// A leaf whose gradient backward computes and keeps.
  Tensor variable(std::span<const float> values, const Shape& shape, Place place = Place::here());
  Tensor variable(std::span<const double> values, const Shape& shape, Place place = Place::here());
  Tensor variable(std::initializer_list<double> values, const Shape& shape, Place place = Place::here());
  Tensor variable(double value, Place place = Place::here());
  /// A variable that moves along `tangents`, on a dual tape. Throws StateError on another.
  Tensor variable(std::span<const double> values, std::span<const double> tangents, const Shape& shape,
                  Place place = Place::here());
  /// The leaf of a parameter: one per step, however often it is asked for, and another after its values or
  /// requires_grad changed; on f64 and dual tapes each has a gradient of its own. Ops call this themselves.
  Tensor leaf(const Parameter& parameter, Place place = Place::here());

  /// On an f64 or dual tape: from now on the leaves of this block's parameters take these values (and
  /// tangents, which an f64 tape has not) instead of the block's, and all of them a gradient, frozen or not.
  /// Both have the block's length, or are empty to undo. A leaf that is there keeps its numbers, and leaf()
  /// makes another. Throws StateError on an f32 tape, ShapeError for another length.
  void override_parameters(const ParameterBlock& block, std::span<const double> values,
                           std::span<const double> tangents = {}, Place place = Place::here());

  /// Plays the tape backwards from a tensor with one element: d(loss)/d(everything it depends on).
  ///
  /// Gradients of parameters add up until the optimizer clears them, those of variables, and of what
  /// retain_gradient() marked, until the step that recorded them ends. On an f32 tape those of parameters go
  /// to their block, where an optimizer finds them; on f64 and dual tapes they stay on the tape, as
  /// tape.leaf(parameter).gradient(). If it throws, what it had delivered by then stays.
  ///
  /// Throws ShapeError if the loss has more than one element, StateError in inference, for a loss that
  /// depends on nothing that takes a gradient, for ops that an earlier backward without retain_graph went
  /// through, and if a model whose parameters the step has read is gone or has changed since.
  void backward(Here loss, BackwardOptions options = {});
  /// The same for any tensor, with the gradient to start from. Throws ShapeError if that has another size.
  void backward(Here output, std::span<const double> gradient, BackwardOptions options = {});

  /// Checks every value and gradient as it is made; the first that is not finite throws NonFiniteError with
  /// its op. That includes a -inf made on purpose: a mask, an impossible state of a hidden Markov model.
  /// watch() and autopsy() pass over what never reached the loss.
  void detect_anomaly(bool on) { detect_anomaly_ = on; }
  /// For autopsy(): from now on backward notes the range of every gradient, and where the first number that
  /// is not finite came from, without stopping.
  void watch(bool on);
  /// Looks back over the open step of a watched tape: which op made the first number that is not finite, in
  /// forward or backward, and what everything looked like.
  ///
  /// A number that never reached the loss, like a mask's -inf that softmax took away, is passed over, unless
  /// `every` asks for the very first one, which is where detect_anomaly stops. Throws StateError on a tape
  /// that is not watched, without an open step, if `loss` is no tensor of it, and if a model whose parameters
  /// the step has read is gone or has grown; an empty handle stands for a loss that was never made.
  Autopsy autopsy(const Tensor& loss, bool every = false, Place place = Place::here()) const;
  /// Measures the time of every op, for statistics().
  void profile(bool on);
  TapeStatistics statistics() const;
  /// The tape as a table: a line per node with shape, inputs, op and source line.
  void print(std::ostream& out) const;
  /// For tests: memory is filled with NaN before use, so that a read before a write shows.
  void poison(bool on);
  /// For tests: while an op's backward runs, its inputs or its output are NaN if its card says that it does
  /// not read them. What is not the tape's own memory stays: parameters on an f32 tape, and blobs.
  void poison_unread(bool on) { poison_unread_ = on; }

 private:
  // What it does stands in tape.cpp (steps, handles, the running of an op), leaves.cpp (constants, variables,
  // parameters), backward.cpp (gradients), autopsy.cpp (numbers that are not finite) and inspect.cpp (text).
  friend class Step;
  friend class Tensor;
  friend struct Here;
  friend class Call;
  friend bool detail::wants_gradient(const Tape&, const Tensor&);
  friend Tensor record(const Op&, std::span<const Here>, const void*, std::size_t, std::uint32_t);
  friend Tape& tape_of(std::initializer_list<Here>);
  friend std::span<const std::int32_t> keep(std::initializer_list<Here>, std::span<const std::int32_t>);
  friend std::span<const std::uint8_t> keep(std::initializer_list<Here>, std::span<const std::uint8_t>);
  friend std::uint64_t count_use(const Here&, const void*, std::uint64_t);
  template <class T>
  friend class Context;

  struct OpenStep {
    std::uint64_t number;
    bool inference;
    std::size_t nodes, inputs, leaves, uses;
    Arena::Mark values, gradients;
  };
  // What the tape is at. Meanwhile nothing may be recorded on it: nodes would move while they are used.
  enum class Work : std::uint8_t { none, op, backward };
  class AtWork {
   public:
    AtWork(Work& at, Work work) : at_(at) { at = work; }
    ~AtWork() { at_ = Work::none; }
    AtWork(const AtWork&) = delete;
    AtWork& operator=(const AtWork&) = delete;

   private:
    Work& at_;
  };
  // What count_use() counts.
  struct Use {
    const void* of;
    std::uint64_t number;
    std::uint64_t count;
  };
  // What retain_gradient() asked for. Apart from Node::gradient, which would be played again.
  struct KeptGradient {
    std::uint32_t node;
    void* sum;
  };
  struct OuterGradient {
    std::uint64_t step;
    std::size_t bytes;
    bool free;  // passed on already
    kernels::Block<std::byte> memory;
  };
  struct ParameterLeaf {
    ParameterBlock* block;
    std::size_t index;
    std::uint64_t version;  // of the parameter when the leaf was made
    const float* memory;    // of the block then
    std::size_t leaves;     // of the block: index into blocks_
  };
  // For every block a step has used: the node of each of its parameters, so that each has one leaf a step.
  struct BlockLeaves {
    const ParameterBlock* block = nullptr;
    std::weak_ptr<const void> life;                             // of the block
    std::vector<std::pair<std::uint64_t, std::uint32_t>> node;  // (step, node) of each parameter
    std::vector<double> values, tangents;                       // overrides
  };

  static Tape& find(const Tensor& t, const Place& place);  // checks tape, thread and step
  [[noreturn]] static void explain(const Tensor& t,
                                   Place place);  // what is wrong with a tensor that find refuses
  static Tape& current(Place place);
  bool on_its_thread() const;
  // No other tape has a step of the same number.
  bool holds(const Tensor& t) const { return t.index_ < nodes_.size() && nodes_[t.index_].step == t.step_; }
  Node& node(const Tensor& t) { return nodes_[t.index_]; }
  // The same, to read its numbers.
  const Node& readable(const Tensor& t, std::string_view what, const Place& place) const {
    const Node& node = nodes_[t.index_];
    if (node.borrowed) require_lent(node, what, place);
    return node;
  }
  void open(bool inference, Place place);
  void close(std::uint64_t number);
  static Tape& of(std::span<const Here> inputs);
  template <class Integer>
  static std::span<const Integer> copy_for(std::span<const Here> inputs, std::span<const Integer> values);
  void require_step(const Place& place) const;
  [[noreturn]] void explain_step(Place place) const;
  std::uint32_t push(const Node& node);
  Tensor handle(std::uint32_t index) const { return Tensor(slot_, index, nodes_[index].step); }
  std::uint32_t resolve(const Here& here);
  // Of the parameter whose memory a borrowed node is.
  const ParameterLeaf& lender(const Node& node) const {
    const Node* owner = &node;
    while (owner->parameter < 0) owner = &nodes_[inputs_[owner->first_input]];  // what it is a view of
    return parameter_leaves_[static_cast<std::size_t>(owner->parameter)];
  }
  // Throws StateError if the model is gone, or has more parameters in other memory.
  void require_memory(const ParameterLeaf& leaf, std::string_view what, const Place& place) const;
  // Throws StateError also if the borrowed numbers are no longer those that were there.
  void require_lent(const Node& node, std::string_view what, const Place& place) const;
  // The same for a backward that reads them, or that has a gradient for them.
  void require_unchanged(const Node& node) const {
    const ParameterLeaf& leaf = lender(node);
    if (leaf.version != leaf.block->version(leaf.index)) refuse_change(leaf, node.place());
  }
  [[noreturn]] static void refuse_change(const ParameterLeaf& leaf, Place place);
  enum class Leaf : std::uint8_t { constant, variable, from_blob };
  template <class From>
  Tensor add_leaf(std::span<const From> values, std::span<const From> tangents, const Shape& shape, Leaf kind,
                  Place place);
  BlockLeaves& leaves_of(const ParameterBlock& block);

  Tensor run(const Op& op, std::span<const Here> inputs, const void* options, std::size_t options_size,
             std::uint32_t options_type);
  template <class T>
  void forward(Node& node);
  template <class T>
  void play(std::uint32_t from, const BackwardOptions& options, Place where);
  template <class T>
  void play_node(Node& made);
  // Runs an op's backward; `target` says where the gradient of an input goes.
  template <class T, class Target>
  void deliver(Node& made, const Target& target);
  template <class T>
  bool own_share_is_finite(Node& made, std::uint32_t input);
  template <class T>
  void play_view(Node& made);
  template <class T>
  void backward_without_unread(const Node& made, Context<T>& c);
  template <class T>
  kernels::Into<T> into_of(Node& input) {
    return input.parameter >= 0 ? into_of_parameter<T>(input) : into_own<T>(input);
  }
  template <class T>
  kernels::Into<T> into_own(Node& input) {
    const bool add = input.gradient != nullptr;
    const std::size_t bytes = static_cast<std::size_t>(input.size) * sizeof(T);
    if (!add) {
      begun_.push_back(index_of(input));  // first, because it may throw
      input.gradient = is_of_this_step(input) ? pool_.take(gradients_, bytes) : outer_gradient(input, bytes);
    }
    return {static_cast<T*>(input.gradient), add};
  }
  std::uint32_t index_of(const Node& node) const { return static_cast<std::uint32_t>(&node - nodes_.data()); }
  bool is_of_this_step(const Node& node) const { return node.step == steps_.back().number; }
  // Memory that outlives the innermost step, for a gradient of an outer one.
  void* outer_gradient(const Node& node, std::size_t bytes);
  void release_gradient(Node& node);
  void forget_gradient(Node& node);
  // The gradient that arrived at an op's node has been passed on: keeps it if that was asked for.
  template <class T>
  void put_away(Node& made);
  void* kept_gradient(const Node& node) const;  // what gradient() shows, or null
  template <class T>
  kernels::Into<T> into_of_parameter(Node& input);
  template <class T>
  Context<T> context_of(const Node& node) {
    Context<T> c;
    c.tape_ = this;
    c.nodes_ = nodes_.data();
    c.node_ = &node;
    c.input_nodes_ = inputs_.data() + node.first_input;
    c.inputs_ = static_cast<int>(node.inputs);
    c.size_y_ = node.size;
    c.y_ = static_cast<T*>(node.value);
    c.saved_ = node.saved;
    if (node.stretches) c.stretch_ = stretches_of(node);
    return c;
  }
  const kernels::Stretch* stretches_of(const Node& node);
  void check_backward(const Tensor& t, Place place) const;
  const void* gradient_of(const Tensor& t, Place where) const;
  template <class T>
  void start(std::uint32_t index, std::span<const double> gradient);
  double number(const void* memory, std::int64_t i) const;
  std::int64_t first_not_finite(const void* memory, std::int64_t count) const;  // or -1
  Range range_of(const void* memory, std::int64_t count) const;
  void check_value(const Node& made) const;
  template <class T>
  void check_gradients(Node& made);
  void note_gradient(std::uint32_t index);
  bool has_culprit() const;  // whether backward has met a gradient not finite, of an op that is still there
  std::string gradient_fault(const Node& made, std::uint32_t input, std::int64_t element) const;
  std::string value_fault(const Node& made, std::int64_t element) const;
  std::string anomaly_text(std::uint32_t index, const std::string& what) const;
  std::string own_parameter(const Node& made) const;  // the path of one that it reads, or ""
  Layer layer_of(std::uint32_t index) const;
  std::int64_t guilty_node(const Tensor& loss, bool every) const;
  static std::string origin(const Here& input);  // for messages
  std::string origin(const Node& made) const;
  std::string operand_line(const char* name, const Node& made) const;
  void note_time(const Op& op, std::chrono::steady_clock::time_point start, bool backward);

  Precision precision_;
  Products products_;
  std::size_t scalar_bytes_;
  std::uint32_t slot_;
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> inputs_;
  std::vector<OpenStep> steps_;
  std::vector<ParameterLeaf> parameter_leaves_;
  std::vector<Use> uses_;
  std::vector<BlockLeaves> blocks_;
  Arena values_;
  Arena gradients_;
  Arena scratch_;
  GradientPool pool_;
  std::vector<GradientPool> outer_pools_;  // of the steps around the innermost one
  std::vector<OuterGradient> outer_gradients_;
  std::vector<KeptGradient> kept_;
  std::vector<std::uint32_t> begun_;           // whose first contribution the op at work writes
  std::atomic<const void*> thread_ = nullptr;  // another thread may ask while this one opens a step
  std::uint32_t plays_ = 0;                    // how often backward has run
  Work work_ = Work::none;
  bool detect_anomaly_ = false;
  bool profile_ = false;
  bool poison_unread_ = false;
  std::unique_ptr<Watch> watch_;               // while watched
  std::vector<TapeStatistics::PerOp> timing_;  // by op index, while profiling
};

}  // namespace reel
