#pragma once

#include <deque>
#include <initializer_list>
#include <span>
#include <string>

#include "autograd/error.h"
#include "nn/dropout.h"
#include "nn/linear.h"

namespace reel::nn {

struct MlpOptions {
  Tensor (*activation)(Here) = relu;
  double dropout = 0;  ///< after every hidden layer
};

/// A multi-layer perceptron: layer0, activation, dropout, layer1, ... The last layer gives logits.
/// A layer and its `relu` or `gelu` are one op, linear_relu or linear_gelu.
class Mlp final : public Module {
 public:
  /// `sizes` are the numbers of inputs, of hidden units and of outputs. A root. Throws ValueError for fewer
  /// than two.
  Mlp(Seed seed, std::span<const std::int64_t> sizes, MlpOptions options = {}, Place place = Place::here())
      : Module(seed), options_(options) {
    build(sizes, place);
  }
  Mlp(Module* parent, const Name& name, std::span<const std::int64_t> sizes, MlpOptions options = {})
      : Module(parent, name), options_(options) {
    build(sizes, name.place);
  }
  /// The same with the sizes in braces: Mlp(seed, {784, 128, 10}).
  Mlp(Seed seed, std::initializer_list<std::int64_t> sizes, MlpOptions options = {},
      Place place = Place::here())
      : Mlp(seed, std::span(sizes.begin(), sizes.size()), options, place) {}
  Mlp(Module* parent, const Name& name, std::initializer_list<std::int64_t> sizes, MlpOptions options = {})
      : Mlp(parent, name, std::span(sizes.begin(), sizes.size()), options) {}

  Tensor operator()(Here x) const {
    Here y = x;
    for (std::size_t i = 0; i < dropouts_.size(); ++i) y = x.with(dropouts_[i](hidden(layers_[i], y)));
    return layers_.back()(y);
  }

 private:
  Tensor hidden(const Linear& layer, Here x) const {
    if (options_.activation == &relu) return layer.with_relu(x);
    if (options_.activation == &gelu) return layer.with_gelu(x);
    return options_.activation(x.with(layer(x)));
  }

  void build(std::span<const std::int64_t> sizes, Place place) {
    if (sizes.size() < 2) {
      throw ValueError(place, at(place, "mlp: " + std::to_string(sizes.size()) + " sizes") +
                                  help_line("give at least the numbers of inputs and of outputs"));
    }
    if (options_.activation == nullptr) {
      throw ValueError(place, at(place, "mlp: activation = nullptr") + help_line("name an op, such as relu"));
    }
    for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
      if (i > 0)
        dropouts_.emplace_back(this, Name("dropout" + std::to_string(i - 1), place), options_.dropout);
      layers_.emplace_back(this, Name("layer" + std::to_string(i), place), sizes[i], sizes[i + 1]);
    }
  }

  MlpOptions options_;
  std::deque<Linear> layers_;
  std::deque<Dropout> dropouts_;
};

}  // namespace reel::nn
