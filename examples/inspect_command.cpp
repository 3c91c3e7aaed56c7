#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "data/csv.h"
#include "data/error.h"
#include "data/file.h"
#include "data/idx.h"
#include "data/npy.h"
#include "data/npz.h"
#include "data/text.h"
#include "examples/classifier.h"
#include "examples/column_list.h"
#include "examples/commands.h"
#include "examples/data_name.h"
#include "examples/exit_code.h"
#include "examples/usage_error.h"
#include "nn/checkpoint.h"
#include "nn/error.h"
#include "nn/safetensors.h"

namespace reel::examples {
namespace {

using Json = nlohmann::ordered_json;

enum class Kind { npy, npz, safetensors, idx, csv, text };

// A damaged file no longer looks like what it was, so that a name that says what it is counts first.
std::optional<Kind> kind_by_name(const std::string& path) {
  constexpr std::pair<std::string_view, Kind> endings[] = {
      {".npy", Kind::npy},   {".npz", Kind::npz},      {".safetensors", Kind::safetensors},
      {".csv", Kind::csv},   {".idx", Kind::idx},      {".idx.gz", Kind::idx},
      {"-ubyte", Kind::idx}, {"-ubyte.gz", Kind::idx},
  };
  for (const auto& [ending, kind] : endings) {
    if (path.ends_with(ending)) return kind;
  }
  return std::nullopt;
}

// A safetensors file starts with the length of its header, and the header with a brace, perhaps after white
// space.
bool looks_like_safetensors(const std::string& bytes) {
  if (bytes.size() < 9 || bytes[7] != 0) return false;
  const std::size_t brace = bytes.find_first_not_of(" \t\r\n", 8);
  return brace != std::string::npos && bytes[brace] == '{';
}

// The first line has commas, and more of them than words, and does not begin as JSON does.
bool looks_like_csv(const std::string& bytes) {
  if (bytes.starts_with('{')) return false;
  const std::string first = bytes.substr(0, std::min(bytes.find('\n'), std::size_t{4096}));
  const auto commas = std::count(first.begin(), first.end(), ',');
  return commas > 0 && commas >= std::count(first.begin(), first.end(), ' ');
}

Kind kind_by_content(const std::string& bytes) {
  if (bytes.starts_with("\x93NUMPY")) return Kind::npy;
  if (bytes.starts_with("PK\x03\x04")) return Kind::npz;
  if (looks_like_safetensors(bytes)) return Kind::safetensors;
  if (data::looks_like_idx(bytes)) return Kind::idx;
  if (looks_like_csv(bytes)) return Kind::csv;
  return Kind::text;
}

// From where to where the finite numbers reach, null if there are none, and how many others there are.
void describe_range(const std::vector<double>& values, Json& result) {
  std::optional<double> low, high;
  std::int64_t not_finite = 0;
  for (const double v : values) {
    if (!std::isfinite(v)) {
      ++not_finite;
      continue;
    }
    low = std::min(low.value_or(v), v);
    high = std::max(high.value_or(v), v);
  }
  result["min"] = low ? Json(*low) : Json();
  result["max"] = high ? Json(*high) : Json();
  if (not_finite > 0) result["not_finite"] = not_finite;
}

Json inspect_safetensors(const std::string& path) {
  const nn::Safetensors file = nn::Safetensors::read(path);
  const bool checkpoint = nn::is_checkpoint(file);
  if (checkpoint) nn::verify_checkpoint(file);
  const bool model = file.metadata().count("config") != 0;
  Json result = {{"file", path},
                 {"kind", checkpoint ? "checkpoint"
                          : model    ? "model"
                                     : "safetensors"},
                 {"bytes", file.file().size()}};
  if (checkpoint) result["step"] = nn::step_of(file);
  result["metadata"] = file.metadata();  // at once: an ordered object looks for every key that is added alone
  Json tensors = Json::array();
  std::int64_t numbers = 0;
  for (const nn::SafetensorsEntry& e : file.entries()) {
    Json tensor = {{"name", e.name}, {"dtype", nn::name_of(e.dtype)}, {"shape", e.shape}};
    const bool real = e.dtype == nn::Dtype::f32 || e.dtype == nn::Dtype::f64 || e.dtype == nn::Dtype::f16 ||
                      e.dtype == nn::Dtype::bf16;
    if (real && e.count() > 0) describe_range(file.to_doubles(e), tensor);
    numbers += static_cast<std::int64_t>(e.count());
    tensors.push_back(tensor);
  }
  result["numbers"] = numbers;
  result["tensors"] = tensors;
  return result;
}

Json inspect_idx(const std::string& path, const std::string& bytes) {
  const data::IdxArray array = data::parse_idx(bytes, data::printable(path));
  const std::vector<float> values = array.to_floats();
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {{"file", path},          {"kind", "idx"},
          {"bytes", bytes.size()}, {"compressed", bytes.starts_with("\x1F\x8B")},
          {"shape", array.shape},  {"min", *low},
          {"max", *high}};
}

Json described(const data::NpyArray& array) {
  Json result = {{"dtype", data::name_of(array.type)}, {"shape", array.shape}};
  if (array.count() > 0) describe_range(array.to_doubles(), result);
  return result;
}

Json inspect_npy(const std::string& path, const std::string& bytes) {
  Json result = {{"file", path}, {"kind", "npy"}, {"bytes", bytes.size()}};
  result.update(described(data::parse_npy(std::as_bytes(std::span(bytes)), data::printable(path))));
  return result;
}

Json inspect_npz(const std::string& path, const std::string& bytes) {
  Json tensors = Json::array();
  for (const auto& [name, array] : data::parse_npz(std::as_bytes(std::span(bytes)), data::printable(path))) {
    Json tensor = {{"name", name}};
    tensor.update(described(array));
    tensors.push_back(tensor);
  }
  return {{"file", path}, {"kind", "npz"}, {"bytes", bytes.size()}, {"tensors", tensors}};
}

Json inspect_csv(const InspectFlags& flags, const std::string& bytes) {
  const data::Dataset data = data::parse_csv(bytes, data::printable(flags.file),
                                             {.header = flags.header,
                                              .label_column = flags.label_column,
                                              .ignored_columns = read_column_list(flags.ignore_columns),
                                              .one_class = true,
                                              .labelled = !flags.unlabelled});
  Json result = {{"file", flags.file},    {"kind", "csv"},
                 {"bytes", bytes.size()}, {"header", data.header.value_or(false)},
                 {"samples", data.count}, {"features", data.features}};
  if (!data.feature_names.empty()) result["feature_names"] = data.feature_names;
  if (flags.unlabelled) return result;
  std::vector<std::int64_t> counts(static_cast<std::size_t>(data.classes()));
  for (const std::int32_t label : data.labels) ++counts[static_cast<std::size_t>(label)];
  result["classes"] = data.class_names;
  result["samples_per_class"] = counts;
  return result;
}

Json inspect_text(const std::string& path, const std::string& bytes) {
  if (bytes.empty()) throw data::DataError(data::printable(path) + ": the file is empty");
  const data::Vocabulary vocabulary = data::Vocabulary::of(bytes);
  return {{"file", path},
          {"kind", "text"},
          {"bytes", bytes.size()},
          {"lines", std::count(bytes.begin(), bytes.end(), '\n')},
          {"vocabulary", vocabulary.size()}};
}

// The first of the flags for a CSV file that is given, or null.
const char* flag_for_csv(const InspectFlags& flags) {
  return flags.unlabelled ? "--unlabelled"
         : flags.header != data::CsvOptions::Header::detect
             ? "--header"
             : flag_for_a_file({.label_column = flags.label_column, .ignore_columns = flags.ignore_columns});
}

Json inspect(const InspectFlags& flags) {
  const std::string& path = flags.file;
  std::string bytes = data::read_file(path);
  const std::optional<Kind> named = kind_by_name(path);
  if (!named || named == Kind::csv) refuse_gzip(path, bytes);
  const char* const flag = flag_for_csv(flags);
  const Kind kind = named.value_or(flag != nullptr ? Kind::csv : kind_by_content(bytes));
  if (flag != nullptr && kind != Kind::csv)
    throw UsageError(std::string(flag) + " goes with CSV files only; " + data::printable(path) + " is none");
  switch (kind) {
    case Kind::npy:
      return inspect_npy(path, bytes);
    case Kind::npz:
      return inspect_npz(path, bytes);
    case Kind::safetensors:
      std::string().swap(bytes);  // its reader holds the file itself, and two may be too large for memory
      return inspect_safetensors(path);
    case Kind::idx:
      return inspect_idx(path, bytes);
    case Kind::csv:
      return inspect_csv(flags, bytes);
    default:
      return inspect_text(path, bytes);
  }
}

// For a terminal: every name in a file was chosen by whoever made it.
void print(const Json& result) {
  for (const auto& [key, value] : result.items()) {
    if (key == "tensors") continue;
    if (key == "metadata") {
      for (const auto& [name, text] : value.items()) {
        std::cout << "  " << data::excerpt(name) << "  " << data::excerpt(text.get<std::string>()) << "\n";
      }
      continue;
    }
    if (value.is_null()) {
      std::cout << key << "  no finite value\n";
      continue;
    }
    std::cout << key << "  " << data::printable(value.is_string() ? value.get<std::string>() : value.dump())
              << "\n";
  }
  if (!result.contains("tensors")) return;
  for (const Json& t : result["tensors"]) {
    std::printf("  %-48s %-7s %-16s", data::excerpt(t["name"].get<std::string>()).c_str(),
                t["dtype"].get<std::string>().c_str(), t["shape"].dump().c_str());
    if (t.contains("min") && t["min"].is_null()) {
      std::printf("  no finite value");
    } else if (t.contains("min")) {
      std::printf("  %.4g .. %.4g", t["min"].get<double>(), t["max"].get<double>());
    }
    if (t.contains("not_finite"))
      std::printf("  %ld not finite", static_cast<long>(t["not_finite"].get<std::int64_t>()));
    std::printf("\n");
  }
}

}  // namespace

int run_inspect(const InspectFlags& flags) {
  const Json result = inspect(flags);
  if (flags.json) {
    std::cout << result.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
  } else {
    print(result);
  }
  std::cout.flush();
  return ok;
}

}  // namespace reel::examples
