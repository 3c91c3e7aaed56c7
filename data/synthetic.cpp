#include "data/synthetic.h"

#include <cmath>

#include "data/error.h"
#include "kernels/philox.h"

namespace reel::data {
namespace {

constexpr double pi = 3.14159265358979323846;

struct Point {
  double x, y;
};

// Makes each sample from its class and a number t in (0, 1) along it.
template <class Options, class Shape>
Dataset make(const char* name, const Options& options, std::int64_t classes, Shape shape) {
  if (classes < 2 || options.count < classes) {
    throw DataError(std::string(name) + ": " + std::to_string(options.count) + " samples in " +
                    std::to_string(classes) + " classes; at least 2 classes and a sample of each are needed");
  }
  if (!(options.noise >= 0)) {
    throw DataError(std::string(name) + ": noise is a deviation, a number >= 0, not " +
                    std::to_string(options.noise));
  }
  Dataset data;
  data.name = name;
  data.count = options.count;
  data.features = 2;
  data.class_names = numbered_classes(classes);
  const kernels::Philox places(options.seed, 0x706F696E74);  // "point"
  const kernels::Philox noise(options.seed, 0x6E6F697365);   // "noise"
  for (std::int64_t i = 0; i < options.count; ++i) {
    const std::int64_t c = i % classes;
    const auto n = static_cast<std::uint64_t>(i);
    const Point p = shape(c, places.uniform(n));
    data.inputs.push_back(static_cast<float>(p.x + options.noise * noise.normal(2 * n)));
    data.inputs.push_back(static_cast<float>(p.y + options.noise * noise.normal(2 * n + 1)));
    data.labels.push_back(static_cast<std::int32_t>(c));
  }
  return data;
}

double share(std::int64_t c, std::int64_t classes) {
  return static_cast<double>(c) / static_cast<double>(classes);
}

}  // namespace

Dataset spirals(const SpiralsOptions& options) {
  return make("spirals", options, options.classes, [&](std::int64_t c, double t) {
    const double angle = 2 * pi * (t + share(c, options.classes));
    const double radius = 0.2 + 1.8 * t;
    return Point{radius * std::cos(angle), radius * std::sin(angle)};
  });
}

Dataset moons(const MoonsOptions& options) {
  return make("moons", options, 2, [](std::int64_t c, double t) {
    return c == 0 ? Point{std::cos(pi * t), std::sin(pi * t)}
                  : Point{1 - std::cos(pi * t), 0.5 - std::sin(pi * t)};
  });
}

Dataset blobs(const BlobsOptions& options) {
  return make("blobs", options, options.classes, [&](std::int64_t c, double) {
    const double angle = 2 * pi * share(c, options.classes);
    return Point{std::cos(angle), std::sin(angle)};
  });
}

}  // namespace reel::data
