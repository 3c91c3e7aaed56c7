#pragma once

#include <CLI/App.hpp>
#include <string>

namespace reel::examples {

/// What is wrong with the first word that a command line had and no verb took, and what was perhaps meant;
/// empty if each was taken. For an App that has parsed it, and refused it.
std::string about_unknown_word(const CLI::App& app);

}  // namespace reel::examples
