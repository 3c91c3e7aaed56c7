#include "examples/commands.h"

#include <algorithm>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>

#include "autograd/op.h"
#include "examples/exit_code.h"

namespace reel::examples {

int run_ops(bool json) {
  std::vector<const Op*> ops;
  for (const Op& op : registry()) ops.push_back(&op);
  std::sort(ops.begin(), ops.end(), [](const Op* a, const Op* b) { return a->name < b->name; });
  if (json) {
    nlohmann::json list = nlohmann::json::array();
    for (const Op* op : ops) {
      std::vector<std::string> inputs(op->inputs.begin(), op->inputs.end());
      if (inputs.empty()) inputs = {"x"};
      list.push_back({{"name", op->name},
                      {"formula", op->formula},
                      {"shape", op->shape.name},
                      {"inputs", inputs},
                      {"differentiable", op->differentiable()}});
    }
    std::cout << nlohmann::json{{"ops", list}}.dump() << "\n";
    return ok;
  }
  std::size_t name = 4;
  std::size_t shape = 5;
  for (const Op* op : ops) {
    name = std::max(name, op->name.size());
    shape = std::max(shape, op->shape.name.size());
  }
  const auto column = [](std::size_t width) { return std::setw(static_cast<int>(width) + 2); };
  std::cout << std::left << column(name) << "op" << column(shape) << "shape"
            << "formula\n";
  for (const Op* op : ops)
    std::cout << column(name) << op->name << column(shape) << op->shape.name << op->formula << "\n";
  std::cout << ops.size() << " ops; each is one card in autograd/ops/\n";
  return ok;
}

}  // namespace reel::examples
