#include "examples/autopsy.h"

#include <optional>
#include <sstream>
#include <system_error>

#include "autograd/error.h"
#include "data/addition.h"
#include "data/error.h"
#include "data/file.h"
#include "examples/classifier.h"
#include "examples/model_file.h"
#include "examples/shell_word.h"
#include "examples/transformer.h"
#include "nn/atomic_file.h"
#include "nn/error.h"
#include "nn/weights.h"

namespace reel::examples {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

const auto [model_name, batch_name, table_name, report_name] = autopsy_files;

// The numbers of classes or tokens of an array; `ignored` may be among them. Checked before they become
// narrower, for a number that wraps around would be taken for another class.
std::vector<std::int32_t> numbers_of(const data::NpyArray& array, const std::string& what, std::int64_t count,
                                     std::optional<std::int32_t> ignored = {}) {
  const std::vector<std::int64_t> wide = array.to_integers();
  for (std::size_t i = 0; i < wide.size(); ++i) {
    const bool known = (wide[i] >= 0 && wide[i] < count) || (ignored && wide[i] == *ignored);
    if (known) continue;
    throw data::DataError(array.name + ": element " + std::to_string(i) + " is " + std::to_string(wide[i]) +
                          ", which is no " + what + " of the model beside it: they are 0 to " +
                          std::to_string(count - 1) +
                          (ignored ? ", or " + std::to_string(*ignored) + " where none counts" : "") +
                          "; put the file back as the run wrote it");
  }
  return {wide.begin(), wide.end()};
}

Autopsy replay_classifier(const ModelFile& file, const std::map<std::string, data::NpyArray>& batch,
                          const AutopsyCase& where) {
  const auto model = classifier_of(file);
  model->set_step(static_cast<std::uint64_t>(where.masks));
  const std::vector<float> inputs = batch.at("inputs").to_floats();
  const auto classes = static_cast<std::int64_t>(file.settings().texts("classes").size());
  const std::vector<std::int32_t> labels = numbers_of(batch.at("labels"), "class", classes);
  return examine(file.products(), where.every, [&](Tape& tape) {
    return classifier_loss(tape, *model, {inputs, labels, static_cast<std::int64_t>(labels.size()), {}});
  });
}

Autopsy replay_transformer(const ModelFile& file, const std::map<std::string, data::NpyArray>& batch,
                           const AutopsyCase& where) {
  const LoadedGpt loaded = load_gpt(file);
  loaded.model->train();
  loaded.model->set_step(static_cast<std::uint64_t>(where.masks));
  const data::NpyArray& tokens = batch.at("tokens");
  const std::int64_t vocabulary = loaded.vocabulary.size();
  const data::TokenBatch again{numbers_of(tokens, "token", vocabulary),
                               numbers_of(batch.at("targets"), "token", vocabulary, data::Addition::ignored),
                               tokens.shape.at(0), tokens.shape.at(1)};
  return examine(file.products(), where.every,
                 [&](Tape& tape) { return transformer_loss(tape, *loaded.model, again); });
}

Json json_of(const AutopsyCase& where) {
  return {{"step", where.step},   {"part", where.part},   {"parts", where.parts},
          {"masks", where.masks}, {"every", where.every}, {"learning_rate", where.learning_rate},
          {"rows", where.rows}};
}

AutopsyCase case_of(const Settings& settings) {
  AutopsyCase where;
  where.step = settings.whole("step", 1);
  where.part = settings.whole("part", 1);
  where.parts = settings.whole("parts", 1);
  where.masks = settings.whole("masks", 0);
  where.every = settings.flag("every");
  where.learning_rate = settings.number("learning_rate");
  where.rows = settings.text("rows");
  return where;
}

}  // namespace

Autopsy examine(Products products, bool every, const std::function<Tensor(Tape& tape)>& loss) {
  Tape tape(Precision::f32, products);
  tape.watch(true);
  const auto recording = tape.record();
  Tensor result;
  try {
    result = loss(tape);
    tape.backward(result);
  } catch (const Error&) {
    // An op may refuse what became of the numbers; what is on the tape by then tells why.
    Autopsy autopsy = tape.autopsy(result, every);
    if (!autopsy.found()) throw;
    return autopsy;
  }
  return tape.autopsy(result, every);
}

std::string culprit_of(Tape& tape, const std::function<void()>& measure) {
  tape.detect_anomaly(true);
  try {
    measure();
  } catch (const NonFiniteError& e) {
    return e.what();
  }
  return "";
}

std::string StepAutopsy::report(const fs::path& directory) const {
  std::ostringstream text;
  text << autopsy.text() << "\n"
       << "    step     " << where.step << " (the first is 1)";
  if (where.parts > 1) text << ", part " << where.part << " of " << where.parts;
  text << ", learning rate " << where.learning_rate << "\n"
       << "    batch    " << data::printable(where.rows) << "\n"
       << "    files    " << data::printable(directory / table_name) << ", " << batch_name << ", "
       << model_name << "\n"
       << "    replay   ./reel autopsy " << shell_word(directory.string()) << "\n";
  return text.str();
}

std::string StepAutopsy::table() const {
  std::ostringstream text;
  autopsy.print_table(text);
  return text.str();
}

void write_autopsy(const fs::path& directory, const StepAutopsy& step, const data::NpzWriter& batch,
                   const nn::Module& model, Json config) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) throw nn::IoError(data::printable(directory) + ": cannot be made: " + error.message());
  config["autopsy"] = json_of(step.where);
  save_model(directory / model_name, model.parameters(), config);
  nn::write_file_atomically(directory / batch_name, batch.bytes());
  nn::write_file_atomically(directory / table_name, step.table());
  nn::write_file_atomically(directory / report_name, step.report(directory));
}

StepAutopsy replay_autopsy(const fs::path& directory) {
  const fs::path path = directory / model_name;
  std::error_code error;
  if (fs::status(path, error).type() == fs::file_type::not_found) {
    throw data::IoError(
        data::printable(directory) + ": there is no autopsy in it, for it has no " + model_name +
        "; a run writes one into its own directory, as autopsy-step-N, when a number of step N " +
        "is not finite, up to " + std::to_string(most_autopsies) + " of them");
  }
  const ModelFile file = read_model(path);
  const std::map<std::string, data::NpyArray> batch = data::read_npz(directory / batch_name);
  try {
    const AutopsyCase where = case_of(file.settings().at("autopsy"));
    return {file.config.at("task") == "classifier" ? replay_classifier(file, batch, where)
                                                   : replay_transformer(file, batch, where),
            where};
  } catch (const Error& e) {
    throw data::DataError(data::printable(directory / batch_name) +
                          ": it does not fit the model beside it: " + e.what());
  } catch (const std::out_of_range&) {
    throw data::DataError(data::printable(directory / batch_name) +
                          ": it is not the batch of an autopsy of a " +
                          file.config.at("task").get<std::string>());
  }
}

}  // namespace reel::examples
