#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "data/error.h"
#include "data/file.h"
#include "examples/commands.h"
#include "examples/embedded.h"
#include "examples/exit_code.h"
#include "examples/transformer.h"
#include "examples/usage_error.h"
#include "nn/atomic_file.h"

namespace reel::examples {
namespace {

using Json = nlohmann::ordered_json;
using Rows = std::vector<std::vector<double>>;

const std::vector<std::string> words = {"the", "cat", "sat", "down"};

// What the example starts from: four tokens of three components.
struct Setting {
  Rows q = {{1.0, 0.0, 0.5}, {0.5, 1.5, -0.5}, {-0.5, 1.0, 1.0}, {0.0, 0.5, 2.0}};
  Rows k = {{0.5, 0.0, -0.5}, {1.0, 1.5, 0.0}, {-0.5, 1.0, 1.5}, {0.5, -1.0, 1.0}};
  Rows v = {{1.0, 0.0, 0.0}, {0.0, 2.0, 0.5}, {0.5, 1.0, -1.0}, {-1.0, 0.5, 2.0}};
  double temperature = 1;
  std::int64_t token = 3;
  std::int64_t component = 1;
};

Tensor variable(Tape& tape, const Rows& rows) {
  std::vector<double> flat;
  for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
  return tape.variable(flat,
                       {static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(rows[0].size())});
}

Rows rows_of(const std::vector<double>& flat, std::size_t columns) {
  Rows rows;
  for (std::size_t i = 0; i < flat.size(); i += columns) {
    rows.emplace_back(flat.begin() + static_cast<std::ptrdiff_t>(i),
                      flat.begin() + static_cast<std::ptrdiff_t>(i + columns));
  }
  return rows;
}

// The engine's numbers, in double precision.
Json computed(const Setting& s) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor q = variable(tape, s.q);
  const Tensor k = variable(tape, s.k);
  const Tensor v = variable(tape, s.v);
  const std::size_t n = s.q.size();
  const std::size_t d = s.q[0].size();
  const Tensor scores =
      matmul(q, k, {.transpose_b = true}) / (std::sqrt(static_cast<double>(d)) * s.temperature);
  const Tensor weights = softmax(scores);
  const Tensor outputs = matmul(weights, v);
  tape.backward(slice(slice(outputs, 0, s.token, s.token + 1), 1, s.component, s.component + 1));
  return {{"q", s.q},
          {"k", s.k},
          {"v", s.v},
          {"temperature", s.temperature},
          {"token", s.token},
          {"component", s.component},
          {"scores", rows_of(scores.values(), n)},
          {"weights", rows_of(weights.values(), n)},
          {"outputs", rows_of(outputs.values(), d)},
          {"dq", rows_of(q.gradient(), d)},
          {"dk", rows_of(k.gradient(), d)},
          {"dv", rows_of(v.gradient(), d)}};
}

// Settings for the page to check its own arithmetic with.
Json checks(const Setting& first) {
  Json list = Json::array({computed(first)});
  for (int i = 1; i < 8; ++i) {
    Setting s = first;
    s.temperature = std::pow(10.0, 0.5 * (i - 4));
    s.token = i % 4;
    s.component = i % 3;
    const auto r = static_cast<std::size_t>(i) % 4;
    s.q[r][0] += 0.7 * i;
    s.k[(r + 1) % 4][1] -= 0.3 * i;
    s.v[(r + 2) % 4][2] += 0.1 * i;
    list.push_back(computed(s));
  }
  return list;
}

// A slip must not cost a model: only a page is written over.
void require_no_other_file(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error) || std::filesystem::file_size(path, error) == 0) return;
  std::ifstream file(path, std::ios::binary);
  std::string start(2, ' ');
  if (file.read(start.data(), 2) && start == "<!") return;
  throw UsageError("--html: " + data::printable(path) +
                   " is there already and is no page; give another name");
}

void write_page(const std::string& path, const Json& data) {
  require_no_other_file(path);
  std::string page(embedded::attention_page);
  const std::string mark = "/*DATA*/null/*DATA*/";
  std::string json = data.dump(-1, ' ', true, Json::error_handler_t::replace);
  // A script element must not be closed from inside a string.
  for (std::size_t at = json.find("</"); at != std::string::npos; at = json.find("</", at + 3))
    json.replace(at, 2, "<\\/");
  page.replace(page.find(mark), mark.size(), json);
  nn::write_file_atomically(path, page);
}

void print(const char* title, const Json& rows, const std::vector<std::string>& columns, bool with_sum) {
  std::printf("%-10s", title);
  for (const std::string& c : columns) std::printf("%9s", c.c_str());
  std::printf("%s\n", with_sum ? "      sum" : "");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::printf("  %-8s", words[i].c_str());
    double sum = 0;
    for (const auto& x : rows[i]) {
      std::printf("%9.4f", x.get<double>());
      sum += x.get<double>();
    }
    if (with_sum) std::printf("%9.4f", sum);
    std::printf("\n");
  }
  std::printf("\n");
}

int show_example(const AttentionFlags& flags) {
  Setting setting;
  setting.token = flags.token;
  setting.component = flags.component;
  if (!(flags.temperature > 0)) throw UsageError("--temperature must be positive");
  setting.temperature = flags.temperature;
  const Json result = computed(setting);
  if (!flags.html.empty()) write_page(flags.html, {{"tokens", words}, {"checks", checks(setting)}});
  if (flags.json) {
    Json object = {{"tokens", words}};
    object.update(result);
    std::cout << object.dump() << "\n";
    return ok;
  }
  const std::vector<std::string> components = {"0", "1", "2"};
  print("queries", result["q"], components, false);
  print("keys", result["k"], components, false);
  print("values", result["v"], components, false);
  print("scores", result["scores"], words, false);
  print("weights", result["weights"], words, true);
  print("outputs", result["outputs"], components, false);
  std::printf("gradients of output (%s, %ld)\n\n", words[static_cast<std::size_t>(flags.token)].c_str(),
              static_cast<long>(flags.component));
  print("d/dq", result["dq"], components, false);
  print("d/dk", result["dk"], components, false);
  print("d/dv", result["dv"], components, false);
  if (!flags.html.empty()) std::printf("The page with sliders is %s\n", data::printable(flags.html).c_str());
  return ok;
}

std::string shown(char byte) {
  if (byte == '\n') return "\\n";
  if (byte == ' ') return "_";
  return std::string(1, byte);
}

int show_model(const AttentionFlags& flags) {
  const ModelFile file = read_model(flags.model, "transformer");
  const LoadedGpt loaded = load_gpt(file);
  Tape tape(Precision::f32, file.products());
  std::vector<std::int32_t> tokens;
  try {
    tokens = loaded.addition ? data::Addition::prompt_tokens(data::Addition::parse(flags.prompt))
                             : loaded.vocabulary.encode(flags.prompt, "prompt");
  } catch (const data::DataError& e) {
    throw UsageError(e.what());
  }
  if (tokens.empty()) throw UsageError("--prompt: give a text to look at");
  const auto time = static_cast<std::int64_t>(tokens.size());
  const std::int64_t context = loaded.model->config().context;
  if (time > context) {
    throw UsageError("--prompt: it has " + std::to_string(time) + " tokens, and the model takes " +
                     std::to_string(context) + " at most; give a shorter text");
  }
  const auto step = tape.inference();
  const std::vector<Tensor> maps = loaded.model->attention_maps(tape, tokens, 1, time);
  const auto heads = static_cast<std::size_t>(loaded.model->config().heads);
  const auto n = static_cast<std::size_t>(time);
  std::vector<std::string> names;
  for (const std::int32_t t : tokens) names.push_back(shown(loaded.vocabulary.decode(t)));
  Json layers = Json::array();
  for (const Tensor& map : maps) {
    loaded.require_finite(map.data(), "its attention maps");
    const std::vector<double> flat = map.values();
    Json layer = Json::array();
    for (std::size_t h = 0; h < heads; ++h) {
      const auto first = flat.begin() + static_cast<std::ptrdiff_t>(h * n * n);
      layer.push_back(rows_of(std::vector<double>(first, first + static_cast<std::ptrdiff_t>(n * n)), n));
    }
    layers.push_back(layer);
  }
  const Json result = {{"tokens", names}, {"layers", layers}};
  if (!flags.html.empty()) write_page(flags.html, result);
  if (flags.json) {
    std::cout << result.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
    return ok;
  }
  for (std::size_t l = 0; l < layers.size(); ++l) {
    for (std::size_t h = 0; h < heads; ++h) {
      double entropy = 0;
      std::string links;
      for (std::size_t i = 0; i < n; ++i) {
        const auto row = layers[l][h][i].get<std::vector<double>>();
        for (const double w : row) entropy -= w > 0 ? w * std::log2(w) : 0;
        const auto most = static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
        links += "  " + data::printable(names[i]) + ">" + data::printable(names[most]);
      }
      std::printf("layer %zu head %zu  entropy %.2f bits  strongest links%s\n", l, h,
                  entropy / static_cast<double>(n), links.c_str());
    }
  }
  if (!flags.html.empty()) std::printf("The maps are in %s\n", data::printable(flags.html).c_str());
  return ok;
}

}  // namespace

int run_attention(const AttentionFlags& flags) {
  return flags.model.empty() ? show_example(flags) : show_model(flags);
}

}  // namespace reel::examples
