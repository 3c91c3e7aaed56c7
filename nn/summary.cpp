#include "nn/summary.h"

#include <algorithm>
#include <iomanip>
#include <locale>
#include <sstream>

namespace reel::nn {

std::string summary(const ParameterBlock& parameters) {
  std::size_t name = 9;
  std::size_t shape = 5;
  for (const auto& entry : parameters.entries()) {
    name = std::max(name, entry.name.size());
    shape = std::max(shape, to_string(entry.shape).size());
  }
  const auto column = [](std::size_t width) { return std::setw(static_cast<int>(width) + 2); };
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text << std::left << column(name) << "parameter" << column(shape) << "shape" << std::right << std::setw(10)
       << "numbers"
       << "  decay\n";
  for (const auto& entry : parameters.entries()) {
    text << std::left << column(name) << entry.name << column(shape) << to_string(entry.shape) << std::right
         << std::setw(10) << entry.size() << "  " << (entry.decay ? "yes" : "no") << "\n";
  }
  text << std::left << column(name) << "total" << column(shape) << "" << std::right << std::setw(10)
       << parameters.parameters() << "\n";
  return text.str();
}

}  // namespace reel::nn
