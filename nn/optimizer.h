#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "autograd/parameter.h"
#include "autograd/place.h"
#include "kernels/optimizer.h"
#include "nn/model_parameters.h"

namespace reel::nn {

/// Parameters that an optimizer treats in their own way. None may be in two groups, and no group may be
/// empty. A group holds only parameters that the optimizer moves, and each of its names must stand for at
/// least one.
struct ParameterGroup {
  /// Full names ("hidden.weight") or the paths of modules ("hidden"), and a test of the full name; either may
  /// be left out.
  std::vector<std::string> names = {};
  std::function<bool(std::string_view name)> matches = nullptr;
  /// Times the optimizer's learning rate. 0 freezes: no change of these parameters or of their moments, no
  /// step in their own count, and their gradients do not count in the norm.
  double learning_rate_factor = 1;
  std::optional<double> weight_decay =
      std::nullopt;  ///< for all of the group; default: as if it were in no group
};

/// What a step found and did.
struct StepReport {
  double gradient_norm = 0;     ///< of the gradients of what it moves, frozen ones left out, before clipping
  bool skipped = false;         ///< a gradient was not finite: no weight has changed
  std::int64_t parameter = -1;  ///< if skipped: the first parameter (index in the block) with such a gradient
};

/// Changes the parameters of a model, or of a part, by their gradients, once a step. It neither reads nor
/// clears the gradients of other parameters, so several optimizers can share a model, each with its part.
/// Where parts overlap, the first to step takes the gradients. Gradients that no optimizer clears add up:
/// freeze those parameters, or call zero_grad() of the optimizer that takes them over before its first
/// backward. The slots of every optimizer are laid out like the whole block; what it does not move takes no
/// memory there.
///
/// A parameter that no backward has reached since the last zero_grad is left alone: no decay, no change of
/// its moments, no step in its own count (as in PyTorch). Weight decay by default leaves out what asks for
/// none: biases and norms. Module::requires_grad(false) freezes a part of a model; a group of
/// learning_rate_factor 0 keeps this optimizer alone from moving it; stop_gradient(parameter) in a forward
/// pass of your own leaves it out of one loss.
///
/// For an optimizer of your own, derive from it: options and slots in the constructor, the formula in update;
/// examples/13_own_optimizer.cpp is a whole one. What step() promises then holds for it, too.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// Applies the gradients and clears them. If one is not finite, they are cleared all the same, and nothing
  /// else changes but the count of skipped steps and that of the block, parameters().steps(), by which
  /// dropout draws its masks. A loss that is not finite is not looked at: if its gradients are finite, they
  /// are applied. Throws StateError if parameters were added since the optimizer was made, and if no backward
  /// has reached any of its parameters since their gradients were last cleared. Does not allocate.
  StepReport step(Place where = Place::here());
  /// Clears the gradients of what it moves, such as those that the loss of another part has left there.
  /// Throws StateError, as step does, if the model is gone or has grown.
  void zero_grad(Place where = Place::here());

  /// Whether parameter i of the block is one of those that this optimizer was made for, frozen or not.
  bool moves(std::size_t i) const { return i < treatments_.size() && treatments_[i].moves; }

  double learning_rate() const { return learning_rate_; }
  /// For schedules, before a step. Throws ValueError, as the constructors do, if negative or not finite. 0 is
  /// taken, as in PyTorch: a warm-up may begin there.
  void set_learning_rate(double rate, Place where = Place::here());

  std::int64_t step_count() const { return counts_[applied]; }  ///< steps that were applied
  std::int64_t skipped_steps() const {
    return counts_[skipped];
  }  ///< steps that were not, for a gradient not finite
  std::int64_t skipped_in_a_row() const {
    return counts_[skipped_last];
  }  ///< of these, since the last one applied

  /// What the optimizer remembers, by name, each as long as the block and laid out like it: "m" and "v" of
  /// Adam and AdamW; "m" of SGD with momentum; "v", "a" if centered, and "m" with momentum of RMSprop. For
  /// checkpoints, which may also write to it. Throws StateError, as step does, if the model is gone or has
  /// grown.
  struct Slot {
    std::string_view name;
    std::span<float> values;
    /// Those of one parameter.
    std::span<float> of(const ParameterBlock::Entry& e) const {
      return values.subspan(static_cast<std::size_t>(e.offset), static_cast<std::size_t>(e.size()));
    }
  };
  std::vector<Slot> slots(Place where = Place::here());
  /// The integers it remembers: "steps" {applied, skipped, skipped in a row} and "parameter_steps", one per
  /// parameter.
  struct Counter {
    std::string_view name;
    std::span<std::int64_t> values;
  };
  std::vector<Counter> counters();

  /// Throws StateError in the name of `owner`, which reads this optimizer's state beside `parameters`, unless
  /// it was made for them, or for a part of them, and they have not grown since.
  void require_made_for(const ParameterBlock& parameters, std::string_view owner,
                        Place where = Place::here()) const;

  ParameterBlock& block() const { return *block_; }
  std::string_view name() const { return name_; }  ///< "SGD", "Adam", "AdamW", "RMSprop", or your own

 protected:
  /// What all optimizers have in common.
  struct Common {
    double learning_rate;
    double weight_decay;  ///< of what decays by default and is in no group that sets its own
    double clip_norm;     ///< largest norm of its gradients together; 0: no limit
    const std::vector<ParameterGroup>& groups;  ///< read in the constructor alone
    Place where;                                ///< the line of the user, for errors
  };
  /// `name` must be a literal: errors begin with it, and a checkpoint is loaded only into an optimizer of the
  /// same name. Throws ValueError for a number out of its range, a part without parameters, parts of several
  /// models, or a group that is empty, names what this optimizer does not move, or shares a parameter with
  /// another.
  Optimizer(const char* name, const ModelParameters& model, const Common& common);

  /// Adds a slot of zeros, as long as the block; for constructors. The name must be a literal; throws
  /// ValueError if another slot has it. All that an optimizer learns must be in slots: nothing else of it is
  /// in checkpoints and fingerprints but the counters.
  void add_slot(const char* name);
  /// The numbers of the slot that was added as number i, from 0; [length of the block]. Throws ValueError if
  /// there are not so many.
  float* slot(std::size_t i) {
    if (i >= memory_.size()) refuse_slot(i);
    return memory_[i].values.get();
  }

  /// A stretch of the block in which everything is treated alike: parameters side by side that it moves, that
  /// all have a gradient and are not frozen. It may hold gaps between parameters, where values, gradients and
  /// slots are zeros; an update must leave zeros there.
  struct Run {
    std::size_t first, last;  ///< the parameters: entries [first, last) of the block
    float* values;            ///< [count], to be changed
    const float* gradients;   ///< [count], finite
    std::int64_t offset;      ///< of their first number in the block, and so in every slot
    std::int64_t count;       ///< how many numbers
    std::int64_t step;        ///< how many times these parameters have been updated, this time included
    double learning_rate;     ///< that of the optimizer times the factor of the group
    double weight_decay;      ///< 0 for what does not decay
    double scale;  ///< to multiply each gradient by before its use: 1, or less where clip_norm limits
  };
  /// Changes the values and slots of a run; called by step(), once for each run. Must not throw, and to keep
  /// the promises of step() it asks the heap for nothing.
  virtual void update(const Run& run) = 0;

 private:
  [[noreturn]] void refuse_slot(std::size_t i) const;
  void require_model(Place where) const;
  void require_same_size(Place where) const;
  void require_gradient(Place where) const;
  void clear_gradients();
  struct Memory {
    const char* name;
    kernels::Block<float> values;
  };
  struct Treatment {
    bool moves;
    double rate_factor;
    double weight_decay;
    bool operator==(const Treatment&) const = default;
  };
  enum { applied, skipped, skipped_last };

  const char* name_;
  ParameterBlock* block_;
  std::weak_ptr<const void> life_;  // of the block
  std::int64_t length_;
  double learning_rate_;
  double clip_norm_;
  std::vector<Treatment> treatments_;    // one per parameter
  std::vector<std::int64_t> own_steps_;  // one per parameter
  std::vector<Memory> memory_;
  std::int64_t counts_[3] = {};
};

/// Optimizers of one model, each with its part: {generator, critic}. They must outlive the list. A class,
/// because a std::vector would read {&generator, &critic} as the two ends of a range.
class Optimizers {
 public:
  using Reference = std::reference_wrapper<Optimizer>;
  Optimizers(std::initializer_list<Reference> list) : list_(list) {}  // NOLINT: a list is passed as it is
  explicit Optimizers(std::vector<Reference> list) : list_(std::move(list)) {}

  std::size_t size() const { return list_.size(); }
  Optimizer& operator[](std::size_t i) const { return list_[i]; }
  auto begin() const { return list_.begin(); }
  auto end() const { return list_.end(); }

 private:
  std::vector<Reference> list_;
};

/// Optimizer::require_made_for of each. Throws ValueError if one is there twice.
void require_made_for(const Optimizers& optimizers, const ParameterBlock& parameters, std::string_view owner,
                      Place where = Place::here());

struct SGDOptions {
  double learning_rate = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
  double clip_norm = 0;  ///< largest norm of its gradients together; 0: no limit
  std::vector<ParameterGroup> groups = {};
};
/// Stochastic gradient descent, with momentum if asked for (Sutskever et al. 2013).
class SGD final : public Optimizer {
 public:
  /// Throws ValueError for an option out of its range, and for a model or a part of one without parameters.
  explicit SGD(ModelParameters model, SGDOptions options = {}, Place where = Place::here());

 private:
  void update(const Run& run) override;
  double momentum_;
  double dampening_;
  bool nesterov_;
};

struct AdamOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;  ///< added to the gradient
  double clip_norm = 0;     ///< largest norm of its gradients together; 0: no limit
  std::vector<ParameterGroup> groups = {};
};
/// Adam (Kingma, Ba 2015).
class Adam : public Optimizer {
 public:
  /// Throws ValueError for an option out of its range, and for a model or a part of one without parameters.
  explicit Adam(ModelParameters model, AdamOptions options = {}, Place where = Place::here());

 protected:
  Adam(const char* name, const ModelParameters& model, const AdamOptions& options, bool decoupled,
       Place where);

 private:
  void update(const Run& run) override;
  double beta1_;
  double beta2_;
  double epsilon_;
  bool decoupled_;
  std::int64_t corrected_step_ = 0;  // of the correction, which most runs of a step share
  kernels::AdamCorrection correction_;
};

struct AdamWOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 1e-2;  ///< times the learning rate, taken off the weight itself
  double clip_norm = 0;        ///< largest norm of its gradients together; 0: no limit
  std::vector<ParameterGroup> groups = {};
};
/// Adam with weight decay apart from the gradient (Loshchilov, Hutter 2019).
class AdamW final : public Adam {
 public:
  /// Throws ValueError for an option out of its range, and for a model or a part of one without parameters.
  explicit AdamW(ModelParameters model, AdamWOptions options = {}, Place where = Place::here());
};

struct RMSpropOptions {
  double learning_rate = 1e-2;
  double alpha = 0.99;
  double epsilon = 1e-8;
  double weight_decay = 0;
  double momentum = 0;
  bool centered = false;  ///< divide by the deviation of the gradient, not by its size
  double clip_norm = 0;   ///< largest norm of its gradients together; 0: no limit
  std::vector<ParameterGroup> groups = {};
};
/// RMSprop (Hinton 2012; centered: Graves 2013).
class RMSprop final : public Optimizer {
 public:
  /// Throws ValueError for an option out of its range, and for a model or a part of one without parameters.
  explicit RMSprop(ModelParameters model, RMSpropOptions options = {}, Place where = Place::here());

 private:
  void update(const Run& run) override;
  double alpha_;
  double epsilon_;
  double momentum_;
  bool centered_;
};

}  // namespace reel::nn
