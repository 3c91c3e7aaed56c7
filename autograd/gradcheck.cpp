#include "autograd/gradcheck.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <locale>
#include <numeric>
#include <sstream>

#include "kernels/philox.h"

namespace reel {
namespace {

using Vector = std::vector<double>;

// What is checked: a map from vectors to vectors, with its derivative both ways.
struct Subject {
  Vector point;
  std::function<Vector(const Vector& x)> value;
  // At the point:
  std::function<Vector(const Vector& v)> forward;   // J v, by dual numbers
  std::function<Vector(const Vector& u)> backward;  // J^T u
  std::function<Vector(const Vector& u)> twice;     // J^T u, added to itself
  std::function<Vector(const Vector& u)> alone;     // J^T u, of every input while the others are constants
};

double dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

// 4-point central difference of f along v (Abramowitz, Stegun 25.3.22); its error grows with step^4.
Vector difference(const Subject& f, const Vector& v, double step) {
  const auto shifted = [&](double by) {
    Vector x = f.point;
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += by * v[i];
    return f.value(x);
  };
  const Vector near_up = shifted(step / 2);
  const Vector near_down = shifted(-step / 2);
  const Vector far_up = shifted(step);
  const Vector far_down = shifted(-step);
  Vector result(near_up.size());
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = (8 * (near_up[i] - near_down[i]) - (far_up[i] - far_down[i])) / (6 * step);
  }
  return result;
}

// Unit vectors if there are few, else random directions.
std::vector<Vector> directions(std::size_t size, int most, int random, std::uint64_t seed,
                               std::uint64_t stream) {
  std::vector<Vector> result;
  if (size <= static_cast<std::size_t>(most)) {
    for (std::size_t i = 0; i < size; ++i) {
      result.emplace_back(size, 0.0);
      result.back()[i] = 1;
    }
    return result;
  }
  const kernels::Philox numbers(seed, stream);
  for (int d = 0; d < random; ++d) {
    Vector v(size);
    for (std::size_t i = 0; i < size; ++i) v[i] = numbers.normal(static_cast<std::uint64_t>(d) * size + i);
    result.push_back(std::move(v));
  }
  return result;
}

double step_along(const Subject& f, const Vector& v, double step) {
  double size = 1;
  for (std::size_t i = 0; i < v.size(); ++i) {
    if (v[i] != 0) size = std::max(size, std::fabs(f.point[i] / v[i]));
  }
  // Random directions move every coordinate at once: a step must not grow with the one that hardly moves.
  return step *
         (std::count(v.begin(), v.end(), 0.0) + 1 == static_cast<std::ptrdiff_t>(v.size()) ? size : 1.0);
}

struct Entry {
  double backward, dual, difference;
  std::size_t row, column;
};

// Numbers that read the same in every language, and back to themselves.
std::ostringstream numbers_as_text() {
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text.precision(17);
  return text;
}

double error(double a, double b, double scale) {
  if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<double>::infinity();  // two prove nothing
  return a == b ? 0 : std::fabs(a - b) / std::max({std::fabs(a), std::fabs(b), scale});
}

// How many times as large as it may be: at most 1 passes. No error passes with any tolerance.
double times_too_large(double error, double tolerance) { return error == 0 ? 0 : error / tolerance; }

// How gradients are used beyond a single backward: added to others, and with inputs that want none.
void check_use(const Subject& f, std::size_t outputs, double scale, const GradcheckOptions& options,
               GradcheckReport& report) {
  Vector u(outputs);
  const kernels::Philox numbers(options.seed, 3);
  for (std::size_t i = 0; i < outputs; ++i) u[i] = numbers.normal(i);
  const Vector once = f.backward(u);
  for (const double number : once) scale = std::max(scale, std::isfinite(number) ? std::fabs(number) : 0);
  const auto compare = [&](const Vector& found, double times, const char* what) {
    for (std::size_t j = 0; j < once.size(); ++j) {
      const double wrong = error(found[j], times * once[j], scale);
      if (wrong <= report.reuse_error) continue;
      report.reuse_error = wrong;
      if (wrong <= options.dual_tolerance || !report.passed) continue;
      std::ostringstream text = numbers_as_text();
      text << "the gradient of input " << j << what << " is " << found[j] << " instead of "
           << times * once[j];
      report.message = text.str();
    }
  };
  compare(f.twice(u), 2, ", added to one that is there already,");
  if (f.alone) compare(f.alone(u), 1, ", while the other arguments are constants,");
  report.passed = report.passed && report.reuse_error <= options.dual_tolerance;
}

GradcheckReport check(const Subject& f, const GradcheckOptions& options) {
  const std::size_t outputs = f.value(f.point).size();
  const auto v = directions(f.point.size(), options.most_columns, options.directions, options.seed, 1);
  const auto u = directions(outputs, options.most_rows, options.directions, options.seed, 2);

  // Where there are many, an entry is that of a random direction, and its number that of the direction.
  const bool columns = f.point.size() <= static_cast<std::size_t>(options.most_columns);
  const bool rows = outputs <= static_cast<std::size_t>(options.most_rows);

  std::vector<Vector> pulled;
  for (const Vector& row : u) pulled.push_back(f.backward(row));

  std::vector<Entry> entries;
  double largest = 0;
  for (std::size_t j = 0; j < v.size(); ++j) {
    const Vector dual = f.forward(v[j]);
    const Vector differences =
        options.differences ? difference(f, v[j], step_along(f, v[j], options.step)) : Vector(outputs);
    for (std::size_t i = 0; i < u.size(); ++i) {
      entries.push_back({dot(pulled[i], v[j]), dot(u[i], dual), dot(u[i], differences), i, j});
      if (std::isfinite(entries.back().dual)) largest = std::max(largest, std::fabs(entries.back().dual));
    }
  }

  // An entry that is tiny beside the largest one carries the rounding of the large ones.
  const double scale = std::max(largest, 1e-2);
  GradcheckReport report;
  report.checked = static_cast<std::int64_t>(entries.size());
  double worst = 0;
  for (const Entry& e : entries) {
    const double against_dual = error(e.backward, e.dual, scale);
    const double against_difference = options.differences ? error(e.backward, e.difference, scale) : 0;
    report.dual_error = std::max(report.dual_error, against_dual);
    report.difference_error = std::max(report.difference_error, against_difference);
    const double badness = std::max(times_too_large(against_dual, options.dual_tolerance),
                                    times_too_large(against_difference, options.tolerance));
    if (badness <= worst) continue;
    worst = badness;
    std::ostringstream text = numbers_as_text();
    text << (rows ? "d output " : "d random sum of outputs ") << e.row
         << (columns ? " / d input " : " / d random direction of inputs ") << e.column << ": backward "
         << e.backward << ", dual numbers " << e.dual;
    if (options.differences) text << ", differences " << e.difference;
    if (std::isnan(e.backward) && std::isfinite(e.dual)) {
      text
          << "; is a slope infinite there? If not: does backward use something that `reads` of the card does "
             "not name, or leave a gradient out?";
    } else if (against_dual <= options.dual_tolerance && against_difference > options.tolerance) {
      text << "; where the function bends much within a step, or a kink or the edge of the domain is near, "
              "differences prove nothing: pass a smaller .step, or .differences = false";
    }
    report.message = text.str();
  }
  report.passed = worst <= 1;
  if (outputs > 0 && !f.point.empty()) check_use(f, outputs, scale, options, report);
  if (entries.empty() && outputs > 0 && !f.point.empty()) {
    report.passed = false;
    report.message = "nothing was checked: ask for at least one direction";
  }
  return report;
}

Vector flat(const Arrays& arrays) {
  Vector result;
  for (const Array& a : arrays) result.insert(result.end(), a.values.begin(), a.values.end());
  return result;
}

// A tape on which whatever an op may not read is NaN.
struct StrictTape : Tape {
  explicit StrictTape(Precision precision) : Tape(precision) {
    poison(true);
    poison_unread(true);
  }
};

Arrays shaped(const Vector& numbers, const Arrays& like) {
  Arrays result;
  auto next = numbers.begin();
  for (const Array& a : like) {
    const auto end = next + static_cast<std::ptrdiff_t>(a.values.size());
    result.push_back({a.shape, Vector(next, end)});
    next = end;
  }
  return result;
}

}  // namespace

GradcheckReport gradcheck(const Function& f, const Arrays& x, const GradcheckOptions& options, Place where) {
  const detail::Asked asked{"gradcheck", where};
  const Function same = detail::of_one_shape(f, asked);
  Shape shape;  // of what f gives; check() asks for the value first
  const auto pull = [&](const Vector& u, detail::Pull how) {
    StrictTape tape(Precision::f64);
    return detail::vjp(tape, same, x, {shape, u}, asked, how);
  };
  Subject subject{
      flat(x),
      [&](const Vector& point) {
        StrictTape tape(Precision::f64);
        Array y = detail::evaluate(tape, same, shaped(point, x), asked);
        shape = y.shape;
        return std::move(y.values);
      },
      [&](const Vector& v) {
        StrictTape tape(Precision::dual);
        return detail::jvp(tape, same, x, shaped(v, x), asked).values;
      },
      [&](const Vector& u) { return flat(pull(u, {})); },
      [&](const Vector& u) { return flat(pull(u, {.times = 2})); },
      {},
  };
  if (x.size() > 1) {
    subject.alone = [&](const Vector& u) {
      Arrays gradients;
      for (std::size_t i = 0; i < x.size(); ++i)
        gradients.push_back(pull(u, {.only = static_cast<std::int64_t>(i)})[i]);
      return flat(gradients);
    };
  }
  return check(subject, options);
}

GradcheckReport gradcheck(const ParameterBlock& parameters, const std::function<Tensor(Tape&)>& loss,
                          const GradcheckOptions& options, Place where) {
  const detail::Asked asked{"gradcheck", where};
  const std::function<Tensor(Tape&)> same = detail::of_one_shape(loss, asked);
  // The flat block is one vector, gaps included: their derivatives are 0 both ways.
  const Vector point(parameters.values(), parameters.values() + parameters.length());
  const auto pull = [&](const Vector& u, int times) {
    StrictTape tape(Precision::f64);
    tape.override_parameters(parameters, point);
    const auto step = tape.record();
    const Tensor y = detail::checked(tape, same(tape), asked);
    return detail::pull(tape, parameters, y, u, asked, times, &Tensor::gradient);
  };
  const Subject subject{
      point,
      [&](const Vector& x) {
        StrictTape tape(Precision::f64);
        tape.override_parameters(parameters, x);
        const auto step = tape.inference();
        return detail::checked(tape, same(tape), asked).values();
      },
      [&](const Vector& v) {
        StrictTape tape(Precision::dual);
        tape.override_parameters(parameters, point, v);
        const auto step = tape.inference();
        return detail::checked(tape, same(tape), asked).tangents();
      },
      [&](const Vector& u) { return pull(u, 1); },
      [&](const Vector& u) { return pull(u, 2); },
      {},
  };
  return check(subject, options);
}

}  // namespace reel
