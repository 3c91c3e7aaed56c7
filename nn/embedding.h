#pragma once

#include <initializer_list>
#include <span>

#include "nn/check.h"
#include "nn/init.h"

namespace reel::nn {

/// Rows of a table by number: tokens of shape [...] give [..., channels]. At first the table is normal with
/// deviation 1. Throws ValueError for a size below 0.
class Embedding final : public Module {
 public:
  Embedding(Module* parent, const Name& name, std::int64_t rows, std::int64_t channels)
      : Module(parent, name),
        weight(add_parameter("weight",
                             {checked_size(rows, {"embedding", "rows", name.place}),
                              checked_size(channels, {"embedding", "channels", name.place})},
                             true)) {
    init::normal(weight, seed());
  }

  Tensor operator()(std::span<const std::int32_t> tokens, const Shape& shape,
                    Place place = Place::here()) const {
    return embedding(Here(weight, place.file, place.line), tokens, shape);
  }

  Tensor operator()(std::initializer_list<std::int32_t> tokens, const Shape& shape,
                    Place place = Place::here()) const {
    return (*this)(std::span(tokens.begin(), tokens.size()), shape, place);
  }

  Parameter weight;
};

}  // namespace reel::nn
