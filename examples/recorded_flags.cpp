#include "examples/recorded_flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "data/file.h"
#include "examples/column_list.h"
#include "examples/data_name.h"
#include "examples/number_checks.h"
#include "examples/run_directory.h"
#include "examples/settings.h"
#include "examples/shell_word.h"
#include "examples/usage_error.h"

namespace reel::examples {
namespace {

using Json = nlohmann::ordered_json;

// Flags of one call, which no run records, whatever stands in config.json.
bool is_recorded(std::string_view key) {
  constexpr std::array<std::string_view, 7> of_one_call = {
      "out", "resume", "threads", "json", "progress", "detect_anomaly", "allow_non_finite"};
  return std::find(of_one_call.begin(), of_one_call.end(), key) == of_one_call.end();
}

// Flags that need not be given: runs record them empty then.
bool may_be_empty(std::string_view key) {
  return key == "labels" || key == "label_column" || key == "ignore_columns";
}

// What stands in config.json for a flag, or null. Older versions did not write all.
const Json* recorded_value(const Json& config, const std::string& key) {
  static const Json empty = "";
  const auto value = config.find(key);
  if (value != config.end()) return &*value;
  return key == "ignore_columns" ? &empty : nullptr;
}

// A value of config.json as a word of the command line, or nothing if no flag has such values.
std::optional<std::string> word_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return value.dump();
  if (value.is_number_float()) {
    // CLI11 reads numbers as long double. From 17 digits it makes this double again; from the fewest that
    // tell it from others, as JSON has them, it makes the one beside it now and then.
    char text[40];
    std::snprintf(text, sizeof text, "%.17g", value.get<double>());
    return text;
  }
  const auto whole = [](const Json& v) { return v.is_number_integer(); };
  if (!value.is_array() || !std::all_of(value.begin(), value.end(), whole)) return std::nullopt;
  return write_whole_numbers(value.get<std::vector<std::int64_t>>());
}

[[noreturn]] void refuse_recorded(const std::string& file, const std::string& reason) {
  refuse_configuration(file, reason, "put it back as it was, or train again with another --out");
}

// A run goes on with its own flags, and with more steps if they are given.
// `moved` says that the flag names data of which the run has a digest: it may lie elsewhere now.
void require_same_flag(const CLI::Option& given, const std::string& key, const Json& recorded,
                       const std::string& was, bool moved, const std::string& directory) {
  if (key.ends_with("_every")) return;  // no weight depends on it
  const std::string word = given.as<std::string>();
  if (moved && names_a_file(word)) return;  // whoever has read it compares what is in it
  if (recorded.is_number_float() ? recorded.get<double>() == given.as<double>() : was == word) return;
  if ((key == "steps" || key == "epochs") && recorded.is_number_integer()) {
    if (given.as<std::int64_t>() > recorded.get<std::int64_t>()) return;
    refuse_fewer(key, was, word);
  }
  const std::string name = given.get_name();
  throw UsageError("--resume: the run was started with " + name + " " +
                   data::excerpt(recorded.is_string() || recorded.is_number_float() ? recorded.dump() : was) +
                   ", now it is " + word + "; leave " + name + " out to go on with the run in " +
                   data::printable(directory));
}

// The run may have been started elsewhere, with a name that is looked up from there.
void require_recorded_file(const std::string& flag, const std::string& name, const std::string& directory) {
  require_there(name, "the run in " + data::printable(directory) + " was started with it as " + flag +
                          "; put it back, or give its new place with " + flag);
}

}  // namespace

void take_recorded_flags(CLI::App& verb, const RunFlags& run, std::ostream& err) {
  if (!run.resume || run.out.empty() || !holds_a_run(run.out)) return;
  const std::optional<RecordedConfig> recorded = recorded_config(run.out);
  if (!recorded) {
    err << "reel: note: " << data::printable(run.out)
        << " does not say with which flags its run was started; those that are not given have their "
           "defaults\n";
    return;
  }
  const auto& config = recorded->config;
  if (config["task"] != verb.get_name()) {
    const std::string task = config["task"].get<std::string>();
    throw UsageError("--resume: the run in " + data::printable(run.out) + " trains a " + task + ", not a " +
                     verb.get_name() + "; go on with it by ./reel train " + task + " --out " +
                     shell_word(run.out) + " --resume");
  }
  for (CLI::Option* option : verb.get_options()) {
    const std::string flag = option->get_name();
    std::string key = flag.substr(std::min(flag.size(), flag.find_first_not_of('-')));
    std::replace(key.begin(), key.end(), '-', '_');
    const Json* const value = recorded_value(config, key);
    if (value == nullptr || !is_recorded(key)) continue;
    const std::optional<std::string> word = word_of(*value);
    if (!word) {
      refuse_recorded(recorded->file,
                      "\"" + key + "\" is of type " + value->type_name() + ", which no run writes there");
    }
    if (word->empty() && !may_be_empty(key)) refuse_recorded(recorded->file, "\"" + key + "\" is empty");
    // A message would end at a NUL.
    const std::size_t longest = key == "ignore_columns" ? longest_column_list : data::longest_path;
    if (value->is_string() && (word->size() > longest || word->find('\0') != std::string::npos))
      refuse_recorded(recorded->file,
                      "\"" + key + "\" is " + data::excerpt(*word) + ", which no run writes there");
    try {
      if (option->count() > 0) {
        const bool moved = (key == "data" || key == "labels") && config.contains("data_digest");
        require_same_flag(*option, key, *value, *word, moved, run.out);
      } else if (!word->empty()) {
        if (key == "data" || key == "labels") require_recorded_file(flag, *word, run.out);
        option->add_result(*word);
        option->run_callback();
      }
    } catch (const CLI::ParseError& e) {
      refuse_recorded(recorded->file, data::excerpt(e.what()));
    }
  }
}

}  // namespace reel::examples
