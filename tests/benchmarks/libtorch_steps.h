#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

// Training steps in libtorch's C++ interface, as its user would write them. This header knows nothing of
// libtorch, so that only one file has to.

namespace peer {

struct Training {
  std::function<double()> step;                    // returns the loss before it
  std::map<std::string, std::span<float>> values;  // of the parameters, by name
  std::string remark;                              // what was chosen, for the reader of the table
};

struct GptSizes {
  std::int64_t vocabulary, context, layers, heads, width, batch, time;
};

struct Optimizing {
  double learning_rate, weight_decay;
  double clip_norm;  // 0: no limit
};

void set_threads(int count);
std::string version();

Training train_mlp(const std::vector<std::int64_t>& sizes, const std::vector<float>& inputs,
                   const std::vector<std::int32_t>& labels, Optimizing how);
Training train_gpt(const GptSizes& sizes, const std::vector<std::int32_t>& tokens,
                   const std::vector<std::int32_t>& targets, Optimizing how);

}  // namespace peer
