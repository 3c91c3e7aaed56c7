#include "nn/checkpoint.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <system_error>

#include "nn/atomic_file.h"
#include "nn/error.h"
#include "nn/file_descriptor.h"
#include "nn/sha256.h"
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

std::vector<std::int64_t> sizes_of(const Shape& shape) {
  std::vector<std::int64_t> sizes;
  for (int d = 0; d < shape.rank(); ++d) sizes.push_back(shape[d]);
  return sizes;
}

// Runs body(name in the file, values) for everything that the optimizer remembers.
template <class Slot, class Counter>
void for_optimizer_state(Optimizer& optimizer, const ParameterBlock& parameters, Slot slot_body,
                         Counter counter_body) {
  for (const auto& slot : optimizer.slots()) {
    for (const auto& entry : parameters.entries()) {
      slot_body("optimizer." + std::string(slot.name) + "." + entry.name, entry,
                slot.values.subspan(static_cast<std::size_t>(entry.offset),
                                    static_cast<std::size_t>(entry.size())));
    }
  }
  for (const auto& counter : optimizer.counters())
    counter_body("optimizer." + std::string(counter.name), counter.values);
}

}  // namespace

Checkpoint::Checkpoint(std::filesystem::path directory, ParameterBlock& parameters, Optimizer& optimizer)
    : directory_(std::move(directory)), parameters_(parameters), optimizer_(optimizer) {}

void Checkpoint::save(std::int64_t step) {
  SafetensorsWriter writer;
  add_weights(writer, parameters_);
  for_optimizer_state(
      optimizer_, parameters_,
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
  writer.metadata("optimizer", std::string(optimizer_.name()));
  writer.metadata("fingerprint", fingerprint(parameters_, &optimizer_));
  writer.metadata("checksum", std::string(checksum_digits, '0'));
  for (const auto& [key, value] : notes_) writer.metadata(note_prefix + key, value);
  std::string bytes = writer.bytes();
  const std::size_t position = checksum_position(bytes);
  bytes.replace(position, checksum_digits, checksum_of(bytes, position));

  // A second name for the last checkpoint, so that there is one under the first name at every moment.
  const std::string link = (directory_ / (".checkpoint.previous.tmp." + std::to_string(::getpid()))).string();
  ::unlink(link.c_str());
  if (::link(path().c_str(), link.c_str()) == 0) {
    if (::rename(link.c_str(), previous_path().c_str()) != 0)
      throw_io_error(previous_path().string(), "replace", errno);
    ::unlink(link.c_str());  // rename does nothing between two names of one file
  } else if (errno != ENOENT) {
    // A file system without hard links: the old name is given up for a moment, and load looks at both.
    if (::rename(path().c_str(), previous_path().c_str()) != 0)
      throw_io_error(previous_path().string(), "replace", errno);
  }
  write_file_atomically(path(), bytes);
}

Safetensors read_checkpoint(const std::filesystem::path& path) {
  Safetensors file = Safetensors::read(path);
  if (!is_checkpoint(file)) {
    throw FileError(path.string() +
                    ": it is a safetensors file, but no checkpoint of Reel: its metadata has no format \"" +
                    std::string(format) + "\"");
  }
  const std::string_view bytes(reinterpret_cast<const char*>(file.file().data()), file.file().size());
  const std::string checksum = metadata_value(file, "checksum");
  const std::size_t position = checksum_position(bytes);
  if (checksum.size() != checksum_digits || position == std::string_view::npos ||
      bytes.substr(position, checksum_digits) != checksum || checksum_of(bytes, position) != checksum) {
    throw FileError(path.string() + ": the checksum does not match: the file is damaged");
  }
  if (metadata_value(file, "version") != version) {
    throw FileError(path.string() + ": checkpoint version " + metadata_value(file, "version") +
                    "; this program reads version " + version);
  }
  step_of(file);
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

std::int64_t step_of(const Safetensors& file) {
  const std::string text = metadata_value(file, "step");
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), step);
  if (error != std::errc{} || end != text.data() + text.size() || step < 0) {
    throw FileError(file.name() + ": its step \"" + text + "\" is not a number");
  }
  return step;
}

std::int64_t Checkpoint::load() {
  skipped_.clear();
  for (const std::filesystem::path& candidate : {path(), previous_path()}) {
    std::error_code error;
    if (!std::filesystem::exists(candidate, error)) continue;
    try {
      Safetensors file = read_checkpoint(candidate);
      const auto notes = notes_of(file);
      if (check_) check_(notes);
      if (metadata_value(file, "optimizer") != optimizer_.name()) {
        throw FileError(candidate.string() + ": it was made with " + metadata_value(file, "optimizer") +
                        ", not with " + std::string(optimizer_.name()));
      }
      // All of it is checked before any of it is used.
      for_optimizer_state(
          optimizer_, parameters_,
          [&](const std::string& name, const auto& entry, std::span<float>) {
            if (file.at(name).shape != sizes_of(entry.shape)) {
              throw FileError(candidate.string() + ": tensor \"" + name + "\" does not have the shape " +
                              to_string(entry.shape));
            }
          },
          [&](const std::string& name, std::span<std::int64_t> values) {
            if (file.values<std::int64_t>(file.at(name)).size() != values.size()) {
              throw FileError(candidate.string() + ": tensor \"" + name + "\" does not have " +
                              std::to_string(values.size()) + " numbers");
            }
          });
      load_weights(file, parameters_);
      for_optimizer_state(
          optimizer_, parameters_,
          [&](const std::string& name, const auto&, std::span<float> values) {
            const std::vector<float> saved = file.values<float>(file.at(name));
            std::copy(saved.begin(), saved.end(), values.begin());
          },
          [&](const std::string& name, std::span<std::int64_t> values) {
            const std::vector<std::int64_t> saved = file.values<std::int64_t>(file.at(name));
            std::copy(saved.begin(), saved.end(), values.begin());
          });
      notes_ = notes;
      return step_of(file);
    } catch (const FileError& e) {
      skipped_.emplace_back(e.what());
    }
  }
  if (skipped_.empty()) return 0;
  std::string reasons = skipped_.front();
  for (std::size_t i = 1; i < skipped_.size(); ++i) reasons += "\n  " + skipped_[i];
  throw FileError(reasons);
}

}  // namespace reel::nn
