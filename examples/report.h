#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace reel::examples {

/// What the page about a run shows.
struct Report {
  std::string title;
  std::vector<std::pair<std::string, std::string>> results;  // name, value
  std::vector<std::pair<std::string, std::string>> settings;
  struct Curve {
    std::string name;
    std::vector<std::pair<double, double>> points;  // step, value
  };
  std::vector<Curve> curves;  // of the loss
  std::vector<std::string> classes;
  std::vector<std::vector<std::int64_t>> confusion;          // [true, predicted]; empty if there is none
  std::vector<std::pair<std::string, std::string>> samples;  // prompt, answer
};

/// One self-contained HTML page: no script, no outside resource.
std::string html_of(const Report& report);

}  // namespace reel::examples
