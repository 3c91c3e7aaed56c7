#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "nn/safetensors.h"

namespace reel::nn {

/// The JSON of a safetensors file.
struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in the order of the file, without bytes
  std::map<std::string, std::string> metadata;
};

/// Parses it strictly. Offsets are not compared with each other here. Throws FileError; `name` stands in
/// front of the message, and positions count from the start of the file, `json_at` bytes before the JSON.
SafetensorsHeader parse_safetensors_header(std::string_view json, const std::string& name,
                                           std::size_t json_at);

}  // namespace reel::nn
