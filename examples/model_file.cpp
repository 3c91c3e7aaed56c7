#include "examples/model_file.h"

#include <iostream>
#include <nlohmann/json.hpp>

#include "data/file.h"
#include "examples/flags.h"
#include "nn/checkpoint.h"
#include "nn/error.h"
#include "nn/weights.h"

namespace reel::examples {

using Json = nlohmann::ordered_json;

void save_model(const std::filesystem::path& path, const ParameterBlock& parameters, const Json& config) {
  nn::SafetensorsWriter writer;
  nn::add_weights(writer, parameters);
  writer.metadata("format", "reel-model");
  writer.metadata("config", config.dump());
  writer.write(path);
}

Products ModelFile::products() const {
  if (!config.contains("precision")) return Products::full;
  const std::string precision = settings().name("precision");
  if (!precisions.contains(precision)) {
    std::string names;
    for (const auto& [name, products] : precisions) names += (names.empty() ? "" : ", ") + name;
    settings().fail("precision", "is \"" + data::excerpt(precision) + "\", which is none of " + names);
  }
  return products_of(precision);
}

void ModelFile::require_room_for(std::int64_t wanted, const std::string& what, std::size_t most) const {
  if (wanted >= 1 && static_cast<std::uint64_t>(wanted) <= most) return;
  refuse_configuration(file.name(), what + " of " + std::to_string(wanted) + " cannot be in this file");
}

void ModelFile::require_room_for_weights(double count) const {
  if (count <= static_cast<double>(file.file().size())) return;
  refuse_configuration(file.name(), "the weights of such sizes cannot be in this file");
}

Json ModelFile::is_of_training(const std::string& data, const std::string& digest) const {
  if (!settings().has("data_digest")) return nullptr;
  const bool same = settings().name("data_digest") == digest;
  if (!same) {
    std::cerr << "reel: note: " << data::printable(data)
              << " is not what the model was trained on, or has changed since; what is measured may hold "
                 "some of what the model learned from\n";
  }
  return same;
}

void ModelFile::load(ParameterBlock& parameters) const {
  nn::load_weights(file, parameters);
  const std::string bad = nn::non_finite_weight(parameters);
  if (!bad.empty())
    std::cerr << "reel: warning: " << data::printable(file.name()) << ": " << bad
              << "; what the model says means nothing\n";
}

Json parse_config(const std::string& text) {
  constexpr int deepest = 16;
  bool deep = false;
  Json config = Json::parse(
      text,
      [&deep](int depth, Json::parse_event_t, Json&) {
        deep = deep || depth > deepest;
        return !deep;
      },
      false);
  return deep ? Json() : config;
}

ModelFile read_model(const std::filesystem::path& path) {
  const std::filesystem::path inside = path / "checkpoint.safetensors";
  if (std::filesystem::is_directory(path) && std::filesystem::exists(inside)) {
    throw nn::IoError(data::printable(path) + ": it is the directory of a run; name a model in it, as " +
                      data::printable(inside));
  }
  nn::Safetensors file = nn::Safetensors::read(path);
  std::string text;
  if (nn::is_checkpoint(file)) {
    nn::verify_checkpoint(file);
    text = nn::notes_of(file)["config"];
  } else if (file.metadata().count("config") != 0) {
    text = file.metadata().at("config");
  }
  Json config = parse_config(text);
  if (!config.is_object() || !config.contains("task") || !config["task"].is_string()) {
    throw nn::FileError(
        data::printable(path) +
        ": it holds weights, but does not say of which model; use a file that `reel train` wrote");
  }
  if (config["task"] != "classifier" && config["task"] != "transformer") {
    Settings(config, data::printable(path))
        .fail("task",
              "is " + data::excerpt(config["task"].dump()) + ", not \"classifier\" or \"transformer\"");
  }
  return {std::move(file), std::move(config)};
}

ModelFile read_model(const std::filesystem::path& path, const std::string& task) {
  ModelFile model = read_model(path);
  if (model.config["task"] != task) {
    throw nn::FileError(data::printable(path) + ": it holds a " + model.config["task"].get<std::string>() +
                        ", not a " + task);
  }
  return model;
}

}  // namespace reel::examples
