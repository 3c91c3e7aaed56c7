#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "examples/autopsy.h"
#include "examples/commands.h"
#include "examples/exit_code.h"

namespace reel::examples {

int run_autopsy(const std::string& directory, bool json) {
  using Json = nlohmann::ordered_json;
  const StepAutopsy step = replay_autopsy(directory);
  const Autopsy& autopsy = step.autopsy;
  if (json) {
    Json result = {{"directory", directory},        {"step", step.where.step},
                   {"part", step.where.part},       {"batch", step.where.rows},
                   {"reproduced", autopsy.found()}, {"finding", autopsy.found() ? autopsy.text() : ""},
                   {"tape", step.table()}};
    if (autopsy.found()) {
      const NodeRecord& guilty = autopsy.nodes[static_cast<std::size_t>(autopsy.culprit)];
      result["op"] = guilty.op;
      result["pass"] = autopsy.backward ? "backward" : "forward";
      result["file"] = guilty.place.file;
      result["line"] = guilty.place.line;
      result["layer"] = autopsy.layer.text();
    }
    std::cout << result.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
  } else if (autopsy.found()) {
    std::cout << step.table() << "\n" << step.report(directory);
  } else {
    std::cout << "Every number of the step is finite this time.\n";
  }
  return autopsy.found() ? non_finite : ok;
}

}  // namespace reel::examples
