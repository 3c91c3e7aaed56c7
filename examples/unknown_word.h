#pragma once

#include <CLI/App.hpp>
#include <string>

namespace reel::examples {

/// What is wrong with the first word that a command line had and no verb took, and what was perhaps meant; or
/// which verbs there are, if it had none. Empty if each word was taken. For an App that has refused it.
std::string about_unknown_word(const CLI::App& app);

}  // namespace reel::examples
