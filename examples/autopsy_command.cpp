#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "examples/autopsy.h"
#include "examples/commands.h"
#include "examples/exit_code.h"

namespace reel::examples {

int run_autopsy(const std::string& directory, bool json) {
  const std::optional<Autopsy> found = replay_autopsy(directory);
  if (json) {
    std::cout << nlohmann::ordered_json{{"directory", directory},
                                        {"reproduced", found.has_value()},
                                        {"finding", found ? found->finding : ""},
                                        {"tape", found ? found->tape : ""}}
                     .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
              << "\n";
  } else if (found) {
    std::cout << found->tape << "\n" << found->finding << "\n";
  } else {
    std::cout << "Every number of the step is finite this time.\n";
  }
  return found ? non_finite : ok;
}

}  // namespace reel::examples
