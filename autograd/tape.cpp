#include "autograd/tape.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <limits>
#include <mutex>
#include <new>

#include "autograd/broadcast.h"
#include "autograd/watch.h"

// How a tape records: its steps, the handles of what is on it, and the running of an op.

namespace reel {
namespace {

// Tensors name their tape by its slot in this table, so that a handle to a tape that is gone finds nothing
// instead of freed memory. Step numbers are never used twice in a process, so a slot may be.
constexpr std::uint32_t slot_count = 1U << 14;
std::array<std::atomic<Tape*>, slot_count> tape_slots;
std::mutex slot_mutex;
std::atomic<std::uint64_t> next_step{1};

std::uint32_t claim_slot(Tape* tape) {
  const std::lock_guard lock(slot_mutex);
  for (std::uint32_t i = 1; i < slot_count; ++i) {
    if (tape_slots[i].load(std::memory_order_relaxed) == nullptr) {
      tape_slots[i].store(tape, std::memory_order_release);
      return i;
    }
  }
  throw StateError(Place{}, "more than " + std::to_string(slot_count - 1) + " tapes at once");
}

// The tapes that this thread records on, by their slots, innermost last. A step may end on another thread, so
// that its slot is still here; and one of a static tape may end after the thread's own objects are gone.
thread_local bool recording_is_gone = false;
struct Recording {
  std::vector<std::uint32_t> slots;
  ~Recording() { recording_is_gone = true; }
};
thread_local Recording recording;

const void* this_thread() {
  thread_local const char token = 0;
  return &token;
}

constexpr std::uint32_t none = 0xffffffffU;

std::size_t bytes_of(Precision precision) {
  return precision == Precision::f32   ? sizeof(float)
         : precision == Precision::f64 ? sizeof(double)
                                       : sizeof(Dual);
}

}  // namespace

Step::Step(Tape& tape, bool inference, Place place) : tape_slot_(tape.slot_) {
  tape.open(inference, place);
  number_ = tape.steps_.back().number;
}

Step::~Step() {
  // The tape may be gone already, or may have closed this step when it closed an outer one.
  Tape* tape = tape_slots[tape_slot_].load(std::memory_order_acquire);
  if (tape != nullptr) tape->close(number_);
}

Tape::Tape(Precision precision, Products products)
    : precision_(precision),
      products_(products),
      scalar_bytes_(bytes_of(precision)),
      slot_(claim_slot(this)) {}

Tape::~Tape() {
  if (!steps_.empty()) close(steps_.front().number);
  tape_slots[slot_].store(nullptr, std::memory_order_release);
}

bool Tape::on_its_thread() const { return thread_.load(std::memory_order_relaxed) == this_thread(); }

void Tape::open(bool inference, Place place) {
  if (steps_.empty()) {
    thread_.store(this_thread(), std::memory_order_relaxed);
  } else if (!on_its_thread() || work_ != Work::none) {
    explain_step(place);
  }
  const std::size_t outer = steps_.size();
  if (!recording_is_gone) recording.slots.push_back(slot_);
  try {
    steps_.push_back({next_step.fetch_add(1, std::memory_order_relaxed), inference, nodes_.size(),
                      inputs_.size(), parameter_leaves_.size(), uses_.size(), values_.mark(),
                      gradients_.mark()});
    // What an outer step has free lies below the mark that this step will rewind to.
    if (steps_.size() > 1) {
      outer_pools_.push_back(pool_);
      pool_.clear();
    }
  } catch (...) {
    steps_.resize(outer);
    if (!recording_is_gone) recording.slots.pop_back();
    throw;
  }
}

void Tape::close(std::uint64_t number) {
  const auto is_it = [&](const OpenStep& s) { return s.number == number; };
  if (std::none_of(steps_.begin(), steps_.end(), is_it)) return;
  bool last = false;
  while (!last) {
    const OpenStep& step = steps_.back();
    last = step.number == number;
    nodes_.resize(step.nodes);
    inputs_.resize(step.inputs);
    parameter_leaves_.resize(step.leaves);
    uses_.resize(step.uses);
    values_.rewind(step.values);
    gradients_.rewind(step.gradients);
    std::erase_if(kept_, [&](const KeptGradient& k) { return k.node >= step.nodes; });
    std::erase_if(outer_gradients_, [&](const OuterGradient& g) { return g.step == step.number; });
    pool_.clear();
    steps_.pop_back();
    if (!outer_pools_.empty()) {
      pool_ = outer_pools_.back();
      outer_pools_.pop_back();
    }
    if (recording_is_gone || !on_its_thread()) continue;
    std::vector<std::uint32_t>& slots = recording.slots;
    const auto mine = std::find(slots.rbegin(), slots.rend(), slot_);
    if (mine != slots.rend()) slots.erase(std::next(mine).base());
  }
  if (steps_.empty()) scratch_.rewind({});
}

bool detail::wants_gradient(const Tape& tape, const Tensor& t) {
  return tape.nodes_[t.index_].wants_gradient;
}

bool Tape::in_inference() const { return !steps_.empty() && steps_.back().inference; }

Tape& Tape::find(const Tensor& t, const Place& place) {
  Tape* tape = tape_slots[t.slot_].load(std::memory_order_acquire);
  const bool good = tape != nullptr && tape->on_its_thread() && tape->holds(t);
  if (!good) explain(t, place);
  return *tape;
}

void Tape::explain(const Tensor& t, Place place) {
  if (t.slot_ == 0)
    throw StateError(place, at(place, "tensor: this handle is empty; it was never assigned a value"));
  const Tape* tape = tape_slots[t.slot_].load(std::memory_order_acquire);
  if (tape == nullptr) throw StateError(place, at(place, "tensor: the tape that recorded it is gone"));
  if (!tape->on_its_thread()) {
    throw StateError(place, at(place, "tensor: it belongs to a step that is over, or to another thread") +
                                help_line("use a tensor on the thread and inside the step that made it"));
  }
  throw StateError(place, at(place, "tensor: the step that recorded it is over") +
                              help_line("copy what must outlive the step: values() or item()"));
}

Tape& Tape::current(Place place) {
  while (!recording_is_gone && !recording.slots.empty()) {
    Tape* const tape = tape_slots[recording.slots.back()].load(std::memory_order_acquire);
    if (tape != nullptr && tape->on_its_thread() && !tape->steps_.empty()) return *tape;
    recording.slots.pop_back();  // its step ended on another thread
  }
  throw StateError(place, at(place, "no step is open on this thread") +
                              help_line("open one first: const auto step = tape.record();"));
}

void Tape::require_step(const Place& place) const {
  if (steps_.empty() || !on_its_thread() || work_ != Work::none) explain_step(place);
}

void Tape::explain_step(Place place) const {
  if (steps_.empty()) {
    throw StateError(place, at(place, "tape: no step is open") +
                                help_line("open one first: const auto step = tape.record();"));
  }
  if (!on_its_thread()) {
    throw StateError(place, at(place, "tape: another thread has a step open on this tape") +
                                help_line("use one tape per thread"));
  }
  throw StateError(
      place, at(place, std::string("tape: nothing can be recorded while ") +
                           (work_ == Work::op ? "an op of the tape runs" : "the tape plays backwards")) +
                 help_line("what a card computes with ops needs a tape of its own"));
}

// Which node stands here. The caller has checked the thread.
std::uint32_t Tape::resolve(const Here& here) {
  if (here.parameter != nullptr) return leaf(*here.parameter, here.place).index_;
  if (holds(here.tensor)) return here.tensor.index_;
  find(here.tensor, here.place);
  throw StateError(here.place,
                   at(here.place, "tensor: it belongs to another tape than the first operand") +
                       help_line("with several tapes open, an op of parameters alone goes to "
                                 "the tape whose step was opened last; use tape.leaf(parameter)"));
}

Tape& Tape::of(std::span<const Here> inputs) {
  for (const Here& input : inputs) {
    if (input.parameter == nullptr) return find(input.tensor, input.place);
  }
  return current(inputs.empty() ? Place{} : inputs.front().place);
}

Tensor record(const Op& op, std::span<const Here> inputs, const void* options, std::size_t options_size,
              std::uint32_t options_type) {
  return Tape::of(inputs).run(op, inputs, options, options_size, options_type);
}

Tape& tape_of(std::initializer_list<Here> inputs) {
  return Tape::of(std::span<const Here>(inputs.begin(), inputs.size()));
}

template <class Integer>
std::span<const Integer> Tape::copy_for(std::span<const Here> inputs, std::span<const Integer> values) {
  Tape& tape = of(inputs);
  tape.require_step(inputs.empty() ? Place{} : inputs.front().place);
  if (values.empty()) return {};
  auto* copy = tape.values_.allocate<Integer>(static_cast<std::int64_t>(values.size()));
  std::copy(values.begin(), values.end(), copy);
  return {copy, values.size()};
}

std::span<const std::int32_t> keep(std::initializer_list<Here> inputs, std::span<const std::int32_t> values) {
  return Tape::copy_for(std::span<const Here>(inputs.begin(), inputs.size()), values);
}
std::span<const std::uint8_t> keep(std::initializer_list<Here> inputs, std::span<const std::uint8_t> values) {
  return Tape::copy_for(std::span<const Here>(inputs.begin(), inputs.size()), values);
}

std::uint64_t count_use(const Here& input, const void* of, std::uint64_t number) {
  Tape& tape = Tape::of({&input, 1});
  tape.require_step(input.place);
  for (std::size_t i = tape.steps_.back().uses; i < tape.uses_.size(); ++i) {
    Tape::Use& use = tape.uses_[i];
    if (use.of == of && use.number == number) return ++use.count;
  }
  tape.uses_.push_back({of, number, 0});
  return 0;
}

namespace {

// So that the bytes of a value can be counted, whatever the precision.
constexpr std::int64_t most_elements = std::numeric_limits<std::int64_t>::max() / sizeof(Dual);

struct Sized {
  Shape shape;
  std::int64_t size;
};

// A card whose shape rule does not fit the rest of it; memory outside of an input would be read.
[[noreturn]] void refuse_view(const Call& call, const Shape& shape) {
  call.refuse("its card is a view, but its shape rule gives " + to_string(shape),
              "a view has one input, and as many elements");
}
[[noreturn]] void refuse_stretch(const Call& call, std::size_t input, const Shape& shape) {
  call.refuse("its card stretches its inputs, but input " + std::to_string(input) +
                  ", counted from 0, does not broadcast to " + to_string(shape),
              "the shape rule must give a shape to which every input can be stretched");
}
[[noreturn]] void refuse_passed_dy(const Call& call, std::size_t input, const Shape& shape) {
  call.refuse("its card passes dy to input " + std::to_string(input) +
                  ", counted from 0, which has not as many elements as " + to_string(shape),
              "leave it out of .passes_dy_to and write its gradient in .backward, or let the shape rule "
              "stretch it");
}

// The shape of a result. What a shape itself refuses names neither the op nor the user's line.
Sized shape_of(const Op& op, const Call& call) {
  try {
    const Shape shape = op.shape.apply(call);
    const std::int64_t size = shape.size();
    if (size > most_elements) call.fail(to_string(shape) + " has too many elements");
    return {shape, size};
  } catch (const SizeError& e) {
    call.fail(e.reason());
  }
}

// Says of a lack of memory that is being handled for which op of the user's it was; others are left alone.
void name_lack_of_memory(const Op& op, const Shape& shape, const Place& place) {
  try {
    throw;
  } catch (const MemoryError&) {  // an op inside the op has said it
  } catch (const std::bad_alloc&) {
    throw MemoryError(place, at(place, std::string(op.name) + ": not enough memory for a result of shape " +
                                           to_string(shape)) +
                                 help_line("a smaller batch, width or context needs less"));
  } catch (...) {
  }
}

}  // namespace

Tensor Tape::run(const Op& op, std::span<const Here> inputs, const void* options, std::size_t options_size,
                 std::uint32_t options_type) {
  static constexpr Place nowhere;
  const Place& place = inputs.empty() ? nowhere : inputs.front().place;
  require_step(place);
  const std::size_t first = inputs_.size();
  std::uint32_t index = none;
  Arena::Mark values;
  try {
    bool wants_gradient = false;
    bool again = false;
    for (const Here& input : inputs) {
      const bool held = input.parameter == nullptr && holds(input.tensor);
      // A layer's own parameter comes from the layer's line; errors are to name the user's.
      const std::uint32_t source = held                         ? input.tensor.index_
                                   : input.parameter != nullptr ? leaf(*input.parameter, place).index_
                                                                : resolve(input);
      if (held && nodes_[source].borrowed) require_lent(nodes_[source], op.name, place);
      again = again || std::find(inputs_.begin() + static_cast<std::ptrdiff_t>(first), inputs_.end(),
                                 source) != inputs_.end();
      inputs_.push_back(source);
      wants_gradient = wants_gradient || nodes_[source].wants_gradient;
    }
    const AtWork guard(work_, Work::op);
    const std::uint32_t* sources = inputs_.data() + first;
    const auto call = [&] { return Call(op, inputs, nodes_.data(), sources, options, options_type, place); };
    const auto [shape, size] = shape_of(op, call());

    values = values_.mark();
    // The node is filled where it stays: copying what was just written in pieces makes a processor wait.
    index = static_cast<std::uint32_t>(nodes_.size());
    Node& made = nodes_.emplace_back();
    made.op = &op;
    made.step = steps_.back().number;
    made.first_input = static_cast<std::uint32_t>(first);
    made.inputs = static_cast<std::uint32_t>(inputs.size());
    made.wants_gradient = wants_gradient && op.differentiable() && !steps_.back().inference;
    made.shape = shape;
    made.size = size;
    made.file = place.file;
    made.line = place.line;
    for (std::size_t i = 0; i < inputs.size() && op.shape.stretches; ++i) {
      const Shape& input = nodes_[sources[i]].shape;
      if (input == shape) continue;
      made.stretches = true;
      if (!stretches_to(input, shape)) refuse_stretch(call(), i, shape);
    }
    for (std::size_t i = 0; i < inputs.size() && !op.passes_dy_to.empty() && !op.shape.stretches; ++i) {
      const bool passed = op.passes_dy_to.has(static_cast<int>(i));
      if (passed && nodes_[sources[i]].size != size) refuse_passed_dy(call(), i, shape);
    }
    made.detours = made.stretches || again;
    if (options_size > 0) {
      void* copy = values_.allocate(options_size);
      std::memcpy(copy, options, options_size);
      made.options = copy;
      made.options_type = options_type;
    }
    if (op.view && (inputs.size() != 1 || nodes_[sources[0]].size != size)) refuse_view(call(), shape);
    const bool drops_tangents = op.stops && precision_ == Precision::dual;
    if (op.view && !drops_tangents) {
      made.value = nodes_[sources[0]].value;
      made.borrowed = nodes_[sources[0]].borrowed;
      return handle(index);
    }
    made.value = values_.allocate(static_cast<std::size_t>(made.size) * scalar_bytes_);
    switch (precision_) {
      case Precision::f32:
        forward<float>(made);
        break;
      case Precision::f64:
        forward<double>(made);
        break;
      case Precision::dual:
        if (op.view) {
          std::copy_n(static_cast<const Dual*>(nodes_[sources[0]].value), size,
                      static_cast<Dual*>(made.value));
        } else {
          forward<Dual>(made);
        }
        break;
    }
    // No derivative passes, neither backwards nor forwards.
    for (std::int64_t i = 0; i < size && drops_tangents; ++i) static_cast<Dual*>(made.value)[i].tangent = 0;
    return handle(index);
  } catch (...) {
    const bool made = index < nodes_.size();
    const Shape shape = made ? nodes_[index].shape : Shape{};
    if (made) {
      nodes_.resize(index);
      values_.rewind(values);
    }
    inputs_.resize(first);
    if (made) name_lack_of_memory(op, shape, place);
    throw;
  }
}

const kernels::Stretch* Tape::stretches_of(const Node& node) {
  auto* stretch = scratch_.allocate<kernels::Stretch>(node.inputs);
  for (std::uint32_t i = 0; i < node.inputs; ++i) {
    stretch[i] = stretch_over(nodes_[inputs_[node.first_input + i]].shape, node.shape);
  }
  return stretch;
}

template <class T>
void Tape::forward(Node& node) {
  const ArenaScope scratch(scratch_);
  Context<T> c = context_of<T>(node);
  const auto start = profile_ ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point{};
  node.op->forward(c);
  if (profile_) note_time(*node.op, start, false);
  node.saved = c.saved_;
  if (detect_anomaly_) check_value(node);
}

}  // namespace reel
