#include "examples/autopsy.h"

#include <sstream>
#include <system_error>

#include "autograd/error.h"
#include "data/error.h"
#include "data/file.h"
#include "examples/classifier.h"
#include "examples/model_file.h"
#include "examples/transformer.h"
#include "nn/atomic_file.h"
#include "nn/error.h"
#include "nn/weights.h"

namespace reel::examples {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr const char* model_name = "model.safetensors";
constexpr const char* batch_name = "batch.npz";

std::vector<std::int32_t> integers_of(const data::NpyArray& array) {
  const std::vector<std::int64_t> wide = array.to_integers();
  return {wide.begin(), wide.end()};
}

std::optional<Autopsy> replay_classifier(const ModelFile& file,
                                         const std::map<std::string, data::NpyArray>& batch,
                                         std::uint64_t masks) {
  const auto model = classifier_of(file);
  model->set_step(masks);
  const std::vector<float> inputs = batch.at("inputs").to_floats();
  const std::vector<std::int32_t> labels = integers_of(batch.at("labels"));
  return examine(file.products(), [&](Tape& tape) {
    return classifier_loss(tape, *model, {inputs, labels, static_cast<std::int64_t>(labels.size()), {}});
  });
}

std::optional<Autopsy> replay_transformer(const ModelFile& file,
                                          const std::map<std::string, data::NpyArray>& batch,
                                          std::uint64_t masks) {
  const LoadedGpt loaded = load_gpt(file);
  loaded.model->train();
  loaded.model->set_step(masks);
  const data::NpyArray& tokens = batch.at("tokens");
  const data::TokenBatch again{integers_of(tokens), integers_of(batch.at("targets")), tokens.shape.at(0),
                               tokens.shape.at(1)};
  return examine(file.products(), [&](Tape& tape) { return transformer_loss(tape, *loaded.model, again); });
}

}  // namespace

std::optional<Autopsy> examine(Products products, const std::function<Tensor(Tape& tape)>& loss) {
  Tape tape(Precision::f32, products);
  tape.detect_anomaly(true);
  const auto recording = tape.record();
  try {
    tape.backward(loss(tape));
  } catch (const NonFiniteError& e) {
    std::ostringstream table;
    tape.print(table, {.ranges = true});
    return Autopsy{e.what(), table.str()};
  }
  return std::nullopt;
}

void write_autopsy(const fs::path& directory, const Autopsy& autopsy, const AutopsyCase& where,
                   const data::NpzWriter& batch, const nn::Module& model, Json config) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) throw nn::IoError(data::printable(directory) + ": cannot be made: " + error.message());
  config["autopsy"] = {{"step", where.step}, {"part", where.part}, {"masks", where.masks}};
  save_model(directory / model_name, model.parameters(), config);
  nn::write_file_atomically(directory / batch_name, batch.bytes());
  nn::write_file_atomically(directory / "tape.txt", autopsy.tape);
  std::ostringstream report;
  report << "step     " << where.step << "\n";
  if (where.part > 0) report << "part     " << where.part << "\n";
  report << autopsy.finding << "\n\n"
         << "tape     " << (directory / "tape.txt").string() << "\n"
         << "batch    " << (directory / batch_name).string() << "\n"
         << "model    " << (directory / model_name).string() << "\n"
         << "replay   ./reel autopsy " << directory.string() << "\n";
  nn::write_file_atomically(directory / "report.txt", report.str());
}

std::optional<Autopsy> replay_autopsy(const fs::path& directory) {
  const fs::path path = directory / model_name;
  const ModelFile file = read_model(path);
  const std::map<std::string, data::NpyArray> batch = data::read_npz(directory / batch_name);
  try {
    const auto masks = file.config.at("autopsy").at("masks").get<std::uint64_t>();
    return file.config.at("task") == "classifier" ? replay_classifier(file, batch, masks)
                                                  : replay_transformer(file, batch, masks);
  } catch (const Json::exception& e) {
    throw nn::FileError(path.string() + ": it is not the model of an autopsy: " + e.what());
  } catch (const std::out_of_range&) {
    throw data::DataError((directory / batch_name).string() + ": it is not the batch of an autopsy of a " +
                          file.config.at("task").get<std::string>());
  }
}

}  // namespace reel::examples
