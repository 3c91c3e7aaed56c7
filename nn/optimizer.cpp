#include "nn/optimizer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/optimizer.h"
#include "nn/check.h"
#include "nn/clip.h"
#include "nn/module.h"

namespace reel::nn {
namespace {

bool belongs(const std::string& name, const ParameterGroup& group) {
  const bool listed = std::any_of(group.names.begin(), group.names.end(),
                                  [&](const std::string& path) { return lies_in(name, path); });
  return listed || (group.matches && group.matches(name));
}

[[noreturn]] void refuse_group(const char* owner, Place where, std::size_t group, const std::string& reason) {
  throw ValueError(where,
                   at(where, std::string(owner) + ": groups[" + std::to_string(group) + "] " + reason));
}

// A misspelt name would silently train with the wrong settings.
void check_group(const char* owner, Place where, const ParameterBlock& block, const std::vector<bool>& chosen,
                 const ParameterGroup& group, std::size_t number) {
  check_not_negative_float(group.learning_rate_factor, {owner, "learning_rate_factor", where});
  if (group.weight_decay) {
    check_not_negative_float(*group.weight_decay, {owner, "weight_decay", where});
  }
  const auto any = [&](const auto& condition) {
    for (std::size_t i = 0; i < block.count(); ++i) {
      if (condition(block.entry(i).name, chosen[i])) return true;
    }
    return false;
  };
  for (const std::string& path : group.names) {
    if (any([&](const std::string& name, bool moves) { return moves && lies_in(name, path); })) continue;
    const bool exists = any([&](const std::string& name, bool) { return lies_in(name, path); });
    refuse_group(owner, where, number,
                 "names \"" + path +
                     (exists ? "\", which is not among the parameters that this optimizer was made for"
                             : "\", which is no parameter or module"));
  }
  if (!any([&](const std::string& name, bool moves) { return moves && belongs(name, group); }))
    refuse_group(owner, where, number, "holds no parameter");
}

}  // namespace

Optimizer::Optimizer(const char* name, const ModelParameters& model, const Common& common)
    : name_(name),
      block_(&model.block_for(name, common.where)),
      life_(block_->life()),
      length_(block_->length()),
      learning_rate_(common.learning_rate),
      clip_norm_(common.clip_norm),
      own_steps_(block_->count(), 0) {
  const Place where = common.where;
  check_not_negative_float(common.learning_rate, {name, "learning_rate", where});
  check_not_negative_float(common.weight_decay, {name, "weight_decay", where});
  check_not_negative(common.clip_norm, {name, "clip_norm", where});
  for (std::size_t g = 0; g < common.groups.size(); ++g)
    check_group(name, where, *block_, model.chosen_, common.groups[g], g);
  for (std::size_t i = 0; i < block_->count(); ++i) {
    const ParameterBlock::Entry& e = std::as_const(*block_).entry(i);
    Treatment treatment = {model.chosen_[i], 1, e.decay ? common.weight_decay : 0};
    bool grouped = false;
    for (std::size_t g = 0; g < common.groups.size() && treatment.moves; ++g) {
      const ParameterGroup& group = common.groups[g];
      if (!belongs(e.name, group)) continue;
      if (grouped)
        refuse_group(name, where, g, "holds \"" + e.name + "\", which is in another group already");
      grouped = true;
      treatment.rate_factor = group.learning_rate_factor;
      treatment.weight_decay = group.weight_decay.value_or(treatment.weight_decay);
    }
    treatments_.push_back(treatment);
  }
}

void Optimizer::add_slot(const char* name) {
  for (const Memory& m : memory_) {
    if (std::string_view(m.name) == name)
      throw ValueError(Place{}, std::string(name_) + ": the slot \"" + name + "\" is added twice" +
                                    help_line("checkpoints find a slot by its name: give each its own"));
  }
  const int stagger = ParameterBlock::first_slot_stagger + static_cast<int>(memory_.size());
  memory_.push_back({name, kernels::make_zero_block<float>(length_, stagger)});
}

void Optimizer::refuse_slot(std::size_t i) const {
  throw ValueError(Place{}, std::string(name_) + ": there is no slot " + std::to_string(i) + ", there are " +
                                std::to_string(memory_.size()) +
                                help_line("add it in the constructor: add_slot(\"name\")"));
}

void Optimizer::require_model(Place where) const {
  if (!life_.expired()) return;
  throw StateError(where,
                   at(where, std::string(name_) + ": the model whose parameters it steps was destroyed") +
                       help_line("an optimizer must not outlive its model"));
}

// What it remembers is as long as the block was when it was made.
void Optimizer::require_same_size(Place where) const {
  if (block_->count() == own_steps_.size()) return;
  throw StateError(where, at(where, std::string(name_) +
                                        ": parameters were added to the model after the optimizer was made") +
                              help_line("make the optimizer when the model is whole"));
}

void Optimizer::require_gradient(Place where) const {
  const auto& entries = block_->entries();
  bool found = false;
  for (std::size_t i = 0; i < entries.size() && !found; ++i) found = entries[i].has_gradient && moves(i);
  if (found) return;
  throw StateError(
      where,
      at(where, std::string(name_) + ": no backward has reached any of its parameters since the last step") +
          help_line("call tape.backward(loss) first; there is none where the loss does not use them or "
                    "requires_grad(false) froze them, and gradients of an f64 or dual tape stay on the tape; "
                    "another optimizer of the same parameters may have taken them: give each its part"));
}

void Optimizer::require_made_for(const ParameterBlock& parameters, std::string_view owner,
                                 Place where) const {
  require_model(where);
  if (block_ != &parameters) {
    throw StateError(where, at(where, std::string(owner) + ": the " + std::string(name_) +
                                          " was made for the parameters of another model") +
                                help_line("give the optimizer and the parameters of one model"));
  }
  require_same_size(where);
}

void require_made_for(const Optimizers& optimizers, const ParameterBlock& parameters, std::string_view owner,
                      Place where) {
  for (std::size_t i = 0; i < optimizers.size(); ++i) {
    const Optimizer& optimizer = optimizers[i];
    optimizer.require_made_for(parameters, owner, where);
    for (std::size_t k = 0; k < i; ++k) {
      if (&optimizers[k] != &optimizer) continue;
      throw ValueError(where, at(where, std::string(owner) + ": the " + std::string(optimizer.name()) +
                                            " stands in the list twice, as number " + std::to_string(k + 1) +
                                            " and " + std::to_string(i + 1)) +
                                  help_line("give each optimizer of the model once"));
    }
  }
}

void Optimizer::zero_grad(Place where) {
  require_model(where);
  require_same_size(where);
  clear_gradients();
}

void Optimizer::clear_gradients() {
  for (std::size_t i = 0; i < treatments_.size(); ++i) {
    if (treatments_[i].moves) block_->entry(i).has_gradient = false;
  }
}

StepReport Optimizer::step(Place where) {
  require_model(where);
  require_same_size(where);
  require_gradient(where);
  // A gradient that changes nothing must not make those of others smaller, nor keep them from being applied.
  const ParameterFilter counts = [this](std::size_t i) {
    const Treatment& t = treatments_[i];
    return t.moves && t.rate_factor != 0 && block_->entry(i).requires_grad;
  };
  const double norm = gradient_norm(*block_, counts);
  if (!std::isfinite(norm)) {
    ++counts_[skipped];
    ++counts_[skipped_last];
    const std::int64_t parameter = first_non_finite_gradient(*block_, counts);
    clear_gradients();
    block_->count_step();
    return {norm, true, parameter};
  }
  const double scale = clip_norm_ > 0 ? clip_factor(norm, clip_norm_) : 1.0;
  const auto alike = [&](std::size_t a, std::size_t b) {
    return treatments_[a] == treatments_[b] && own_steps_[a] == own_steps_[b] && counts(a) == counts(b);
  };
  const auto apply = [&](std::size_t first, std::size_t last, std::int64_t offset, std::int64_t count) {
    const std::int64_t step = own_steps_[first] + 1;
    const Treatment& t = treatments_[first];
    if (!counts(first)) return;
    update({.first = first,
            .last = last,
            .values = block_->values(first, last),
            .gradients = block_->gradients() + offset,
            .offset = offset,
            .count = count,
            .step = step,
            .learning_rate = learning_rate_ * t.rate_factor,
            .weight_decay = t.weight_decay,
            .scale = scale});
    std::fill(own_steps_.begin() + static_cast<std::ptrdiff_t>(first),
              own_steps_.begin() + static_cast<std::ptrdiff_t>(last), step);
  };
  for_gradient_runs(*block_, alike, apply);
  ++counts_[applied];
  counts_[skipped_last] = 0;
  clear_gradients();
  block_->count_step();
  return {norm, false, -1};
}

void Optimizer::set_learning_rate(double rate, Place where) {
  check_not_negative_float(rate, {name_, "learning_rate", where});
  learning_rate_ = rate;
}

std::vector<Optimizer::Slot> Optimizer::slots(Place where) {
  require_model(where);
  require_same_size(where);
  std::vector<Slot> all;
  for (const Memory& m : memory_)
    all.push_back({m.name, {m.values.get(), static_cast<std::size_t>(length_)}});
  return all;
}

std::vector<Optimizer::Counter> Optimizer::counters() {
  return {{"steps", counts_}, {"parameter_steps", own_steps_}};
}

SGD::SGD(ModelParameters model, SGDOptions options, Place where)
    : Optimizer("SGD", model,
                {options.learning_rate, options.weight_decay, options.clip_norm, options.groups, where}),
      momentum_(options.momentum),
      dampening_(options.dampening),
      nesterov_(options.nesterov) {
  check_fraction(momentum_, {"SGD", "momentum", where});
  if (!(dampening_ >= 0 && dampening_ <= 1))
    refuse(dampening_, {"SGD", "dampening", where}, "is not in [0, 1]");
  if (nesterov_ && momentum_ == 0)
    refuse(momentum_, {"SGD", "momentum", where}, "leaves nothing for nesterov to do");
  if (nesterov_ && dampening_ != 0)
    refuse(dampening_, {"SGD", "dampening", where}, "does not go with nesterov");
  if (momentum_ != 0) add_slot("m");
}

void SGD::update(const Run& run) {
  kernels::sgd(run.values, run.gradients, momentum_ != 0 ? slot(0) + run.offset : nullptr, run.count,
               {.learning_rate = run.learning_rate,
                .momentum = momentum_,
                .dampening = dampening_,
                .weight_decay = run.weight_decay,
                .nesterov = nesterov_},
               run.step, run.scale);
}

Adam::Adam(const char* name, const ModelParameters& model, const AdamOptions& options, bool decoupled,
           Place where)
    : Optimizer(name, model,
                {options.learning_rate, options.weight_decay, options.clip_norm, options.groups, where}),
      beta1_(options.beta1),
      beta2_(options.beta2),
      epsilon_(options.epsilon),
      decoupled_(decoupled) {
  check_fraction(beta1_, {name, "beta1", where});
  check_fraction(beta2_, {name, "beta2", where});
  check_positive_float(epsilon_, {name, "epsilon", where});
  add_slot("m");
  add_slot("v");
}

Adam::Adam(ModelParameters model, AdamOptions options, Place where)
    : Adam("Adam", model, options, false, where) {}

AdamW::AdamW(ModelParameters model, AdamWOptions options, Place where)
    : Adam("AdamW", model,
           {.learning_rate = options.learning_rate,
            .beta1 = options.beta1,
            .beta2 = options.beta2,
            .epsilon = options.epsilon,
            .weight_decay = options.weight_decay,
            .clip_norm = options.clip_norm,
            .groups = std::move(options.groups)},
           true, where) {}

void Adam::update(const Run& run) {
  const kernels::AdamRule rule = {.learning_rate = run.learning_rate,
                                  .beta1 = beta1_,
                                  .beta2 = beta2_,
                                  .epsilon = epsilon_,
                                  .weight_decay = run.weight_decay,
                                  .decoupled = decoupled_};
  if (run.step != corrected_step_) {
    correction_ = kernels::adam_correction(rule, run.step);
    corrected_step_ = run.step;
  }
  kernels::adam(run.values, run.gradients, slot(0) + run.offset, slot(1) + run.offset, run.count, rule,
                correction_, run.scale);
}

RMSprop::RMSprop(ModelParameters model, RMSpropOptions options, Place where)
    : Optimizer("RMSprop", model,
                {options.learning_rate, options.weight_decay, options.clip_norm, options.groups, where}),
      alpha_(options.alpha),
      epsilon_(options.epsilon),
      momentum_(options.momentum),
      centered_(options.centered) {
  check_fraction(alpha_, {"RMSprop", "alpha", where});
  check_positive_float(epsilon_, {"RMSprop", "epsilon", where});
  check_fraction(momentum_, {"RMSprop", "momentum", where});
  add_slot("v");
  if (centered_) add_slot("a");
  if (momentum_ != 0) add_slot("m");
}

void RMSprop::update(const Run& run) {
  float* const a = centered_ ? slot(1) + run.offset : nullptr;
  float* const m = momentum_ != 0 ? slot(centered_ ? 2 : 1) + run.offset : nullptr;
  kernels::rmsprop(run.values, run.gradients, slot(0) + run.offset, a, m, run.count,
                   {.learning_rate = run.learning_rate,
                    .alpha = alpha_,
                    .epsilon = epsilon_,
                    .weight_decay = run.weight_decay,
                    .momentum = momentum_,
                    .centered = centered_},
                   run.scale);
}

}  // namespace reel::nn
