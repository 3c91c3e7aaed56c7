#include "tests/benchmarks/libtorch_steps.h"

#include <torch/torch.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

// OpenBLAS below libtorch has threads of its own.
extern "C" void openblas_set_num_threads(int) __attribute__((weak));

namespace peer {
namespace {

using torch::Tensor;
namespace F = torch::nn::functional;

Tensor whole_numbers(const std::vector<std::int32_t>& values) {
  return torch::tensor(values, torch::kInt32).to(torch::kInt64);
}

// Decays matrices and tables, not biases and norms: fewer operations, and what Reel does.
torch::optim::AdamW optimizer_of(const torch::nn::Module& model, Optimizing how) {
  std::vector<Tensor> decayed, others;
  for (const Tensor& p : model.parameters()) (p.dim() > 1 ? decayed : others).push_back(p);
  const auto options = [&](double decay) {
    return std::make_unique<torch::optim::AdamWOptions>(
        torch::optim::AdamWOptions(how.learning_rate).weight_decay(decay));
  };
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(decayed, options(how.weight_decay));
  groups.emplace_back(others, options(0));
  return torch::optim::AdamW(groups, torch::optim::AdamWOptions(how.learning_rate));
}

template <class Model, class Loss>
Training training(std::shared_ptr<Model> model, Optimizing how, Loss loss) {
  auto optimizer = std::make_shared<torch::optim::AdamW>(optimizer_of(*model, how));
  Training t;
  for (auto& p : model->named_parameters()) {
    t.values[p.key()] = {p.value().template data_ptr<float>(), static_cast<std::size_t>(p.value().numel())};
  }
  t.step = [model, optimizer, how, loss, parameters = model->parameters()] {
    model->zero_grad(/*set_to_none=*/true);  // gradients are then moved into place, not added to zeros
    const Tensor value = loss(*model);
    value.backward();
    if (how.clip_norm > 0) torch::nn::utils::clip_grad_norm_(parameters, how.clip_norm);
    optimizer->step();
    return static_cast<double>(*value.template data_ptr<float>());
  };
  return t;
}

struct Mlp : torch::nn::Module {
  explicit Mlp(const std::vector<std::int64_t>& sizes) {
    for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
      layers.push_back(
          register_module("layer" + std::to_string(i), torch::nn::Linear(sizes[i], sizes[i + 1])));
    }
  }
  Tensor forward(Tensor x) {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      x = layers[i](x);
      if (i + 1 < layers.size()) x = torch::relu_(x);
    }
    return x;
  }
  std::vector<torch::nn::Linear> layers;
};

// The ways there are to attend in libtorch 1.13; which one is fastest depends on sizes and threads.
enum class Attend { masked_fill, library, baddbmm };
constexpr std::pair<Attend, const char*> ways[] = {{Attend::masked_fill, "masked_fill"},
                                                   {Attend::library, "_scaled_dot_product_attention"},
                                                   {Attend::baddbmm, "baddbmm"}};

// What blocks share: sizes, masks, and the way.
struct Shared {
  GptSizes n;
  Tensor hidden;  // true above the diagonal
  Tensor minus;   // -inf there, otherwise 0
  Attend way = Attend::masked_fill;
};

struct Attention : torch::nn::Module {
  Attention(std::int64_t width, std::shared_ptr<Shared> with)
      : c_attn(register_module("c_attn", torch::nn::Linear(width, 3 * width))),
        c_proj(register_module("c_proj", torch::nn::Linear(width, width))),
        shared(std::move(with)) {}

  // x [batch * time, width]: with two dimensions a linear layer is one addmm.
  Tensor forward(const Tensor& x) {
    const GptSizes& n = shared->n;
    const std::int64_t channels = n.width / n.heads;
    const double scale = 1 / std::sqrt(static_cast<double>(channels));
    const Tensor qkv = c_attn(x);
    if (shared->way ==
        Attend::baddbmm) {  // one copy brings the heads together, scale and mask are part of the product
      const Tensor heads = qkv.view({n.batch, n.time, 3, n.heads, channels}).permute({2, 0, 3, 1, 4});
      const std::vector<Tensor> p = heads.reshape({3, n.batch * n.heads, n.time, channels}).unbind(0);
      const Tensor scores = torch::baddbmm(shared->minus, p[0], p[1].transpose(1, 2), 1, scale);
      return joined(torch::bmm(torch::softmax(scores, -1), p[2]).view({n.batch, n.heads, n.time, channels}));
    }
    const auto split = qkv.view({n.batch, n.time, 3 * n.width}).split(n.width, 2);
    const auto head = [&](std::size_t i) {
      return split[i].view({n.batch, n.time, n.heads, channels}).transpose(1, 2);
    };
    if (shared->way == Attend::library) {
      return joined(std::get<0>(at::_scaled_dot_product_attention(head(0), head(1), head(2), shared->minus)));
    }
    const Tensor scores = torch::matmul(head(0) * scale, head(1).transpose(-2, -1));
    const double infinity = std::numeric_limits<double>::infinity();
    return joined(torch::matmul(torch::softmax(scores.masked_fill(shared->hidden, -infinity), -1), head(2)));
  }
  Tensor joined(const Tensor& y) {
    return c_proj(y.transpose(1, 2).reshape({shared->n.batch * shared->n.time, shared->n.width}));
  }

  torch::nn::Linear c_attn, c_proj;
  std::shared_ptr<Shared> shared;
};

struct FeedForward : torch::nn::Module {
  explicit FeedForward(std::int64_t width)
      : c_fc(register_module("c_fc", torch::nn::Linear(width, 4 * width))),
        c_proj(register_module("c_proj", torch::nn::Linear(4 * width, width))) {}
  Tensor forward(const Tensor& x) { return c_proj(torch::gelu(c_fc(x), "tanh")); }
  torch::nn::Linear c_fc, c_proj;
};

torch::nn::LayerNorm norm(std::int64_t width) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({width}));
}

struct Block : torch::nn::Module {
  Block(std::int64_t width, const std::shared_ptr<Shared>& shared)
      : ln_1(register_module("ln_1", norm(width))),
        attn(register_module("attn", std::make_shared<Attention>(width, shared))),
        ln_2(register_module("ln_2", norm(width))),
        mlp(register_module("mlp", std::make_shared<FeedForward>(width))) {}
  Tensor forward(const Tensor& x) {
    const Tensor y = x + attn->forward(ln_1(x));
    return y + mlp->forward(ln_2(y));
  }
  torch::nn::LayerNorm ln_1;
  std::shared_ptr<Attention> attn;
  torch::nn::LayerNorm ln_2;
  std::shared_ptr<FeedForward> mlp;
};

struct Transformer : torch::nn::Module {
  Transformer(const GptSizes& n, const std::shared_ptr<Shared>& shared)
      : wte(register_module("wte", torch::nn::Embedding(n.vocabulary, n.width))),
        wpe(register_module("wpe", torch::nn::Embedding(n.context, n.width))),
        h(register_module("h", torch::nn::ModuleList())),
        ln_f(register_module("ln_f", norm(n.width))) {
    for (std::int64_t i = 0; i < n.layers; ++i) {
      blocks.push_back(std::make_shared<Block>(n.width, shared));
      h->push_back(blocks.back());
    }
  }
  torch::nn::Embedding wte, wpe;
  torch::nn::ModuleList h;
  torch::nn::LayerNorm ln_f;
  std::vector<std::shared_ptr<Block>> blocks;
};

struct Gpt : torch::nn::Module {
  explicit Gpt(const GptSizes& n) : shared(std::make_shared<Shared>()) {
    shared->n = n;
    shared->hidden = torch::ones({n.time, n.time}, torch::kBool).triu(1);
    shared->minus =
        torch::zeros({n.time, n.time}).masked_fill(shared->hidden, -std::numeric_limits<double>::infinity());
    positions = torch::arange(n.time);
    transformer = register_module("transformer", std::make_shared<Transformer>(n, shared));
  }
  Tensor forward(const Tensor& tokens) {
    const GptSizes& n = shared->n;
    Tensor x = (transformer->wte(tokens) + transformer->wpe(positions)).view({n.batch * n.time, n.width});
    for (const auto& block : transformer->blocks) x = block->forward(x);
    return F::linear(transformer->ln_f(x), transformer->wte->weight);
  }
  std::shared_ptr<Shared> shared;
  Tensor positions;
  std::shared_ptr<Transformer> transformer;
};

}  // namespace

void set_threads(int count) {
  at::set_num_threads(count);
  if (openblas_set_num_threads != nullptr) openblas_set_num_threads(count);
}

std::string version() { return TORCH_VERSION; }

Training train_mlp(const std::vector<std::int64_t>& sizes, const std::vector<float>& inputs,
                   const std::vector<std::int32_t>& labels, Optimizing how) {
  const Tensor x = torch::tensor(inputs).view({-1, sizes.front()});
  const Tensor y = whole_numbers(labels);
  return training(std::make_shared<Mlp>(sizes), how,
                  [x, y](Mlp& model) { return F::cross_entropy(model.forward(x), y); });
}

Training train_gpt(const GptSizes& sizes, const std::vector<std::int32_t>& tokens,
                   const std::vector<std::int32_t>& targets, Optimizing how) {
  const auto model = std::make_shared<Gpt>(sizes);
  const Tensor x = whole_numbers(tokens).view({sizes.batch, sizes.time});
  const Tensor y = whole_numbers(targets);
  const auto loss = [x, y](Gpt& gpt) { return F::cross_entropy(gpt.forward(x), y); };
  double best = std::numeric_limits<double>::infinity();
  Attend fastest{};
  const char* name = "";
  loss(*model).backward();
  double passed = 0;
  for (int round = 0; round < 3 && passed < 2; ++round) {
    for (const auto& [way, its_name] : ways) {
      model->shared->way = way;
      model->zero_grad(true);
      const auto start = std::chrono::steady_clock::now();
      loss(*model).backward();
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      passed += seconds;
      if (seconds < best) {
        best = seconds;
        fastest = way;
        name = its_name;
      }
    }
  }
  model->shared->way = fastest;
  model->zero_grad(true);
  Training t = training(model, how, loss);
  t.remark = name;
  return t;
}

}  // namespace peer
