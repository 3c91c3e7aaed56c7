#include "examples/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <ostream>
#include <string_view>
#include <utility>

#include "data/file.h"
#include "data/utf8.h"
#include "examples/autopsy.h"
#include "examples/column_list.h"
#include "examples/number_checks.h"
#include "examples/unknown_word.h"
#include "kernels/instruction_set.h"

namespace reel::examples {
namespace {

constexpr std::uint64_t most_steps = std::uint64_t{1} << 31;
// Sizes of a model, far above what a machine can hold.
constexpr std::uint64_t most_channels = 1 << 20;
constexpr std::uint64_t most_layers = 1 << 10;

CLI::Option* add_positive(CLI::App& app, const std::string& name, std::int64_t& value,
                          const std::string& help, std::uint64_t most = most_steps) {
  return app.add_option(name, value, help)->check(whole_number(1, most))->type_name("N");
}

// What goes into config.json, the log and --json, which are UTF-8.
CLI::Validator utf8() {
  return CLI::Validator(
      [](std::string& text) {
        if (data::valid_utf8(text) == text.size()) return std::string();
        return "must be UTF-8, as the run's files are, not " + data::printable(text) +
               "; rename it, or give it a link with another name";
      },
      "");
}

// An empty name, perhaps of a variable that a script did not set, would count as if the flag was not given.
CLI::Validator name_of(const std::string& what) {
  return CLI::Validator(
      [what](std::string& text) {
        return text.empty() ? "must be the name of " + what + ", not empty" : std::string();
      },
      "");
}

CLI::Option* add_label_column(CLI::App& app, std::string& column, const std::string& description) {
  return app.add_option("--label-column", column, description)
      ->check(name_of("a column, or its number"))
      ->type_name("NAME|N");
}

CLI::Option* add_ignore_columns(CLI::App& app, std::string& columns, const std::string& description) {
  return app.add_option("--ignore-columns", columns, description)
      ->check(column_list())
      ->type_name("NAME|N,...");
}

void add_header(CLI::App& app, data::CsvOptions::Header& header) {
  using Header = data::CsvOptions::Header;
  const std::map<std::string, Header> headers = {
      {"detect", Header::detect}, {"yes", Header::yes}, {"no", Header::no}};
  app.add_option_function<std::string>(
         "--header", [&header, headers](const std::string& kind) { header = headers.at(kind); },
         "Whether the first line of a CSV file names the columns: yes, no, or detect, where it does if no "
         "name is a number, and has to be told if they count 0,1,2")
      ->check(CLI::IsMember({"detect", "yes", "no"}).description(""))
      ->default_str("detect")
      ->type_name("KIND");
}

void add_threads(CLI::App& app, int& threads) {
  app.add_option("--threads", threads, "Threads; results do not depend on it (default: one per processor)")
      ->check(whole_number(1, 1024))
      ->type_name("N");
}

void add_precision(CLI::App& app, std::string& precision) {
  app.add_option(
         "--precision", precision,
         "What matrix products multiply: f32; bf16: factors rounded to bfloat16, which is much faster on a "
         "processor with AMX (Intel) or AVX512-BF16 (AMD); bf16x6: factors as three bfloat16 each, as exact "
         "as f32, faster with AMX (else f32)")
      ->check(CLI::IsMember(precisions).description(""))
      ->capture_default_str()
      ->type_name("KIND");
}

void add_run_flags(CLI::App& app, RunFlags& run) {
  app.add_option("--seed", run.seed, "Everything random follows from it")
      ->check(whole_number(0, UINT64_MAX))
      ->capture_default_str()
      ->type_name("N");
  add_threads(app, run.threads);
  app.add_option("--out", run.out, "Run directory (default: the next free one below runs/)")
      ->check(name_of("a directory"))
      ->check(utf8())
      ->type_name("DIR");
  app.add_flag("--resume", run.resume,
               "Go on from the last checkpoint in --out, with the flags of the run where none are given");
  add_positive(app, "--checkpoint-every", run.checkpoint_every,
               "Steps between checkpoints (default: at evaluations)");
  add_positive(app, "--eval-every", run.eval_every, "Steps between evaluations (default: about ten a run)");
  add_positive(app, "--log-every", run.log_every,
               "Steps between lines of log.jsonl (default: about a thousand a run)");
  app.add_flag("--json", run.json, "Print one JSON object and nothing else on stdout");
  // Not CLI11's own transformer, which takes numbers, too.
  app.add_option_function<std::string>(
         "--progress",
         [&run](const std::string& style) {
           run.progress = style == "bar"     ? ProgressStyle::bar
                          : style == "plain" ? ProgressStyle::plain
                          : style == "none"  ? ProgressStyle::none
                                             : ProgressStyle::automatic;
         },
         "auto, bar, plain or none")
      ->check(CLI::IsMember({"auto", "bar", "plain", "none"}).description(""))
      ->type_name("STYLE");
  add_precision(app, run.precision);
  app.add_flag("--detect-anomaly", run.detect_anomaly,
               "Check every value after every op; names the first that is not finite");
  app.add_flag("--allow-non-finite", run.allow_non_finite, "Resume from weights that hold NaN or inf");
}

void add_classifier(CLI::App& train, ClassifierFlags& flags) {
  CLI::App& app = *train.add_subcommand("classifier", "Train a multi-layer perceptron");
  app.add_option("--data", flags.data,
                 "digits, iris, spirals, moons, blobs, fashion-mnist, a CSV file, or an IDX file of images")
      ->check(name_of("data or of a file"))
      ->check(utf8())
      ->capture_default_str()
      ->type_name("NAME|PATH");
  app.add_option("--labels", flags.labels, "IDX file of labels, if --data is an IDX file of images")
      ->check(name_of("a file"))
      ->check(utf8())
      ->type_name("PATH");
  add_label_column(app, flags.label_column,
                   "Column of a CSV file that holds the class (default: the last that is not ignored)")
      ->check(utf8());
  add_ignore_columns(app, flags.ignore_columns,
                     "Columns of a CSV file that are no features, as an id (default: none)");
  // Not CLI11's own list, which takes 4,,5 for 4,5.
  app.add_option_function<std::string>(
         "--hidden", [&](const std::string& text) { flags.hidden = read_whole_numbers(text); },
         "Widths of the hidden layers, with commas between them")
      ->check(whole_numbers(1, most_channels))
      ->default_str(write_whole_numbers(flags.hidden))
      ->type_name("N,N,...");
  add_positive(app, "--epochs", flags.epochs, "Passes over the data (default: by the data)");
  add_positive(app, "--batch", flags.batch,
               "Samples per step (default: 64, or all of them if they are fewer)");
  app.add_option("--lr", flags.lr, "Learning rate at its peak (default: 1e-3; digits 3e-3)")
      ->check(positive_number())
      ->type_name("X");
  app.add_option("--dropout", flags.dropout,
                 "Share of hidden units that are dropped (default: 0; digits 0.3)")
      ->check(fraction())
      ->type_name("X");
  app.add_option("--weight-decay", flags.weight_decay,
                 "Decoupled decay of weights, AdamW (default: 0.01; digits 0.1)")
      ->check(not_negative())
      ->type_name("X");
  app.add_option("--test-fraction", flags.test_fraction,
                 "Share of the data held out, above 0 and less than 1, if it brings no test set")
      ->check(share())
      ->type_name("X")
      ->capture_default_str();
  add_run_flags(app, flags.run);
}

void add_transformer(CLI::App& train, TransformerFlags& flags) {
  CLI::App& app = *train.add_subcommand("transformer", "Train a Transformer; this is what `reel train` does");
  app.add_option("--data", flags.data, "addition, or a text file")
      ->check(name_of("data or of a file"))
      ->check(utf8())
      ->capture_default_str()
      ->type_name("NAME|PATH.txt");
  add_positive(app, "--layers", flags.layers, "Blocks (default: 2 for addition, 4 for text)", most_layers);
  add_positive(app, "--heads", flags.heads, "Attention heads (default: 4)", most_channels);
  add_positive(app, "--width", flags.width, "Channels (default: 128)", most_channels);
  add_positive(app, "--context", flags.context, "Tokens that are seen at once (default: 64 for text)",
               most_channels);
  add_positive(app, "--batch", flags.batch, "Sequences per step (default: 128 for addition, 12 for text)",
               most_channels);
  add_positive(app, "--steps", flags.steps, "Optimizer steps (default: 600 for addition, 2000 for text)");
  app.add_option("--lr", flags.lr, "Learning rate at its peak (default: 2e-3 for addition, 1e-3 for text)")
      ->check(positive_number())
      ->type_name("X");
  app.add_option("--min-lr", flags.min_lr, "Learning rate at the end (default: a tenth of --lr)")
      ->check(not_negative())
      ->type_name("X");
  app.add_option(
         "--warmup", flags.warmup,
         "Steps of linear warm-up (default: a twentieth of the steps, at most 100; it stays as long as it "
         "was if a run goes on with more --steps)")
      ->check(whole_number(0, most_steps))
      ->type_name("N");
  app.add_option("--dropout", flags.dropout, "Share of activations that are dropped")
      ->check(fraction())
      ->type_name("X")
      ->capture_default_str();
  app.add_option("--weight-decay", flags.weight_decay, "Decoupled decay of weights")
      ->check(not_negative())
      ->type_name("X")
      ->capture_default_str();
  app.add_option("--beta1", flags.beta1, "AdamW's decay of the mean")
      ->check(fraction())
      ->type_name("X")
      ->capture_default_str();
  app.add_option("--beta2", flags.beta2, "AdamW's decay of the square")
      ->check(fraction())
      ->type_name("X")
      ->capture_default_str();
  app.add_option("--clip", flags.clip, "Largest norm of the gradient")
      ->check(positive_number())
      ->type_name("X")
      ->capture_default_str();
  app.add_option("--positions", flags.positions,
                 "learned or rotary (default: learned for addition, rotary for text)")
      ->check(CLI::IsMember({"learned", "rotary"}).description(""))
      ->type_name("KIND");
  add_positive(app, "--accumulate", flags.accumulate, "Batches whose gradients make one step")
      ->capture_default_str();
  add_run_flags(app, flags.run);
}

void add_model(CLI::App& app, std::string& model) {
  app.add_option("--model", model, "Model or checkpoint file")
      ->required()
      ->check(name_of("a file"))
      ->type_name("FILE");
}

void add_generate(CLI::App& reel, GenerateFlags& flags) {
  CLI::App& app = *reel.add_subcommand("generate", "Let a trained Transformer write on");
  add_model(app, flags.model);
  app.add_option("--prompt", flags.prompt, "Text to go on from")->type_name("TEXT");
  add_positive(app, "--tokens", flags.tokens, "How many tokens at most")->capture_default_str();
  app.add_option("--temperature", flags.temperature,
                 "0 takes the likeliest token (default: 0.8; for sums 0, unless --top-k or --top-p is given)")
      ->check(not_negative())
      ->type_name("X");
  app.add_option("--top-k", flags.top_k, "Choose among the k likeliest tokens (0: all)")
      ->check(whole_number(0, most_steps))
      ->type_name("N");
  app.add_option("--top-p", flags.top_p,
                 "Choose among the likeliest tokens that have this probability together")
      ->check(number_from(1e-9, 1.0))
      ->type_name("P");
  app.add_option("--seed", flags.seed, "Everything random follows from it")
      ->check(whole_number(0, UINT64_MAX))
      ->capture_default_str()
      ->type_name("N");
  add_threads(app, flags.threads);
  app.add_flag("--stop-at-newline", flags.stop_at_newline, "Stop at the end of the line");
  app.add_flag("--json", flags.json, "Print one JSON object");
}

void add_evaluate(CLI::App& reel, EvaluateFlags& flags) {
  CLI::App& app = *reel.add_subcommand(
      "evaluate", "Measure a trained model on the part of data that training holds out, or on all");
  add_model(app, flags.model);
  CLI::Option* data =
      app.add_option(
             "--data", flags.data,
             "As for training, which holds out a part (--test-fraction, or the last tenth of a text): that "
             "part is measured, unless --split says all (default: what the model was trained on; a note says "
             "if it is other data)")
          ->check(name_of("data or of a file"))
          ->check(utf8())
          ->type_name("NAME|PATH");
  app.add_option("--labels", flags.labels, "IDX file of labels")
      ->needs(data)
      ->check(name_of("a file"))
      ->type_name("PATH");
  add_label_column(app, flags.label_column,
                   "Column of a CSV file that holds the class (default: as in training)")
      ->needs(data);
  add_ignore_columns(app, flags.ignore_columns,
                     "Columns of a CSV file that are no features, if these are not found by the names that "
                     "training saw (default: as in training; none: no column)")
      ->needs(data);
  app.add_option_function<std::string>(
         "--split", [&flags](const std::string& part) { flags.whole = part == "all"; },
         "held-out, or all: every sample of the data, as of a file that is there for testing")
      ->check(CLI::IsMember({"held-out", "all"}).description(""))
      ->default_str("held-out")
      ->type_name("PART");
  add_threads(app, flags.threads);
  app.add_flag("--json", flags.json, "Print one JSON object");
}

void add_predict(CLI::App& reel, PredictFlags& flags) {
  CLI::App& app =
      *reel.add_subcommand("predict", "Say which classes a trained model takes new samples for, as CSV");
  add_model(app, flags.model);
  app.add_option("--data", flags.data,
                 "CSV file, whose columns are found by the names that training saw, or else are the features "
                 "alone in the order of training; IDX file of images; or a set that training knows by its "
                 "name, whole")
      ->required()
      ->check(name_of("data or of a file"))
      ->check(utf8())
      ->type_name("NAME|PATH");
  add_label_column(app, flags.label_column,
                   "Column of a CSV file that holds the class, to be passed over (default: none does)");
  add_ignore_columns(app, flags.ignore_columns,
                     "Other columns to be passed over, if features are not found by the names that training "
                     "saw (default: none)");
  add_header(app, flags.header);
  app.add_flag("--probabilities", flags.probabilities, "Print the probabilities of all classes");
  add_threads(app, flags.threads);
  app.add_flag("--json", flags.json, "Print one JSON object");
}

void add_inspect(CLI::App& reel, InspectFlags& flags) {
  CLI::App& app = *reel.add_subcommand("inspect", "Check a file and say what is in it");
  app.add_option("file", flags.file, "A checkpoint, safetensors, NPY, NPZ, IDX, CSV or text file")
      ->required()
      ->check(name_of("a file"))
      ->type_name("FILE");
  CLI::Option* label =
      add_label_column(app, flags.label_column,
                       "Column of a CSV file that holds the class (default: the last that is not ignored)");
  add_ignore_columns(app, flags.ignore_columns,
                     "Columns of a CSV file that are no features, as an id (default: none)");
  add_header(app, flags.header);
  app.add_flag("--unlabelled", flags.unlabelled, "A CSV file has no classes: all its columns are features")
      ->excludes(label);
  app.add_flag("--json", flags.json, "Print one JSON object");
}

void add_autopsy(CLI::App& reel, AutopsyFlags& flags) {
  CLI::App& app = *reel.add_subcommand("autopsy", "Do a step again in which a number was not finite");
  app.add_option("directory", flags.directory,
                 "The autopsy-step-N of a run, which keeps the first " + std::to_string(most_autopsies))
      ->required()
      ->check(name_of("a directory"))
      ->type_name("DIR");
  app.add_flag("--json", flags.json, "Print one JSON object");
}

void add_attention(CLI::App& reel, AttentionFlags& flags) {
  CLI::App& app = *reel.add_subcommand("attention", "Look inside attention: an example, or a trained model");
  CLI::Option* model = app.add_option("--model", flags.model,
                                      "Show the maps of this model (default: an example of four tokens)")
                           ->check(name_of("a file"))
                           ->type_name("FILE");
  app.add_option("--prompt", flags.prompt, "What the model reads")->needs(model)->type_name("TEXT");
  app.add_option("--html", flags.html, "Also write a page to look at in a browser")
      ->check(name_of("a file"))
      ->type_name("FILE");
  app.add_option("--token", flags.token, "Example: whose output the gradients are of")
      ->excludes(model)
      ->check(whole_number(0, 3))
      ->type_name("0..3")
      ->capture_default_str();
  app.add_option("--component", flags.component, "Example: which component of it")
      ->excludes(model)
      ->check(whole_number(0, 2))
      ->type_name("0..2")
      ->capture_default_str();
  app.add_option("--temperature", flags.temperature, "Example: scores are divided by it")
      ->excludes(model)
      ->check(positive_number())
      ->type_name("X")
      ->capture_default_str();
  app.add_flag("--json", flags.json, "Print one JSON object");
}

void add_bench(CLI::App& reel, BenchFlags& flags) {
  CLI::App& app = *reel.add_subcommand("bench", "Measure training steps beside the limits of this machine");
  app.add_option("--case", flags.name, "Only this case; the way to the heavy gpt2-124m-b4-t64")
      ->check(name_of("a case"))
      ->type_name("NAME");
  add_threads(app, flags.threads);
  add_precision(app, flags.precision);
  app.add_flag("--json", flags.json, "Print one JSON object");
}

void add_ops(CLI::App& reel, OpsFlags& flags) {
  CLI::App& app = *reel.add_subcommand("ops", "List the catalogue of ops");
  app.add_flag("--json", flags.json, "Print one JSON object");
}

// What the words are read into; only the flags of the verb that they ask for are used.
struct FlagsOfVerbs {
  ClassifierFlags classifier;
  TransformerFlags transformer;
  GenerateFlags generate;
  EvaluateFlags evaluate;
  PredictFlags predict;
  InspectFlags inspect;
  AutopsyFlags autopsy;
  AttentionFlags attention;
  BenchFlags bench;
  OpsFlags ops;
};

void add_train(CLI::App& reel, FlagsOfVerbs& flags) {
  CLI::App& app = *reel.add_subcommand("train", "Train a model (alone: the Transformer that learns to add)");
  app.require_subcommand(1);
  app.footer(
      "The Transformer's options work without its name, too: reel train --steps 100. `reel train transformer "
      "--help` lists them.");
  add_classifier(app, flags.classifier);
  add_transformer(app, flags.transformer);
}

void add_verbs(CLI::App& reel, FlagsOfVerbs& flags) {
  reel.name("reel");
  reel.require_subcommand(1);
  reel.set_version_flag("--version", std::string("reel " REEL_VERSION ", ") + kernels::instruction_set());
  reel.footer(
      "Exit codes: 0 ok, 1 failed, 2 usage, 3 data file, 4 model or checkpoint file, 5 input or output,\n"
      "6 numbers that are not finite, 130 interrupted (a checkpoint was saved).");
  add_train(reel, flags);
  add_generate(reel, flags.generate);
  add_evaluate(reel, flags.evaluate);
  add_predict(reel, flags.predict);
  add_inspect(reel, flags.inspect);
  add_autopsy(reel, flags.autopsy);
  add_attention(reel, flags.attention);
  add_bench(reel, flags.bench);
  add_ops(reel, flags.ops);
}

// `reel train` is `reel train transformer`, also with flags behind it.
std::vector<std::string> with_default_task(std::vector<std::string> words) {
  const bool bare =
      !words.empty() && words[0] == "train" &&
      (words.size() == 1 || (words[1].starts_with("-") && words[1] != "--help" && words[1] != "-h"));
  if (bare) words.insert(words.begin() + 1, "transformer");
  return words;
}

// An unset variable leaves `--out $UNSET --json`, whose directory would be called --json.
void refuse_flag_as_name(const CLI::Option& option, const std::string& word) {
  constexpr std::string_view of_files[] = {"--out", "--data", "--labels", "--model", "--html"};
  const std::string name = option.get_name();
  if (!word.starts_with("--") ||
      std::find(std::begin(of_files), std::end(of_files), name) == std::end(of_files))
    return;
  throw CLI::ValidationError(name, "needs a name, but the next word is " + word +
                                       "; if that is the name, write ./" + word + " or " + name + "=" + word);
}

// CLI11 takes the next word for the value of `--out=`, though it is empty as in `--out ""`, and it takes
// `--json=3` for `--json`. Only words that CLI11 reads as such a flag are split or refused: no values, and
// nothing behind `--`.
std::vector<std::string> with_empty_values(const CLI::App& app, const std::vector<std::string>& words) {
  std::vector<std::string> result;
  const CLI::App* verb = &app;
  const CLI::Option* open = nullptr;  // takes the next word, whatever it looks like
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    result.push_back(word);
    if (open != nullptr) {
      refuse_flag_as_name(*open, word);
      open = nullptr;
      continue;
    }
    if (word == "--") {
      result.insert(result.end(), words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
      break;
    }
    if (!word.starts_with("--")) {
      for (const CLI::App* next : verb->get_subcommands({})) {
        if (next->check_name(word)) verb = next;
      }
      continue;
    }
    const std::size_t equals = word.find('=');
    const CLI::Option* option = verb->get_option_no_throw(word.substr(0, equals));
    if (option == nullptr) continue;
    const bool takes_value = option->get_items_expected_max() > 0;
    if (equals == std::string::npos) {
      open = takes_value ? option : nullptr;
      continue;
    }
    const std::string value = word.substr(equals + 1);
    if (!takes_value) {
      throw CLI::ValidationError(option->get_name(),
                                 "takes no value; leave " + (value.empty() ? "the =" : "=" + value) + " out");
    }
    if (value.empty()) {
      result.back().pop_back();
      result.emplace_back();
    }
  }
  return result;
}

// The flag that has more values than it takes: CLI11 would count them against "At Most".
std::string about_flag_given_twice(const CLI::App& reel) {
  const CLI::App* verb = &reel;
  while (!verb->get_subcommands().empty()) verb = verb->get_subcommands().front();
  for (const CLI::Option* option : verb->get_options()) {
    if (option->count() > 1 && option->get_items_expected_max() == 1)
      return option->get_name() + " is given " + std::to_string(option->count()) +
             " times; leave all but one of them out";
  }
  return "";
}

// What is wrong with the words that the program did not take.
std::string complaint(const CLI::App& reel, const CLI::ParseError& e) {
  // CLI11 would say that something else is missing, or list all words that it has no use for.
  const auto code = static_cast<CLI::ExitCodes>(e.get_exit_code());
  if (code == CLI::ExitCodes::RequiredError || code == CLI::ExitCodes::ExtrasError) {
    std::string unknown = about_unknown_word(reel);
    if (!unknown.empty()) return unknown;
  }
  if (code == CLI::ExitCodes::ArgumentMismatch) {
    std::string twice = about_flag_given_twice(reel);
    if (!twice.empty()) return twice;
  }
  return e.what();
}

// The verb that the words asked for.
Command chosen(const CLI::App& reel, const FlagsOfVerbs& flags) {
  if (reel.got_subcommand("train")) {
    if (reel.get_subcommand("train")->got_subcommand("classifier")) return flags.classifier;
    return flags.transformer;
  }
  if (reel.got_subcommand("generate")) return flags.generate;
  if (reel.got_subcommand("evaluate")) return flags.evaluate;
  if (reel.got_subcommand("predict")) return flags.predict;
  if (reel.got_subcommand("inspect")) return flags.inspect;
  if (reel.got_subcommand("autopsy")) return flags.autopsy;
  if (reel.got_subcommand("attention")) return flags.attention;
  if (reel.got_subcommand("bench")) return flags.bench;
  return flags.ops;
}

}  // namespace

std::variant<ExitCode, Command> parse_command_line(const std::vector<std::string>& words, std::ostream& out,
                                                   std::ostream& err, const CompleteTraining& complete) {
  CLI::App reel{"Reel trains small networks and shows how it is done."};
  FlagsOfVerbs flags;
  add_verbs(reel, flags);
  try {
    std::vector<std::string> read = with_empty_values(reel, with_default_task(words));
    std::reverse(read.begin(), read.end());  // CLI11 takes them from the back
    reel.parse(std::move(read));
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) {  // --help
      reel.exit(e, out, err);
      return ok;
    }
    // It quotes what was typed, or what a script put in.
    err << "reel: " << data::printable(complaint(reel, e)) << "\n";
    return usage;
  }
  if (complete && reel.got_subcommand("train")) {
    CLI::App& train = *reel.get_subcommand("train");
    if (train.got_subcommand("classifier")) {
      complete(*train.get_subcommand("classifier"), flags.classifier.run);
    } else {
      complete(*train.get_subcommand("transformer"), flags.transformer.run);
    }
  }
  return chosen(reel, flags);
}

}  // namespace reel::examples
