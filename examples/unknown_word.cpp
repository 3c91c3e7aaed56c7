#include "examples/unknown_word.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <numeric>
#include <string_view>
#include <vector>

namespace reel::examples {
namespace {

// How many letters must be added, left out, replaced or exchanged with the next one to make `b` of `a`.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before;
  std::vector<std::size_t> above(b.size() + 1);
  std::iota(above.begin(), above.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::vector<std::size_t> row = {i};
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t least =
          std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        least = std::min(least, before[j - 2] + 1);
      row.push_back(least);
    }
    before = std::move(above);
    above = std::move(row);
  }
  return above.back();
}

// The name that is nearest to the word, with a question around it; nothing if none is near.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& names) {
  const auto bare = [](std::string_view text) {
    return text.substr(std::min(text.size(), text.find_first_not_of('-')));
  };
  const std::string_view typed = bare(word);
  constexpr std::size_t longest = 40;  // no name is, and the work grows with the length
  if (typed.size() > longest) return "";
  const std::string* nearest = nullptr;
  std::size_t least = typed.size() <= 4 ? 2 : 3;  // too far
  for (const std::string& name : names) {
    const std::string_view known = bare(name);
    // "eval" begins "evaluate", and lacks as many letters as some other names.
    // Other programs say more: --max-tokens.
    const bool begun =
        typed.size() >= 3 && (known.starts_with(typed) || typed.ends_with("-" + std::string(known)));
    const std::size_t d = begun ? 1 : distance(typed, known);
    if (d >= least) continue;
    least = d;
    nearest = &name;
  }
  return nearest == nullptr ? "" : "; did you mean " + *nearest + "?";
}

std::vector<std::string> verbs_of(const CLI::App& level) {
  std::vector<std::string> names;
  for (const CLI::App* verb : level.get_subcommands({})) names.push_back(verb->get_name());
  return names;
}

std::vector<std::string> flags_of(const CLI::App& level) {
  std::vector<std::string> names;
  for (const CLI::Option* option : level.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

// Whether it is a flag of the verb, or of one below it: `reel train` takes those of `reel train transformer`.
bool knows(const CLI::App& verb, const std::string& flag) {
  if (verb.get_option_no_throw(flag) != nullptr) return true;
  const auto below = verb.get_subcommands({});
  return std::any_of(below.begin(), below.end(), [&](const CLI::App* app) { return knows(*app, flag); });
}

}  // namespace

std::string about_unknown_word(const CLI::App& app) {
  const auto listed = [](const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
  };
  const CLI::App* level = &app;
  std::string path = app.get_name();
  while (!level->get_subcommands().empty()) {
    level = level->get_subcommands().front();
    path += " " + level->get_name();
  }
  const CLI::App* const verb = level;
  // A verb leaves a word to the one above it if that knows it; a word may also stand in front of the verb.
  std::string path_of_level = path;
  while (level->remaining_size() == 0 && level->get_parent() != nullptr) {
    path_of_level.resize(path_of_level.size() - level->get_name().size() - 1);
    level = level->get_parent();
  }
  if (level->remaining_size() == 0) {
    if (!app.get_subcommands().empty()) return "";
    return "a verb is missing; there are " + listed(verbs_of(app)) + "; `" + path +
           " --help` says what they do";
  }
  const std::string word = level->remaining().front();
  const auto all = [](const std::string& of) { return "; `" + of + " --help` lists what it takes"; };
  if (word.starts_with("-") && word.size() > 1) {
    const std::string flag = word.substr(0, word.find('='));
    if (level != verb && knows(*verb, flag))
      return word + " is a flag of `" + path + "`; write it behind the verb";
    const std::string hint = did_you_mean(flag, flags_of(*level));
    return "unknown flag " + word + " of `" + path_of_level + "`" +
           (hint.empty() ? all(path_of_level) : hint);
  }
  const std::vector<std::string> verbs = verbs_of(*level);
  if (verbs.empty() || !level->get_subcommands().empty()) {
    const CLI::Option* const model = verb->get_option_no_throw("--model");
    return "`" + path + "` has no use for the word \"" + word + "\"" +
           (model != nullptr && model->count() == 0 ? "; did you mean --model " + word + "?" : all(path));
  }
  const std::string unknown = "unknown verb \"" + word + "\"; there are " + listed(verbs);
  for (const CLI::App* above : level->get_subcommands({})) {
    const std::vector<std::string> below = verbs_of(*above);
    if (std::find(below.begin(), below.end(), word) != below.end())
      return unknown + "; did you mean " + above->get_name() + " " + word + "?";
  }
  std::vector<std::string> names = flags_of(*level);  // `reel help` is --help
  names.insert(names.begin(), verbs.begin(), verbs.end());
  return unknown + did_you_mean(word, names);
}

}  // namespace reel::examples
