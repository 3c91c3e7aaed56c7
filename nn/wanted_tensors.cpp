#include "nn/wanted_tensors.h"

#include <set>

#include "nn/error.h"
#include "nn/safetensors_header.h"

namespace reel::nn {
namespace {

std::string text_of(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t n : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

bool is_float(Dtype dtype) {
  return dtype == Dtype::f32 || dtype == Dtype::f16 || dtype == Dtype::bf16 || dtype == Dtype::f64;
}

}  // namespace

std::vector<std::int64_t> sizes_of(const Shape& shape) {
  std::vector<std::int64_t> sizes;
  for (int d = 0; d < shape.rank(); ++d) sizes.push_back(shape[d]);
  return sizes;
}

void require_fit(const Safetensors& file, const std::vector<WantedTensor>& wanted,
                 const std::function<bool(std::string_view name)>& ignored) {
  constexpr int most = 100;  // more than a file needs to show what it is
  std::string problems;
  int count = 0;
  const auto complain = [&](const std::string& name, const std::string& what) {
    if (++count <= most) problems += "\n    " + name + ": " + what;
  };
  std::set<std::string_view> names;
  for (const WantedTensor& want : wanted) {
    names.insert(want.name);
    const SafetensorsEntry* tensor = file.find(want.name);
    if (tensor == nullptr) {
      complain(want.name, "missing");
      continue;
    }
    if (tensor->shape != want.shape) {
      complain(want.name, "has shape " + text_of(tensor->shape) + ", the model's is " + text_of(want.shape));
    }
    if (tensor->dtype != want.dtype && !(want.convertible && is_float(tensor->dtype))) {
      complain(want.name, "has dtype " + std::string(name_of(tensor->dtype)) + ", not " +
                              std::string(name_of(want.dtype)));
    }
  }
  for (const SafetensorsEntry& tensor : file.entries()) {
    if (names.count(tensor.name) == 0 && !(ignored && ignored(tensor.name)))
      complain(in_quotes(tensor.name), "is not a parameter of the model");
  }
  if (count > most) problems += "\n    and " + std::to_string(count - most) + " more";
  if (count > 0) throw FileError(file.name() + ": its tensors do not fit the model:" + problems);
}

}  // namespace reel::nn
