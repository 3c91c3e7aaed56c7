#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "autograd/ops.h"
#include "autograd/parameter.h"

namespace reel::nn {

/// Where a model's random numbers come from: initial weights and dropout follow from it.
struct Seed {
  std::uint64_t value = 0;
};

/// What a child or a parameter is called by its parent, and the line in which it was named, which errors
/// name: made by implicit conversion. A constructor of your own that takes a Name and passes it on keeps the
/// line of the call.
struct Name {
  Name(const char* name, Place where = Place::here()) : text(name), place(where) {}             // NOLINT
  Name(std::string name, Place where = Place::here()) : text(std::move(name)), place(where) {}  // NOLINT
  Name(std::string_view name, Place where = Place::here()) : text(name), place(where) {}        // NOLINT
  std::string text;
  Place place;
};

/// Something with parameters. The root owns all parameters of the model in one flat block; children are
/// members that are declared once, with their parent and their name:
///
///     struct Mlp final : nn::Module {
///       using nn::Module::Module;
///       nn::Linear hidden{this, "hidden", 784, 256};
///       nn::Linear output{this, "output", 256, 10};
///       Tensor operator()(Here x) const { return output(gelu(hidden(x))); }
///     };
///     Mlp model(nn::Seed{1});
///
/// Parameters are named by their path: "hidden.weight". A module stays where it was made: it can be neither
/// copied nor moved.
class Module {
 public:
  /// A root.
  explicit Module(Seed seed);
  /// A child. Throws ValueError if there is no parent, if a sibling has that name, or if the name is empty or
  /// holds a dot. As the place of a member that is initialised where it is declared, compilers give the
  /// struct that holds it.
  Module(Module* parent, const Name& name);
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// The parameters of the whole model, also when a part of it is asked; an optimizer of that part is given
  /// the module itself.
  ParameterBlock& parameters() { return state_->block; }
  const ParameterBlock& parameters() const { return state_->block; }
  const std::string& path() const { return path_; }
  /// Whether a parameter of this name is one of this module's, or of those below it.
  bool holds(std::string_view parameter) const;
  Seed seed() const { return state_->seed; }

  /// Training is on at first: dropout drops. It is a property of the whole model.
  void train(bool on = true) { state_->training = on; }
  void eval() { train(false); }
  bool training() const { return state_->training; }

  /// Freezes (false) or frees the parameters of this module and of those below it, from their next use on:
  /// backward spends nothing on a frozen one, and no optimizer moves it. What stands before it gets its
  /// gradients all the same. As PyTorch's requires_grad_.
  void requires_grad(bool on);

  /// The number that the masks of dropout follow from. Unless it was set it is parameters().steps(), which
  /// every step of an optimizer counts up and a checkpoint keeps.
  std::uint64_t step() const { return state_->step.value_or(state_->block.steps()); }
  /// Sets that number from here on, until it is set again; std::nullopt sets it free. Passes with one number,
  /// each in a tape step of its own, draw the same masks: set another before each of several passes in one
  /// optimizer step (gradients that add up, samples of a model with dropout) whose masks are to differ.
  void set_step(std::optional<std::uint64_t> step) { state_->step = step; }

 protected:
  /// Adds a parameter of zeros; `decay` says whether weight decay applies to it by default.
  /// Throws ValueError for a name as the constructor does.
  Parameter add_parameter(const Name& name, const Shape& shape, bool decay);
  /// Frees the name of a child whose making failed before it had a parameter.
  void release(const std::string& name) { names_.erase(name); }

 private:
  struct State {
    ParameterBlock block;
    Seed seed;
    bool training = true;
    std::optional<std::uint64_t> step = std::nullopt;  // if it was set
  };
  static State* state_of(const Module* parent, const Name& name);
  void claim(const Name& name);
  std::string path_of(std::string_view name) const;

  std::unique_ptr<State> owned_;  // in a root
  State* state_;
  std::string path_;
  std::unordered_set<std::string> names_;  // of children and parameters
};

/// Whether `name` is `path` or lies below it: "hidden" holds "hidden.weight", not "hidden2.weight".
bool lies_in(std::string_view name, std::string_view path);

}  // namespace reel::nn
