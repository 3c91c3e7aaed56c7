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

/// A name from a file for a message: in quotes, with escapes instead of anything that is not printable ASCII,
/// cut after 80 bytes: `"beginning"... (1000000 bytes)`.
std::string in_quotes(const std::string& text);

/// Parses it strictly. Offsets are not compared with each other here. Throws FileError; `name` stands in
/// front of the message, and positions count from the start of the file, `json_at` bytes before the JSON.
SafetensorsHeader parse_safetensors_header(std::string_view json, const std::string& name,
                                           std::size_t json_at);

}  // namespace reel::nn
