#include "examples/same_run.h"

#include <algorithm>
#include <array>
#include <iostream>
#include <string_view>

#include "data/file.h"
#include "examples/run_directory.h"
#include "examples/settings.h"
#include "examples/usage_error.h"
#include "kernels/instruction_set.h"
#include "kernels/matmul_bf16.h"

namespace reel::examples {
namespace {

using Json = nlohmann::ordered_json;

// What a configuration holds beside flags: the data decides it.
constexpr std::array<std::string_view, 7> keys_of_the_data = {
    "data_digest", "samples", "features", "classes", "mean", "deviation", "bytes"};

// Follows from the flags and the data, for its vocabulary is that of the text: other data is named first.
constexpr const char* shape_of_the_model = "model";

// Which columns are features, and what those of new samples are found by. Older versions did not write all,
// and the data tells what a run depends on.
constexpr std::array<std::string_view, 3> of_columns = {"feature_names", "label_name", "ignore_columns"};

template <std::size_t n>
bool is_one_of(const std::array<std::string_view, n>& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

// Where the data lies is of no matter to a run that knows its digest.
bool may_have_moved(const std::string& key, const Json& saved, const Json& now) {
  return (key == "data" || key == "labels") && saved.contains("data_digest") && now.contains("data_digest");
}

std::string not_of_the_run(const std::string& data, const std::string& directory) {
  return "--resume: " + data + " is not the data that the run in " + directory + " was started with";
}

// Names may be given to columns anew, but not those of other columns: new samples are found by them.
bool have_changed_places(Json names, Json others) {
  if (!names.is_array() || !others.is_array() || names == others) return false;
  std::sort(names.begin(), names.end());
  std::sort(others.begin(), others.end());
  return names == others;
}

// The files that a digest is of.
std::string name_of_data(const Json& config) {
  const std::string labels = config.value("labels", std::string());
  return data::printable(config["data"].get<std::string>()) +
         (labels.empty() ? "" : " with " + data::printable(labels));
}

}  // namespace

void refuse_changed_data(const std::string& data, const std::string& directory, const std::string& change) {
  throw UsageError(not_of_the_run(data, directory) + ": " + change +
                   "; put it back as it was, or start another run with another --out");
}

void require_same_data(const Json& saved, const Json& now, const std::string& directory) {
  for (const std::string_view key : keys_of_the_data) {
    if (!now.contains(key) || !saved.contains(key) || saved[key] == now[key]) continue;
    const std::string difference = " (its " + std::string(key) + ")";
    if (saved.value("data", Json()) == now["data"])
      refuse_changed_data(name_of_data(now), directory, "it has changed since" + difference);
    throw UsageError(not_of_the_run(name_of_data(now), directory) + difference +
                     "; give it the data that it began with, or start another run");
  }
  if (have_changed_places(saved.value("feature_names", Json()), now.value("feature_names", Json())))
    refuse_changed_data(name_of_data(now), directory,
                        "the same columns have the names of each other (its feature_names)");
}

void require_same_run(const Json& saved, const Json& now, const std::string& directory,
                      const std::string& file) {
  const auto compare = [&](const std::string& key, const Json& value) {
    if (!saved.contains(key)) {
      throw UsageError(directory + ": the run was started by another version: it has no " + key +
                       "; go on with that version, or start another run with another --out");
    }
    const bool alike = value.is_number() ? saved[key].is_number() : saved[key].type() == value.type();
    if (!alike) {
      Settings(saved, file)
          .fail(key, std::string("is of type ") + saved[key].type_name() + ", which no run writes there");
    }
    if (saved[key] == value || is_one_of(keys_of_the_data, key) || may_have_moved(key, saved, now)) return;
    if (key == "steps" || key == "epochs") {
      if (value.is_number() && saved[key].is_number() && value > saved[key]) return;  // more of them is fine
      refuse_fewer(key, data::excerpt(saved[key].dump()), value.dump());
    }
    std::string flag = key;
    std::replace(flag.begin(), flag.end(), '_', '-');
    // What the command line gave was compared with config.json.
    throw UsageError("--resume: the checkpoint in " + directory + " is of a run with --" + flag + " " +
                     data::excerpt(saved[key].dump()) + ", now it is " + value.dump() +
                     "; config.json is of another run, or was changed: put it back, or remove it to go on "
                     "with what the checkpoint says");
  };
  for (const auto& [key, value] : now.items()) {
    if (key != shape_of_the_model && !is_one_of(of_columns, key)) compare(key, value);
  }
  require_same_data(saved, now, directory);
  if (now.contains(shape_of_the_model)) compare(shape_of_the_model, now[shape_of_the_model]);
}

std::string this_build(kernels::Products products) {
  const bool tiles = products != kernels::Products::full && kernels::has_way(kernels::Bf16Way::tiles);
  return std::string(kernels::instruction_set()) + (tiles ? " and AMX, " : ", ") + kernels::compiler();
}

void warn_of_another_build(const std::map<std::string, std::string>& notes, kernels::Products products) {
  const auto saved = notes.find("build");
  const std::string then = saved == notes.end() ? "a build that did not say what it is" : saved->second;
  if (then == this_build(products)) return;
  std::cerr << "reel: warning: the checkpoint was made by another build: " << data::excerpt(then)
            << "; this one is " << this_build(products)
            << "; the results may differ from those of a run that was never stopped\n";
}

}  // namespace reel::examples
