#include "nn/gpt2_weights.h"

#include <algorithm>
#include <string>
#include <utility>

#include "autograd/error.h"
#include "nn/error.h"
#include "nn/wanted_tensors.h"

namespace reel::nn {
namespace {

constexpr std::string_view prefix = "transformer.";
constexpr std::string_view head_name = "lm_head.weight";

std::string prefix_of(const Safetensors& file) {
  const auto has_it = [](const SafetensorsEntry& tensor) { return tensor.name.starts_with(prefix); };
  return std::string(std::any_of(file.entries().begin(), file.entries().end(), has_it) ? prefix : "");
}

// The name of a parameter in the file.
std::string name_in(const Safetensors& file, const std::string& parameter) {
  if (!parameter.starts_with(prefix)) return parameter;
  return prefix_of(file) + parameter.substr(prefix.size());
}

// Layers that are Conv1D in the file: weights [in, out].
bool lies_transposed(std::string_view parameter) {
  return parameter.ends_with(".c_attn.weight") || parameter.ends_with(".c_proj.weight") ||
         parameter.ends_with(".c_fc.weight");
}

bool is_mask(std::string_view name) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
}

void refuse_untransposed(const Safetensors& file) {
  const std::string name = prefix_of(file) + "h.0.attn.c_attn.weight";
  const SafetensorsEntry* first = file.find(name);
  if (first == nullptr || first->shape.size() != 2 || first->shape[0] != 3 * first->shape[1]) return;
  throw FileError(file.name() + ": tensor \"" + name +
                  "\" lies as [out, in], not as Hugging Face's GPT-2 has it" +
                  help_line("such a file goes into the model as it is: load_weights"));
}

// A head that is stored although it is tied must be the embedding: else the model would not be the file's.
void require_tied(const Safetensors& file) {
  const SafetensorsEntry* head = file.find(head_name);
  if (head == nullptr) return;
  const SafetensorsEntry& embedding = file.at(prefix_of(file) + "wte.weight");
  if (head->shape == embedding.shape && file.to_floats(*head) == file.to_floats(embedding)) return;
  throw FileError(file.name() + ": lm_head.weight is not the embedding, the model's head is tied to it" +
                  help_line("make the model with .tie_head = false"));
}

void copy_transposed(const std::vector<float>& from, const Shape& shape, std::span<float> to) {
  const auto out = static_cast<std::size_t>(shape[0]);
  const auto in = static_cast<std::size_t>(shape[1]);
  for (std::size_t o = 0; o < out; ++o) {
    for (std::size_t i = 0; i < in; ++i) to[o * in + i] = from[i * out + o];
  }
}

}  // namespace

GptConfig gpt2_config(const Safetensors& file, std::int64_t heads, Place place) {
  const std::string start = prefix_of(file);
  const auto table = [&](const char* name) -> const std::vector<std::int64_t>& {
    const SafetensorsEntry* tensor = file.find(start + name);
    if (tensor == nullptr || tensor->shape.size() != 2 || tensor->shape[0] < 1 || tensor->shape[1] < 1) {
      throw FileError(file.name() + ": it holds no GPT-2: \"" + start + name + "\" is not a table in it");
    }
    return tensor->shape;
  };
  GptConfig config;
  config.vocabulary = table("wte.weight")[0];
  config.width = table("wte.weight")[1];
  config.context = table("wpe.weight")[0];
  config.layers = 0;
  while (file.find(start + "h." + std::to_string(config.layers) + ".ln_1.weight") != nullptr) ++config.layers;
  if (config.layers == 0) throw FileError(file.name() + ": it holds no GPT-2: it has no layers");
  constexpr std::int64_t channels = 64;
  if (heads == 0 && config.width % channels != 0) {
    throw ValueError(place, at(place, "gpt2_config: heads of 64 channels do not fill the width " +
                                          std::to_string(config.width)) +
                                help_line("say how many heads there are"));
  }
  config.heads = heads == 0 ? config.width / channels : heads;
  const SafetensorsEntry* head = file.find(head_name);
  config.tie_head = head == nullptr || file.to_floats(*head) == file.to_floats(file.at(start + "wte.weight"));
  return config;
}

void load_gpt2_weights(const Safetensors& file, Gpt& model) {
  refuse_untransposed(file);
  ParameterBlock& parameters = model.parameters();
  const bool tied = model.config().tie_head;
  const bool has_head = file.find(head_name) != nullptr;
  std::vector<WantedTensor> wanted;
  for (const auto& entry : parameters.entries()) {
    const bool is_copy = entry.name == head_name && !has_head;
    std::vector<std::int64_t> shape = sizes_of(entry.shape);
    if (lies_transposed(entry.name)) std::swap(shape[0], shape[1]);
    wanted.push_back(
        {is_copy ? prefix_of(file) + "wte.weight" : name_in(file, entry.name), shape, Dtype::f32, true});
  }
  require_fit(file, wanted,
              [&](std::string_view name) { return is_mask(name) || (tied && name == head_name); });
  if (tied) require_tied(file);
  // All of the memory that this takes is asked for before the first weight changes.
  std::vector<std::vector<float>> values;
  for (const WantedTensor& tensor : wanted) values.push_back(file.to_floats(file.at(tensor.name)));
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    if (lies_transposed(parameters.entry(i).name)) {
      copy_transposed(values[i], parameters.entry(i).shape, parameters.values(i));
    } else {
      std::copy(values[i].begin(), values[i].end(), parameters.values(i).begin());
    }
  }
}

}  // namespace reel::nn
