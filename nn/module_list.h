#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <utility>

#include "autograd/error.h"
#include "nn/module.h"

namespace reel::nn {

/// Modules of one type, called "0", "1", ... after the order in which they were added, as in PyTorch's:
///
///     nn::ModuleList<nn::Linear> layers{this, "layers"};
///     ...
///     for (int i = 0; i < 4; ++i) layers.add(64, 64);
///     for (const nn::Linear& layer : layers) x = relu(layer(x));
///
/// They stay where they were made, so that a std::vector cannot hold them. Errors of what is added name the
/// line of the list.
template <class M>
class ModuleList final : public Module {
 public:
  ModuleList(Module* parent, const Name& name) : Module(parent, name), place_(name.place) {}

  /// Makes M(this, number, arguments...) and appends it. Throws what that throws; if parameters had been made
  /// by then, which stay in the model, the list takes no more, and add() throws StateError.
  template <class... Arguments>
  M& add(Arguments&&... arguments) {
    const std::string number = std::to_string(modules_.size());
    if (half_made_) refuse_half_made(number);
    const std::size_t before = parameters().count();
    try {
      return modules_.emplace_back(this, Name(number, place_), std::forward<Arguments>(arguments)...);
    } catch (...) {
      half_made_ = parameters().count() > before;
      if (!half_made_) release(number);
      throw;
    }
  }

  std::size_t size() const { return modules_.size(); }
  /// Throws ValueError if there is no module of this number.
  M& at(std::size_t i, Place where = Place::here()) { return modules_[checked(i, where)]; }
  const M& at(std::size_t i, Place where = Place::here()) const { return modules_[checked(i, where)]; }

  auto begin() { return modules_.begin(); }
  auto end() { return modules_.end(); }
  auto begin() const { return modules_.begin(); }
  auto end() const { return modules_.end(); }

 private:
  std::size_t checked(std::size_t i, Place where) const {
    if (i < modules_.size()) return i;
    throw ValueError(where,
                     reel::at(where, "module list: \"" + path() + "\" has no module " + std::to_string(i) +
                                         ", there are " + std::to_string(modules_.size())) +
                         help_line("count from 0, as their names do"));
  }

  [[noreturn]] void refuse_half_made(const std::string& number) const {
    throw StateError(place_, reel::at(place_, "module list: the making of \"" + path() + "." + number +
                                                  "\" failed halfway, and its parameters are in the model") +
                                 help_line("build the model anew"));
  }

  std::deque<M> modules_;
  bool half_made_ = false;  // parameters of a module that is not there keep the next one's names
  Place place_;
};

}  // namespace reel::nn
