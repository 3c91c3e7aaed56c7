#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "nn/module.h"

namespace reel::nn {

/// Modules and functions, one after the other:
///
///     nn::Sequential net{this, "net"};
///     net.add<nn::Linear>("0", 2, 16).then(tanh).add<nn::Linear>("1", 16, 3);
class Sequential final : public Module {
 public:
  using Module::Module;

  /// Makes a child of type M by M(parent, name, arguments...) and appends it. Throws what that throws.
  template <class M, class... Arguments>
  Sequential& add(const Name& name, Arguments&&... arguments) {
    auto made = std::make_shared<M>(this, name, std::forward<Arguments>(arguments)...);
    return then([made](Here x) { return (*made)(x); });
  }
  /// Appends a function of one tensor: an op by its name, or anything that can be called.
  Sequential& then(Tensor (*function)(Here)) {
    steps_.emplace_back(function);
    return *this;
  }
  template <std::convertible_to<std::function<Tensor(Here)>> F>
  Sequential& then(F function) {
    steps_.emplace_back(std::move(function));
    return *this;
  }

  Tensor operator()(Here x) const {
    Tensor y = tensor_of(x);
    for (const auto& step : steps_) y = step(x.with(y));
    return y;
  }

 private:
  std::vector<std::function<Tensor(Here)>> steps_;
};

}  // namespace reel::nn
