#include "autograd/autopsy.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iomanip>
#include <ostream>
#include <string_view>

#include "autograd/tape.h"
#include "autograd/watch.h"

// Which op of a tape made the first number that is not finite, and the words for it.

namespace reel {
namespace {

std::string six_digits(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", x);
  return text;
}

std::string not_finite_word(double x) { return std::isnan(x) ? "nan" : x > 0 ? "inf" : "-inf"; }

// "a.b" for "a.b.weight"; "" for "weight".
std::string module_of(const std::string& parameter) {
  const std::size_t dot = parameter.rfind('.');
  return dot == std::string::npos ? "" : parameter.substr(0, dot);
}

// The innermost module that holds both: "a.b" for "a.b.c" and "a.b.d.e".
std::string common_module(const std::string& a, const std::string& b) {
  std::size_t same = 0;
  for (std::size_t i = 0; i <= std::min(a.size(), b.size()); ++i) {
    const bool a_ends = i == a.size() || a[i] == '.';
    const bool b_ends = i == b.size() || b[i] == '.';
    if (a_ends && b_ends) same = i;
    if (i == a.size() || i == b.size() || a[i] != b[i]) break;
  }
  return a.substr(0, same);
}

std::string place_text(Place place) {
  return *place.file == '\0' ? "" : std::string(place.file) + ":" + std::to_string(place.line);
}

std::string input_line(std::string_view name, const Shape& shape, const std::string& origin,
                       const Range& range) {
  std::string label(name);
  label.resize(std::max<std::size_t>(label.size(), 8), ' ');
  return "\n    " + label + " " + to_string(shape) + "  " + origin + "  " + to_string(range);
}

std::string layer_line(const Layer& layer) {
  return layer.text().empty() ? "" : "\n    layer    " + layer.text();
}

std::string table_numbers(const Range& r) {
  if (r.finite() == 0) return r.count == 0 ? "-" : "- - -";
  return six_digits(r.low) + " " + six_digits(r.high) + " " + six_digits(r.mean);
}

}  // namespace

std::string to_string(const Range& range) {
  std::string text = range.finite() > 0 ? "in [" + six_digits(range.low) + ", " + six_digits(range.high) +
                                              "], mean " + six_digits(range.mean)
                                        : "no finite value";
  if (range.nan > 0) text += ", " + std::to_string(range.nan) + " nan";
  if (range.inf > 0) text += ", " + std::to_string(range.inf) + " inf";
  return text;
}

std::string Layer::text() const {
  std::string all = path;
  const auto add = [&](const char* word, const std::string& module) {
    if (!module.empty()) all += (all.empty() ? "" : ", ") + std::string(word) + module;
  };
  add("after ", after);
  add("before ", before);
  return all;
}

std::string Autopsy::text() const {
  if (!found()) return "every number is finite";
  const NodeRecord& guilty = nodes[static_cast<std::size_t>(culprit)];
  std::string all = at(guilty.place, guilty.op + ": " + what);
  std::string help;
  for (std::size_t k = 0; k < guilty.inputs.size(); ++k) {
    const NodeRecord& input = nodes[guilty.inputs[k]];
    all += input_line(guilty.input_names[k], input.shape, input.origin, input.value);
    if (!input.is_op() && !input.value.all_finite() && help.empty())
      help =
          help_line("the op did not make it: it came in with " + guilty.input_names[k] + ", " + input.origin);
  }
  return all + layer_line(layer) + help;
}

void Autopsy::print_table(std::ostream& out) const {
  const std::vector<std::string> titles = {
      "#",   "op",  "shape", "inputs", "min max mean", "nan", "inf", "gradient min max mean",
      "nan", "inf", "place"};
  std::vector<std::vector<std::string>> rows = {titles};
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const NodeRecord& n = nodes[i];
    std::string inputs;
    for (const std::uint32_t k : n.inputs) inputs += (inputs.empty() ? "#" : " #") + std::to_string(k);
    const Range g = n.gradient.value_or(Range{});
    rows.push_back({"#" + std::to_string(i), n.parameter.empty() ? n.op : n.op + " " + n.parameter,
                    to_string(n.shape), inputs, table_numbers(n.value), std::to_string(n.value.nan),
                    std::to_string(n.value.inf), n.gradient ? table_numbers(g) : "",
                    n.gradient ? std::to_string(g.nan) : "", n.gradient ? std::to_string(g.inf) : "",
                    place_text(n.place)});
  }
  std::vector<std::size_t> widths(titles.size());
  for (const auto& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t c = 0; c + 1 < rows[i].size(); ++c)
      out << std::left << std::setw(static_cast<int>(widths[c]) + 2) << rows[i][c];
    out << rows[i].back();
    if (found() && i == static_cast<std::size_t>(culprit) + 1) out << "  <- " << what;
    out << '\n';
  }
}

void Tape::watch(bool on) { watch_ = on ? std::make_unique<Watch>() : nullptr; }

double Tape::number(const void* memory, std::int64_t i) const {
  switch (precision_) {
    case Precision::f32:
      return static_cast<double>(static_cast<const float*>(memory)[i]);
    case Precision::f64:
      return static_cast<const double*>(memory)[i];
    default:
      return static_cast<const Dual*>(memory)[i].value;
  }
}

std::int64_t Tape::first_not_finite(const void* memory, std::int64_t count) const {
  for (std::int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(number(memory, i))) return i;
  }
  return -1;
}

Range Tape::range_of(const void* memory, std::int64_t count) const {
  Range range;
  range.count = count;
  range.low = INFINITY;
  range.high = -INFINITY;
  for (std::int64_t i = 0; i < count; ++i) {
    const double x = number(memory, i);
    if (!std::isfinite(x)) {
      ++(std::isnan(x) ? range.nan : range.inf);
      continue;
    }
    range.low = std::min(range.low, x);
    range.high = std::max(range.high, x);
    // Summed as a share of the mean: a sum of large numbers could leave the range of a double.
    range.mean += x / static_cast<double>(count);
  }
  if (range.finite() == 0) range.low = range.high = 0;
  if (range.finite() > 0) range.mean *= static_cast<double>(count) / static_cast<double>(range.finite());
  return range;
}

std::string Tape::value_fault(const Node& made, std::int64_t element) const {
  return "value " + std::to_string(element) + " is " + not_finite_word(number(made.value, element));
}

std::string Tape::gradient_fault(const Node& made, std::uint32_t input, std::int64_t element) const {
  const Node& to = nodes_[inputs_[made.first_input + input]];
  return "gradient " + std::to_string(element) + " of " + std::string(made.op->input_name(input)) + " is " +
         not_finite_word(number(to.gradient, element));
}

std::string Tape::own_parameter(const Node& made) const {
  for (std::uint32_t k = 0; k < made.inputs; ++k) {
    const Node& input = nodes_[inputs_[made.first_input + k]];
    if (input.parameter < 0) continue;
    const ParameterLeaf& leaf = parameter_leaves_[static_cast<std::size_t>(input.parameter)];
    if (!blocks_[leaf.leaves].life.expired()) return leaf.block->entry(leaf.index).name;
  }
  return "";
}

Layer Tape::layer_of(std::uint32_t index) const {
  Layer layer;
  if (const std::string own = own_parameter(nodes_[index]); !own.empty()) {
    layer.path = module_of(own);
    return layer;
  }
  const auto inputs_of = [&](std::size_t i) {
    return std::span(inputs_).subspan(nodes_[i].first_input, nodes_[i].inputs);
  };
  std::string upstream;
  std::string downstream;
  std::vector<bool> related(nodes_.size());
  related[index] = true;
  for (std::size_t i = index + std::size_t{1}; i-- > 0 && upstream.empty();) {
    if (!related[i]) continue;
    upstream = own_parameter(nodes_[i]);
    for (const std::uint32_t from : inputs_of(i)) related[from] = true;
  }
  related.assign(nodes_.size(), false);
  related[index] = true;
  for (std::size_t i = index + std::size_t{1}; i < nodes_.size() && downstream.empty(); ++i) {
    const auto from = inputs_of(i);
    related[i] = std::any_of(from.begin(), from.end(), [&](std::uint32_t k) { return related[k]; });
    if (related[i]) downstream = own_parameter(nodes_[i]);
  }
  layer.after = module_of(upstream);
  layer.before = module_of(downstream);
  if (!upstream.empty() && !downstream.empty()) layer.path = common_module(layer.after, layer.before);
  return layer;
}

std::string Tape::anomaly_text(std::uint32_t index, const std::string& what) const {
  const Node& made = nodes_[index];
  std::string text = at(made.place(), std::string(made.op->name) + ": " + what);
  for (std::uint32_t k = 0; k < made.inputs; ++k) {
    const Node& input = nodes_[inputs_[made.first_input + k]];
    text += input_line(made.op->input_name(k), input.shape, origin(input), range_of(input.value, input.size));
  }
  return text + layer_line(layer_of(index));
}

void Tape::check_value(const Node& made) const {
  const std::int64_t element = first_not_finite(made.value, made.size);
  if (element < 0) return;
  throw NonFiniteError(made.place(), anomaly_text(index_of(made), value_fault(made, element)));
}

void Tape::note_gradient(std::uint32_t index) {
  const Node& made = nodes_[index];
  if (watch_->gradients.size() < nodes_.size()) watch_->gradients.resize(nodes_.size());
  watch_->gradients[index] = Watch::Note{made.step, range_of(made.gradient, made.size)};
}

bool Tape::has_culprit() const {
  return watch_->guilty_step != 0 && watch_->guilty < nodes_.size() &&
         nodes_[watch_->guilty].step == watch_->guilty_step;
}

// The first op in recording order whose value is not finite and that the loss's value comes from, if the loss
// is not finite; or the very first.
std::int64_t Tape::guilty_node(const Tensor& loss, bool every) const {
  const auto finite = [&](const Node& n) { return first_not_finite(n.value, n.size) < 0; };
  const bool has_loss = loss.slot_ != 0;
  if (every || !has_loss) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].op != nullptr && !finite(nodes_[i])) return static_cast<std::int64_t>(i);
    }
    return -1;
  }
  if (finite(nodes_[loss.index_])) return -1;
  std::vector<bool> blamed(loss.index_ + std::size_t{1});
  blamed[loss.index_] = true;
  std::int64_t first = -1;
  for (std::size_t i = loss.index_ + std::size_t{1}; i-- > 0;) {
    if (!blamed[i] || nodes_[i].op == nullptr) continue;
    first = static_cast<std::int64_t>(i);
    for (std::uint32_t k = 0; k < nodes_[i].inputs; ++k) {
      const std::uint32_t from = inputs_[nodes_[i].first_input + k];
      blamed[from] = blamed[from] || !finite(nodes_[from]);
    }
  }
  return first;
}

Autopsy Tape::autopsy(const Tensor& loss, bool every, Place place) const {
  require_step(place);
  if (watch_ == nullptr) {
    throw StateError(
        place, at(place, "autopsy: the tape was not watched") + help_line("call tape.watch(true) first"));
  }
  if (loss.slot_ != 0 && (loss.slot_ != slot_ || !holds(loss))) {
    throw StateError(place, at(place, "autopsy: the loss is no tensor of this tape's open step"));
  }
  for (const ParameterLeaf& leaf : parameter_leaves_) require_memory(leaf, "autopsy", place);
  Autopsy result;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Node& n = nodes_[i];
    NodeRecord record;
    record.origin = origin(n);
    record.shape = n.shape;
    record.place = n.place();
    record.value = range_of(n.value, n.size);
    if (n.parameter >= 0) {
      const ParameterLeaf& leaf = parameter_leaves_[static_cast<std::size_t>(n.parameter)];
      record.op = "parameter";
      record.parameter = leaf.block->entry(leaf.index).name;
    } else if (n.op == nullptr) {
      record.op = n.wants_gradient ? "variable" : "constant";
    } else {
      record.op = n.op->name;
      for (std::uint32_t k = 0; k < n.inputs; ++k) {
        record.inputs.push_back(inputs_[n.first_input + k]);
        record.input_names.emplace_back(n.op->input_name(k));
      }
    }
    if (n.op == nullptr || n.retained) {
      if (const void* gradient = kept_gradient(n)) record.gradient = range_of(gradient, n.size);
    } else if (i < watch_->gradients.size() && watch_->gradients[i] && watch_->gradients[i]->step == n.step) {
      record.gradient = watch_->gradients[i]->gradient;
    }
    result.nodes.push_back(std::move(record));
  }
  result.culprit = guilty_node(loss, every);
  if (result.found()) {
    const Node& guilty = nodes_[static_cast<std::size_t>(result.culprit)];
    result.what = value_fault(guilty, first_not_finite(guilty.value, guilty.size));
  } else if (has_culprit()) {
    result.culprit = watch_->guilty;
    result.backward = true;
    result.what = watch_->what;
  }
  if (result.found()) result.layer = layer_of(static_cast<std::uint32_t>(result.culprit));
  return result;
}

}  // namespace reel
