#include "nn/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <system_error>

#include "autograd/error.h"
#include "nn/atomic_file.h"
#include "nn/error.h"
#include "nn/file_descriptor.h"
#include "nn/safetensors_header.h"
#include "nn/sha256.h"
#include "nn/wanted_tensors.h"
#include "nn/weights.h"

namespace reel::nn {
namespace {

constexpr const char* format = "reel-checkpoint";
constexpr const char* version = "1";
constexpr const char* note_prefix = "note.";
constexpr std::string_view checksum_key = "\"checksum\":\"";
constexpr std::size_t checksum_digits = 64;

// Where the checksum's digits stand, which count as zeros when it is computed.
std::size_t checksum_position(std::string_view bytes) {
  const std::size_t key = bytes.find(checksum_key);
  return key == std::string_view::npos ? key : key + checksum_key.size();
}

std::string checksum_of(std::string_view bytes, std::size_t position) {
  Sha256 hash;
  hash.add(bytes.substr(0, position));
  hash.add(std::string(checksum_digits, '0'));
  hash.add(bytes.substr(position + checksum_digits));
  return hash.hex();
}

std::string metadata_value(const Safetensors& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  return found == file.metadata().end() ? "" : found->second;
}

void require_version(const Safetensors& file) {
  if (metadata_value(file, "version") == version) return;
  throw FileError(file.name() + ": it is a checkpoint of version " +
                  in_quotes(metadata_value(file, "version")) + "; this program reads version " + version);
}

std::int64_t number_of(const Safetensors& file, const std::string& key) {
  const std::string text = metadata_value(file, key);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < 0)
    throw FileError(file.name() + ": its " + key + " " + in_quotes(text) + " is not a number");
  return number;
}

// Whether there is something under this name; if so, load wants to know what is wrong with it.
bool is_there(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::symlink_status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) return false;
  if (error) throw_io_error(path.string(), "examine", error.value());
  return true;
}

// What the names of optimizer o's tensors begin with.
std::string prefix_of(const Optimizers& optimizers, std::size_t o) {
  return optimizers.size() == 1 ? "optimizer." : "optimizer." + std::to_string(o + 1) + ".";
}

// Runs body(name in the file, values) for everything that the optimizers remember.
template <class Slot, class Counter>
void for_optimizer_state(const Optimizers& optimizers, const ParameterBlock& parameters, Slot slot_body,
                         Counter counter_body) {
  for (std::size_t o = 0; o < optimizers.size(); ++o) {
    Optimizer& optimizer = optimizers[o];
    const std::string prefix = prefix_of(optimizers, o);
    for (const auto& slot : optimizer.slots()) {
      for (std::size_t i = 0; i < parameters.count(); ++i) {
        if (!optimizer.moves(i)) continue;
        const auto& entry = parameters.entry(i);
        slot_body(prefix + std::string(slot.name) + "." + entry.name, entry, slot.of(entry));
      }
    }
    for (const auto& counter : optimizer.counters())
      counter_body(prefix + std::string(counter.name), counter.values);
  }
}

// Refuses a file with state of parameters that its optimizer does not move here. It comes before require_fit,
// which would only call the tensors unexpected; SGD without momentum shows by its counts alone.
void require_same_parts(const Safetensors& file, const Optimizers& optimizers,
                        const ParameterBlock& parameters) {
  for (std::size_t o = 0; o < optimizers.size(); ++o) {
    Optimizer& optimizer = optimizers[o];
    const std::string prefix = prefix_of(optimizers, o);
    const auto refuse = [&](const std::string& tensor, const char* what, std::size_t i) {
      throw FileError(file.name() + ": " + in_quotes(tensor) + " " + what + " " +
                      in_quotes(parameters.entry(i).name) + ", which this " + std::string(optimizer.name()) +
                      " does not move; give the optimizers that it was saved with, in their order");
    };
    const std::string name = prefix + "parameter_steps";
    const SafetensorsEntry* counts = file.find(name);
    std::vector<std::int64_t> steps(parameters.count());
    if (counts != nullptr && counts->dtype == Dtype::i64 && counts->count() == steps.size())
      steps = file.values<std::int64_t>(*counts);
    const auto slots = optimizer.slots();
    for (std::size_t i = 0; i < steps.size(); ++i) {
      if (optimizer.moves(i)) continue;
      if (steps[i] != 0) refuse(name, "counts steps of", i);
      for (const auto& slot : slots) {
        const std::string tensor = prefix + std::string(slot.name) + "." + parameters.entry(i).name;
        if (file.find(tensor) != nullptr) refuse(tensor, "is of", i);
      }
    }
  }
}

// "AdamW", or "SGD, AdamW".
std::string names_of(const Optimizers& optimizers) {
  std::string names;
  for (const Optimizer& optimizer : optimizers)
    names += (names.empty() ? "" : ", ") + std::string(optimizer.name());
  return names;
}

}  // namespace

Checkpoint::Checkpoint(std::filesystem::path directory, ParameterBlock& parameters, Optimizer& optimizer,
                       Place where)
    : Checkpoint(std::move(directory), parameters, Optimizers{optimizer}, where) {}

Checkpoint::Checkpoint(std::filesystem::path directory, ParameterBlock& parameters, Optimizers optimizers,
                       Place where)
    : directory_(std::move(directory)),
      parameters_(parameters),
      life_(parameters.life()),
      optimizers_(std::move(optimizers)) {
  require_model(where);
  std::error_code error;
  if (!std::filesystem::is_directory(directory_, error)) {
    const bool missing = !error || error == std::errc::no_such_file_or_directory;
    throw IoError(in_one_line(directory_) + ": cannot keep checkpoints there: " +
                  (std::filesystem::exists(directory_, error) ? "it is no directory; choose another"
                   : missing ? "there is no such directory; make it first, as mkdir -p does"
                             : error.message() + "; choose another directory"));
  }
}

void Checkpoint::require_model(Place where) const {
  if (life_.expired()) {
    throw StateError(where, at(where, "checkpoint: the model whose parameters it keeps was destroyed") +
                                help_line("a checkpoint must not outlive its model"));
  }
  require_made_for(optimizers_, parameters_, "checkpoint", where);
}

void Checkpoint::save(std::int64_t step, Place where) {
  require_model(where);
  if (step < 0) throw std::invalid_argument("checkpoint: step " + std::to_string(step) + " is negative");
  SafetensorsWriter writer;
  add_weights(writer, parameters_);
  for_optimizer_state(
      optimizers_, parameters_,
      [&](const std::string& name, const auto& entry, std::span<float> values) {
        writer.add<float>(name, sizes_of(entry.shape), values);
      },
      [&](const std::string& name, std::span<std::int64_t> values) {
        const std::int64_t size[] = {static_cast<std::int64_t>(values.size())};
        writer.add<std::int64_t>(name, size, values);
      });
  writer.metadata("format", format);
  writer.metadata("version", version);
  writer.metadata("step", std::to_string(step));
  writer.metadata("model_step", std::to_string(parameters_.steps()));
  writer.metadata("optimizer", names_of(optimizers_));
  writer.metadata("fingerprint", fingerprint(parameters_, optimizers_));
  writer.metadata("checksum", std::string(checksum_digits, '0'));
  for (const auto& [key, value] : notes_) writer.metadata(note_prefix + key, value);
  std::string bytes = writer.bytes();
  const std::size_t position = checksum_position(bytes);
  bytes.replace(position, checksum_digits, checksum_of(bytes, position));

  if (newest_is_damaged_) {
    // The second generation is the only good one; it stays until the first is good again.
    write_file_atomically(path(), bytes);
  } else {
    write_file_atomically(path(), bytes, previous_path().filename().string());
  }
  newest_is_damaged_ = false;
}

void verify_checkpoint(const Safetensors& file) {
  if (!is_checkpoint(file)) {
    throw FileError(file.name() +
                    ": it is a safetensors file, but no checkpoint of Reel: its metadata has no format \"" +
                    std::string(format) + "\"");
  }
  const std::string_view bytes(reinterpret_cast<const char*>(file.file().data()), file.file().size());
  const std::string checksum = metadata_value(file, "checksum");
  const std::size_t position = checksum_position(bytes);
  if (checksum.size() != checksum_digits || position == std::string_view::npos ||
      bytes.substr(position, checksum_digits) != checksum || checksum_of(bytes, position) != checksum) {
    // Another version may count its checksum in another way.
    require_version(file);
    throw FileError(file.name() + ": the checksum does not match: the file is damaged");
  }
  require_version(file);
  step_of(file);
}

Safetensors read_checkpoint(const std::filesystem::path& path) {
  Safetensors file = Safetensors::read(path);
  verify_checkpoint(file);
  return file;
}

bool is_checkpoint(const Safetensors& file) { return metadata_value(file, "format") == format; }

std::map<std::string, std::string> notes_of(const Safetensors& file) {
  std::map<std::string, std::string> notes;
  const std::string_view prefix = note_prefix;
  for (const auto& [key, value] : file.metadata()) {
    if (key.starts_with(prefix)) notes[key.substr(prefix.size())] = value;
  }
  return notes;
}

std::int64_t step_of(const Safetensors& file) { return number_of(file, "step"); }

std::int64_t Checkpoint::load(Place where) {
  require_model(where);
  skipped_.clear();
  newest_is_damaged_ = false;
  bool unreadable = false;
  for (const std::filesystem::path& candidate : {path(), previous_path()}) {
    std::optional<Safetensors> file;
    const auto pass_over = [&](const std::exception& e) {
      skipped_.emplace_back(e.what());
      newest_is_damaged_ = newest_is_damaged_ || candidate == path();
    };
    try {
      if (!is_there(candidate)) continue;
      file = read_checkpoint(candidate);
    } catch (const FileError& e) {
      pass_over(e);
      continue;
    } catch (const IoError& e) {
      unreadable = true;
      pass_over(e);
      continue;
    }
    restore(*file);
    return step_of(*file);
  }
  if (skipped_.empty()) return 0;
  std::string reasons = skipped_.front();
  for (std::size_t i = 1; i < skipped_.size(); ++i) reasons += "\n  " + skipped_[i];
  if (unreadable) throw IoError(reasons);
  throw FileError(reasons);
}

// Checks all of the file before it uses any of it.
void Checkpoint::restore(const Safetensors& file) {
  auto notes = notes_of(file);
  if (check_) check_(notes);
  const std::string theirs = metadata_value(file, "optimizer");
  const std::string ours = names_of(optimizers_);
  if (theirs != ours) {
    const auto named = [](const std::string& names) {
      return names.empty() ? "no optimizer" : in_quotes(names);
    };
    throw FileError(file.name() + ": it was made with " + named(theirs) + ", not with " + named(ours) +
                    "; give the optimizers that it was saved with, in their order");
  }
  std::vector<WantedTensor> wanted;
  for (const auto& entry : parameters_.entries())
    wanted.push_back({entry.name, sizes_of(entry.shape), Dtype::f32});
  for_optimizer_state(
      optimizers_, parameters_,
      [&](const std::string& name, const auto& entry, std::span<float>) {
        wanted.push_back({name, sizes_of(entry.shape), Dtype::f32});
      },
      [&](const std::string& name, std::span<std::int64_t> values) {
        wanted.push_back({name, {static_cast<std::int64_t>(values.size())}, Dtype::i64});
      });
  require_same_parts(file, optimizers_, parameters_);
  require_fit(file, wanted, nullptr);
  // Files of earlier versions lack it.
  std::optional<std::int64_t> model_step;
  if (file.metadata().contains("model_step")) model_step = number_of(file, "model_step");

  // Weights, state and notes change together or not at all: what takes memory comes first.
  std::vector<std::pair<void*, std::span<const std::byte>>> copies;
  const auto plan = [&](const std::string& name, auto values) {
    copies.emplace_back(values.data(), file.at(name).bytes);
  };
  for_optimizer_state(
      optimizers_, parameters_,
      [&](const std::string& name, const auto&, std::span<float> values) { plan(name, values); }, plan);
  load_weights(file, parameters_);
  for (const auto& [to, from] : copies) {
    if (!from.empty()) std::memcpy(to, from.data(), from.size());
  }
  std::int64_t made = 0;
  for (const Optimizer& optimizer : optimizers_) made += optimizer.step_count() + optimizer.skipped_steps();
  parameters_.set_steps(static_cast<std::uint64_t>(model_step.value_or(made)));
  notes_ = std::move(notes);
}

}  // namespace reel::nn
