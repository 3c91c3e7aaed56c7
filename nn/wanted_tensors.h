#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "autograd/shape.h"
#include "nn/safetensors.h"

namespace reel::nn {

/// A tensor that a file must hold.
struct WantedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  Dtype dtype = Dtype::f32;
  bool convertible = false;  ///< F16, BF16 and F64 will do, too
};

/// Compares the file with the list. Throws FileError with a line for every tensor that is missing, of another
/// shape or of another type, and for every one that nobody wants and `ignored` does not excuse.
void require_fit(const Safetensors& file, const std::vector<WantedTensor>& wanted,
                 const std::function<bool(std::string_view name)>& ignored);

/// The shape as a file lists it.
std::vector<std::int64_t> sizes_of(const Shape& shape);

}  // namespace reel::nn
