#include "nn/module.h"

#include "autograd/error.h"

namespace reel::nn {

Module::Module(Seed seed) : owned_(std::make_unique<State>()), state_(owned_.get()) { state_->seed = seed; }

Module::Module(Module* parent, const Name& name)
    : state_(state_of(parent, name)), path_(parent->path_of(name.text)) {
  parent->claim(name);
}

Module::State* Module::state_of(const Module* parent, const Name& name) {
  if (parent != nullptr) return parent->state_;
  throw ValueError(name.place,
                   at(name.place, "module: \"" + name.text + "\" has no parent, but a null pointer") +
                       help_line("give the module that holds it, which a member calls `this`"));
}

std::string Module::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
}

void Module::claim(const Name& name) {
  const auto& [text, place] = name;
  if (text.empty() || text.find('.') != std::string::npos) {
    throw ValueError(place, at(place, "module: \"" + text + "\" is not a name") +
                                help_line("a name is not empty and has no dots; dots join names to paths"));
  }
  if (!names_.emplace(text).second) {
    throw ValueError(place, at(place, "module: \"" + path_of(text) + "\" is there twice") +
                                help_line("give every child and parameter of a module its own name"));
  }
}

bool Module::holds(std::string_view parameter) const { return path_.empty() || lies_in(parameter, path_); }

void Module::requires_grad(bool on) {
  for (std::size_t i = 0; i < state_->block.count(); ++i) {
    ParameterBlock::Entry& entry = state_->block.entry(i);
    if (holds(entry.name)) entry.requires_grad = on;
  }
}

Parameter Module::add_parameter(const Name& name, const Shape& shape, bool decay) {
  claim(name);
  return {state_->block, state_->block.add(path_of(name.text), shape, decay)};
}

bool lies_in(std::string_view name, std::string_view path) {
  return name.starts_with(path) && (name.size() == path.size() || name[path.size()] == '.');
}

}  // namespace reel::nn
