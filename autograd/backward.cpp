#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "autograd/broadcast.h"
#include "autograd/tape.h"
#include "autograd/watch.h"

// What a tape plays backwards, and the gradients that this leaves.

namespace reel {
namespace {

template <class T>
void accumulate(const T* from, std::int64_t count, kernels::Into<T> into) {
  kernels::map(
      kernels::Sink<T>{into, count}, [](auto dy) { return dy; }, kernels::Source<T>{from, nullptr});
}

// Where a gradient lies that the op did not write to its input directly: because the input was stretched, or
// because it stands twice among the op's inputs and a kernel may write both at once, or because it is dy.
template <class T>
struct Detour {
  const T* memory = nullptr;
  bool stretched = false;
};

template <class T>
void fill_with_nan(void* memory, std::int64_t count) {
  std::fill_n(static_cast<T*>(memory), count, T(std::numeric_limits<double>::quiet_NaN()));
}

}  // namespace

void Tape::backward(Here loss, BackwardOptions options) {
  require_step(loss.place);
  const Tensor tensor = handle(resolve(loss));
  const Node& top = node(tensor);
  if (top.shape.size() != 1) {
    throw ShapeError(loss.place,
                     at(loss.place, "backward: the loss must have one element, this one has shape " +
                                        to_string(top.shape)) +
                         help_line("reduce it with sum() or mean(), or pass the gradient to start from"));
  }
  const double one = 1;
  backward(Here(tensor, loss.place.file, loss.place.line), std::span<const double>(&one, 1), options);
}

void Tape::backward(Here output, std::span<const double> gradient, BackwardOptions options) {
  require_step(output.place);
  const Tensor tensor = handle(resolve(output));
  check_backward(tensor, output.place);
  const Node& top = node(tensor);
  if (static_cast<std::int64_t>(gradient.size()) != top.shape.size()) {
    throw ShapeError(output.place,
                     at(output.place, "backward: " + std::to_string(gradient.size()) +
                                          " gradients for a tensor of shape " + to_string(top.shape)));
  }
  const AtWork guard(work_, Work::backward);
  ++plays_;
  begun_.clear();
  try {
    switch (precision_) {
      case Precision::f32:
        start<float>(tensor.index_, gradient), play<float>(tensor.index_, options, output.place);
        break;
      case Precision::f64:
        start<double>(tensor.index_, gradient), play<double>(tensor.index_, options, output.place);
        break;
      case Precision::dual:
        start<Dual>(tensor.index_, gradient), play<Dual>(tensor.index_, options, output.place);
        break;
    }
  } catch (...) {
    // Nobody may have written to what was begun last, and the next backward must not play what is on its way.
    for (const std::uint32_t i : begun_) forget_gradient(nodes_[i]);
    for (std::uint32_t i = 0; i <= tensor.index_; ++i) {
      if (nodes_[i].op != nullptr && nodes_[i].gradient != nullptr) release_gradient(nodes_[i]);
    }
    throw;
  }
}

void Tape::check_backward(const Tensor& t, Place place) const {
  if (steps_.back().inference) {
    throw StateError(place, at(place, "backward: this step was opened with inference()") +
                                help_line("open it with record()"));
  }
  for (const ParameterLeaf& leaf : parameter_leaves_) require_memory(leaf, "backward", place);
  const Node& top = nodes_[t.index_];
  if (!top.wants_gradient) {
    throw StateError(
        place,
        at(place, "backward: this tensor depends on no variable and no parameter that takes a gradient") +
            help_line("make an input with tape.variable(...), or use parameters that are not "
                      "frozen, in a step opened with record()"));
  }
}

template <class T>
void Tape::start(std::uint32_t index, std::span<const double> gradient) {
  const kernels::Into<T> into = into_of<T>(nodes_[index]);
  for (std::size_t i = 0; i < gradient.size(); ++i)
    into.store(static_cast<long>(i), static_cast<T>(gradient[i]));
}

template <class T>
kernels::Into<T> Tape::into_of_parameter(Node& input) {
  require_unchanged(input);
  if constexpr (std::is_same_v<T, float>) {
    const ParameterLeaf& leaf = lender(input);
    ParameterBlock::Entry& entry = leaf.block->entry(leaf.index);
    const bool add = entry.has_gradient;
    if (!add) begun_.push_back(index_of(input));  // first, because it may throw
    entry.has_gradient = true;
    input.gradient = leaf.block->gradients(leaf.index).data();
    return {static_cast<T*>(input.gradient), add};
  }
  return into_own<T>(input);
}

template <class T>
void Tape::play(std::uint32_t from, const BackwardOptions& options, Place where) {
  // Recording order is topological order: by the time a node is reached, all that depend on it have
  // delivered.
  for (std::uint32_t i = from + 1; i-- > 0;) {
    Node& current = nodes_[i];
    if (current.gradient == nullptr || current.op == nullptr) continue;
    if (current.consumed) {
      throw StateError(where, at(where, "backward: a second time through the same ops") +
                                  operand_line("tensor", current) +
                                  help_line("pass {.retain_graph = true} to the first backward"));
    }
    current.consumed = !options.retain_graph;
    if (watch_ != nullptr) note_gradient(i);
    if (current.op->view) {
      play_view<T>(current);
    } else {
      play_node<T>(current);
    }
    begun_.clear();
    if (detect_anomaly_ || watch_ != nullptr) check_gradients<T>(current);
    if (current.gradient != nullptr) put_away<T>(current);
  }
}

void Tape::forget_gradient(Node& node) {
  if (node.gradient == nullptr) return;
  if (node.parameter >= 0 && precision_ == Precision::f32) {
    const ParameterLeaf& leaf = lender(node);
    leaf.block->entry(leaf.index).has_gradient = false;
    node.gradient = nullptr;
  } else {
    release_gradient(node);
  }
}

template <class T>
void Tape::put_away(Node& made) {
  if (made.retained) {
    void* const sum = kept_gradient(made);
    if (sum == nullptr) {
      kept_.push_back({index_of(made), made.gradient});
      made.gradient = nullptr;
      return;
    }
    accumulate(static_cast<const T*>(made.gradient), made.size, {static_cast<T*>(sum), true});
  }
  if (gradients_.poisons()) fill_with_nan<T>(made.gradient, made.size);
  release_gradient(made);
}

// Its memory serves the next gradient of this size.
void Tape::release_gradient(Node& node) {
  const std::size_t bytes = static_cast<std::size_t>(node.size) * scalar_bytes_;
  if (is_of_this_step(node)) {
    pool_.give_back(node.gradient, bytes);
  } else {
    const auto lent = std::find_if(outer_gradients_.begin(), outer_gradients_.end(),
                                   [&](const OuterGradient& g) { return g.memory.get() == node.gradient; });
    // Not if it came while its step was innermost, or from a view in this step, by a swap.
    if (lent != outer_gradients_.end()) lent->free = true;
  }
  node.gradient = nullptr;
}

void* Tape::outer_gradient(const Node& node, std::size_t bytes) {
  const auto unused =
      std::find_if(outer_gradients_.begin(), outer_gradients_.end(),
                   [&](const OuterGradient& g) { return g.free && g.step == node.step && g.bytes == bytes; });
  if (unused != outer_gradients_.end()) {
    unused->free = false;
    return unused->memory.get();
  }
  outer_gradients_.push_back(
      {node.step, bytes, false, kernels::make_block<std::byte>(static_cast<std::int64_t>(bytes))});
  return outer_gradients_.back().memory.get();
}

void* Tape::kept_gradient(const Node& node) const {
  if (node.parameter >= 0 && precision_ == Precision::f32) {  // an optimizer may have taken it
    const ParameterLeaf& leaf = lender(node);
    return leaf.block->entry(leaf.index).has_gradient ? leaf.block->gradients(leaf.index).data() : nullptr;
  }
  if (node.op == nullptr) return node.gradient;
  const auto kept = std::find_if(kept_.begin(), kept_.end(),
                                 [&](const KeptGradient& k) { return k.node == index_of(node); });
  return kept == kept_.end() ? nullptr : kept->sum;
}

const void* Tape::gradient_of(const Tensor& t, Place where) const {
  const Node& node = nodes_[t.index_];
  if (node.borrowed) require_memory(lender(node), "gradient", where);
  if (!node.wants_gradient || !node.retained) {
    throw StateError(where, at(where, "gradient: this tensor keeps none") + operand_line("tensor", node) +
                                help_line(node.wants_gradient
                                              ? "call retain_gradient() on it before backward"
                                              : "only what depends on a variable has one, or on a parameter "
                                                "that is not frozen, in a step opened with record()"));
  }
  if (const void* sum = kept_gradient(node)) return sum;
  if (node.waits_since == plays_) {
    const char* since = node.op == nullptr ? "made" : "marked with retain_gradient";
    throw StateError(where,
                     at(where, std::string("gradient: backward has not run since this tensor was ") + since) +
                         operand_line("tensor", node));
  }
  return nullptr;
}

template <class T>
void Tape::play_view(Node& made) {
  Node& input = nodes_[inputs_[made.first_input]];
  if (input.gradient == nullptr && !input.retained && !made.retained) {
    std::swap(input.gradient, made.gradient);  // the same memory under another shape
  } else {
    accumulate(static_cast<const T*>(made.gradient), made.size, into_of<T>(input));
  }
}

template <class T>
void Tape::play_node(Node& made) {
  deliver<T>(made, [this](Node& input) { return into_of<T>(input); });
}

template <class T, class Target>
void Tape::deliver(Node& made, const Target& target) {
  const ArenaScope scratch(scratch_);
  Context<T> c = context_of<T>(made);
  c.dy_ = static_cast<const T*>(made.gradient);
  const InputSet passes = made.op->passes_dy_to;
  // A retained one is the user's, and one that is watched may be delivered again.
  const bool dy_is_spare = !made.retained && !detect_anomaly_ && watch_ == nullptr;
  if (dy_is_spare && passes.empty()) c.spare_dy_ = static_cast<T*>(made.gradient);
  auto* into = scratch_.allocate<kernels::Into<T>>(c.inputs_);
  auto* detours = made.detours || !passes.empty() ? scratch_.allocate<Detour<T>>(c.inputs_) : nullptr;
  const bool reads_inputs = includes(made.op->reads, Reads::inputs);
  for (int i = 0; i < c.inputs_; ++i) {
    Node& input = nodes_[c.input_nodes_[i]];
    if (input.borrowed && reads_inputs) require_unchanged(input);  // also if it is frozen, or a bias
    if (detours != nullptr) {
      const bool stretched = made.stretches && c.stretch_[i].rank > 0;
      const bool again =
          std::find(c.input_nodes_, c.input_nodes_ + i, c.input_nodes_[i]) != c.input_nodes_ + i;
      detours[i] = {};
      into[i] = {};
      if (!input.wants_gradient) continue;
      if (passes.has(i)) {
        detours[i] = {c.dy_, stretched};
        continue;
      }
      if (stretched || again) {
        T* const memory = scratch_.allocate<T>(stretched ? made.size : input.size);
        detours[i] = {memory, stretched};
        into[i] = {memory, false};
        continue;
      }
    }
    into[i] = input.wants_gradient ? target(input) : kernels::Into<T>{};
  }
  c.into_ = into;
  const auto start = profile_ ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point{};
  if (poison_unread_) {
    backward_without_unread<T>(made, c);
  } else {
    made.op->backward(c);
  }
  Node* heir = nullptr;  // of the memory of dy
  for (int i = 0; i < c.inputs_ && detours != nullptr; ++i) {
    if (detours[i].memory == nullptr) continue;
    Node& input = nodes_[c.input_nodes_[i]];
    if (passes.has(i) && dy_is_spare && heir == nullptr && !detours[i].stretched &&
        input.gradient == nullptr && !input.retained) {
      heir = &input;
      continue;
    }
    const kernels::Into<T> final = target(input);
    if (final.data == nullptr) continue;
    if (detours[i].stretched) {
      unstretch<T>(detours[i].memory, input.shape, made.shape, final, scratch_);
    } else {
      accumulate<T>(detours[i].memory, input.size, final);
    }
  }
  if (heir != nullptr && heir->gradient == nullptr) {
    std::swap(heir->gradient, made.gradient);
  } else if (heir != nullptr) {  // it was another input, too
    accumulate<T>(c.dy_, heir->size, target(*heir));
  }
  if (profile_) note_time(*made.op, start, true);
}

template <class T>
void Tape::check_gradients(Node& made) {
  const bool watched = watch_ != nullptr && !has_culprit();  // only the first counts
  if (!detect_anomaly_ && !watched) return;
  for (std::uint32_t k = 0; k < made.inputs; ++k) {
    const Node& input = nodes_[inputs_[made.first_input + k]];
    if (!input.wants_gradient || input.gradient == nullptr) continue;
    const std::int64_t element = first_not_finite(input.gradient, input.size);
    if (element < 0) continue;
    const std::uint32_t index = index_of(made);
    std::string what = gradient_fault(made, k, element);
    if (own_share_is_finite<T>(made, k))
      what += ": the sum of several gradients, of which this op's is finite";
    if (watched) {
      watch_->guilty = index;
      watch_->guilty_step = made.step;
      watch_->what = what;
    }
    if (detect_anomaly_) throw NonFiniteError(made.place(), anomaly_text(index, what));
    return;
  }
}

// Whether what the op itself adds to the gradient of an input is finite: its backward once more, beside what
// came from others.
template <class T>
bool Tape::own_share_is_finite(Node& made, std::uint32_t input) {
  Node& to = nodes_[inputs_[made.first_input + input]];
  if (made.op->view) return made.gradient != nullptr && first_not_finite(made.gradient, made.size) < 0;
  const ArenaScope scratch(scratch_);
  T* share = scratch_.allocate<T>(to.size);
  bool add = false;
  deliver<T>(made, [&](Node& other) {
    if (&other != &to) return kernels::Into<T>{};
    return kernels::Into<T>{share, std::exchange(add, true)};
  });
  return first_not_finite(share, to.size) < 0;
}

template <class T>
void Tape::backward_without_unread(const Node& made, Context<T>& c) {
  struct Kept {
    T* memory;
    std::vector<T> values;
  };
  // Other ops may read it, also if this one throws. Last first: an input that stands there twice was NaN the
  // second time.
  struct Restore {
    std::vector<Kept> kept;
    ~Restore() {
      for (auto k = kept.rbegin(); k != kept.rend(); ++k)
        std::copy(k->values.begin(), k->values.end(), k->memory);
    }
  } restore;
  const auto spoil = [&](const Node& unread) {
    if (!values_.owns(unread.value)) return;  // it is the model's or the user's
    T* memory = static_cast<T*>(unread.value);
    restore.kept.push_back({memory, std::vector<T>(memory, memory + unread.size)});
    fill_with_nan<T>(memory, unread.size);
  };
  if (!includes(made.op->reads, Reads::output)) spoil(made);
  for (std::uint32_t i = 0; i < made.inputs && !includes(made.op->reads, Reads::inputs); ++i) {
    spoil(nodes_[inputs_[made.first_input + i]]);
  }
  made.op->backward(c);
}

}  // namespace reel
