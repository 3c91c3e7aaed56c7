#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "nn/atomic_file.h"
#include "nn/safetensors.h"

namespace reel::nn {
namespace {

void require_utf8(const std::string& text, const char* what) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
  } catch (const nlohmann::json::type_error&) {
    throw std::invalid_argument(std::string("safetensors: ") + what + " is not UTF-8");
  }
}

}  // namespace

void SafetensorsWriter::add(std::string name, Dtype dtype, std::span<const std::int64_t> shape,
                            std::span<const std::byte> bytes) {
  if (name == "__metadata__")
    throw std::invalid_argument("safetensors: a tensor cannot be named __metadata__");
  require_utf8(name, "a tensor's name");
  if (items_.count(name) != 0) throw std::invalid_argument("safetensors: the name \"" + name + "\" is taken");
  if (shape.size() > Safetensors::max_rank)
    throw std::invalid_argument("safetensors: \"" + name + "\" has too many dimensions");
  std::uint64_t size = size_of(dtype);
  bool zero = false;
  bool overflow = false;
  for (const std::int64_t n : shape) {
    if (n < 0 || n > Safetensors::max_dimension)
      throw std::invalid_argument("safetensors: \"" + name + "\" has a size of " + std::to_string(n));
    zero = zero || n == 0;
    overflow = __builtin_mul_overflow(size, static_cast<std::uint64_t>(n), &size) || overflow;
  }
  if (zero) size = 0;
  if ((overflow && !zero) || size != bytes.size()) {
    throw std::invalid_argument("safetensors: \"" + name + "\" comes with " + std::to_string(bytes.size()) +
                                " bytes, which do not fill its shape");
  }
  const auto* data = reinterpret_cast<const char*>(bytes.data());
  items_[std::move(name)] = {
      dtype, {shape.begin(), shape.end()}, bytes.empty() ? std::string() : std::string(data, bytes.size())};
}

void SafetensorsWriter::metadata(std::string key, std::string value) {
  require_utf8(key, "a key of __metadata__");
  require_utf8(value, "a value of __metadata__");
  if (!metadata_.emplace(key, std::move(value)).second)
    throw std::invalid_argument("safetensors: the key \"" + key + "\" is taken");
}

// Wide elements first keeps every tensor aligned to its element; the order of the map, which is by name,
// stays otherwise.
std::vector<const SafetensorsWriter::Items::value_type*> SafetensorsWriter::data_order() const {
  std::vector<const Items::value_type*> order;
  for (const auto& item : items_) order.push_back(&item);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return size_of(a->second.dtype) > size_of(b->second.dtype);
  });
  return order;
}

// Put together by hand, a string at a time: the destructor of a JSON object asks for memory, and a program
// that has none left would end there.
std::string SafetensorsWriter::header() const {
  const auto quoted = [](const std::string& text) { return nlohmann::json(text).dump(); };
  std::map<std::string, std::string> fields;  // sorted by key
  if (!metadata_.empty()) {
    std::string all;
    for (const auto& [key, value] : metadata_)
      all += (all.empty() ? "" : ",") + quoted(key) + ":" + quoted(value);
    fields["__metadata__"] = "{" + all + "}";
  }
  std::uint64_t at = 0;
  for (const auto* item : data_order()) {
    const std::uint64_t end = at + item->second.bytes.size();
    std::string shape;
    for (const std::int64_t n : item->second.shape) shape += (shape.empty() ? "" : ",") + std::to_string(n);
    fields[item->first] = "{\"data_offsets\":[" + std::to_string(at) + "," + std::to_string(end) +
                          "],\"dtype\":\"" + std::string(name_of(item->second.dtype)) + "\",\"shape\":[" +
                          shape + "]}";
    at = end;
  }
  std::string text = "{";
  for (const auto& [name, value] : fields) text += (text.size() > 1 ? "," : "") + quoted(name) + ":" + value;
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

std::string SafetensorsWriter::bytes() const {
  const std::string json = header();
  std::string file;
  for (unsigned i = 0; i < 8; ++i)
    file += static_cast<char>(static_cast<std::uint64_t>(json.size()) >> (8 * i) & 0xFF);
  file += json;
  for (const auto* item : data_order()) file += item->second.bytes;
  return file;
}

void SafetensorsWriter::write(const std::filesystem::path& path) const {
  write_file_atomically(path, bytes());
}

}  // namespace reel::nn
