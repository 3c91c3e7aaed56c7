#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "autograd/derivatives.h"
#include "kernels/philox.h"

// Every card on shapes, subsets of inputs and upstream gradients that nobody chose. One run on a dual tape
// gives J v forwards and J^T u backwards; u . J v and v . J^T u must be the same number, for the product is
// the same. Where the Jacobian is small it is also made whole, by columns forwards and by rows backwards, and
// compared entry by entry: a product with it says little about one entry among many.
//
//   REEL_CASES=400   cases per card (default 400); at least three in four come with a whole Jacobian
//   REEL_SEED=7      other cases
//   REEL_CASE="..."  one case, as a failure prints it

namespace reel {
namespace {

constexpr std::int64_t sizes[] = {0, 1, 2, 3, 5, 7, 8, 9, 16, 17, 31, 33};
constexpr std::int64_t most_elements = 700;
constexpr std::size_t most_columns = 400;  // of a Jacobian that is made whole
constexpr std::size_t most_entries = 40'000;

enum Upstream { ones, random_numbers, zeros, one_hot, upstream_kinds };

struct Case {
  std::string op;
  std::size_t sample = 0;
  std::vector<Shape> shapes;
  unsigned wants = 0;  // bit i: input i wants a gradient
  int upstream = ones;
  bool shared = false;  // all inputs are one tensor
  std::uint64_t seed = 0;
};

std::string line_of(const Case& c) {
  std::ostringstream text;
  text << c.op << ' ' << c.sample << ' ' << c.wants << ' ' << c.upstream << ' ' << c.shared << ' ' << c.seed;
  for (const Shape& s : c.shapes) {
    text << " /";
    for (int i = 0; i < s.rank(); ++i) text << ' ' << s[i];
  }
  return text.str();
}

Case case_of(const std::string& line) {
  Case c;
  std::istringstream text(line);
  text >> c.op >> c.sample >> c.wants >> c.upstream >> c.shared >> c.seed;
  for (std::string word; text >> word;) {
    if (word == "/") {
      c.shapes.emplace_back();
    } else {
      c.shapes.back().append(std::stoll(word));
    }
  }
  return c;
}

class Numbers {
 public:
  Numbers(std::uint64_t seed, std::uint64_t stream) : philox_(seed, stream) {}
  double between(double low, double high) { return low + (high - low) * philox_.uniform(next_++); }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(philox_.below(next_++, n)); }
  template <class T, std::size_t n>
  T one_of(const T (&list)[n]) {
    return list[below(n)];
  }

 private:
  kernels::Philox philox_;
  std::uint64_t next_ = 0;
};

const Op& op_named(const std::string& name) {
  for (const Op& op : registry()) {
    if (op.name == name) return op;
  }
  throw std::invalid_argument("no op is called " + name);
}

Tensor call(const Op& op, const Sample& sample, Tensors x) {
  if (sample.run != nullptr) return sample.run(x);
  return record(op, std::vector<Here>(x.begin(), x.end()), nullptr, 0);
}

double dot(const std::vector<double>& a, const std::vector<double>& b, double& size) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += a[i] * b[i];
    size += std::fabs(a[i] * b[i]);
  }
  return sum;
}

using Lists = std::vector<std::vector<double>>;

// Where a case is looked at, and the two directions in which it is left.
struct Point {
  Lists x, v, w;
};

Point point_of(const Case& c, const Sample& sample, Numbers& numbers) {
  Point p;
  for (const Shape& shape : c.shapes) {
    p.x.emplace_back();
    p.v.emplace_back();
    p.w.emplace_back();
    for (std::int64_t i = 0; i < shape.size(); ++i) {
      p.x.back().push_back(numbers.between(sample.low, sample.high));
      p.v.back().push_back(numbers.between(-1, 1));
      p.w.back().push_back(numbers.between(-1, 1));
    }
  }
  return p;
}

// Whether input i is a variable of its own.
bool varies(const Case& c, std::size_t i) { return (c.wants >> i & 1) != 0 && !(c.shared && i > 0); }

// The inputs of a case as leaves; with `along`, the variables move.
std::vector<Tensor> leaves_of(const Case& c, const Lists& x, const Lists* along, Tape& tape) {
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (c.shared && i > 0) {
      inputs.push_back(inputs.front());
    } else if (!varies(c, i)) {
      inputs.push_back(tape.constant(x[i], c.shapes[i]));
    } else if (along == nullptr) {
      inputs.push_back(tape.variable(x[i], c.shapes[i]));
    } else {
      inputs.push_back(tape.variable(x[i], (*along)[i], c.shapes[i]));
    }
  }
  return inputs;
}

// How far apart two numbers that must be equal are, in units of the tolerance.
double gap_of(double one, double other, double tolerance, double size) {
  const double gap = std::fabs(one - other) / (tolerance * size);
  return std::isnan(gap) ? INFINITY : gap;  // so that a NaN shows beside any other gap
}

struct Products {
  double jacobian = 0;      // the gap between u . J v and v . J^T u
  double hessian = 0;       // between w . H v and v . H w, for H of u . f
  std::size_t outputs = 0;  // how many numbers the op gives
};

// Nothing if the op refuses the shapes or has no value there.
std::optional<Products> products_of(const Case& c) {
  const Op& op = op_named(c.op);
  const Sample& sample = op.samples.at(c.sample);
  Numbers numbers(c.seed, 0x67656e);
  const auto [x, v, w] = point_of(c, sample, numbers);
  std::vector<double> u;
  Products outcome;
  Lists products[2];
  for (int direction = 0; direction < 2; ++direction) {
    const auto& along = direction == 0 ? v : w;
    Tape tape(Precision::dual);
    const auto step = tape.record();
    const std::vector<Tensor> inputs = leaves_of(c, x, &along, tape);
    Tensor y;
    try {
      y = call(op, sample, inputs);
    } catch (const Error&) {
      return std::nullopt;
    }
    for (const double value : y.values()) {
      if (std::isnan(value)) return std::nullopt;  // the mean of nothing, say: there is no derivative
    }
    const auto count = static_cast<std::size_t>(y.size());
    if (direction == 0) {
      outcome.outputs = count;
      u.assign(count, c.upstream == ones ? 1 : 0);
      for (std::size_t i = 0; i < count && c.upstream == random_numbers; ++i) u[i] = numbers.between(-1, 1);
      if (c.upstream == one_hot && count > 0) u[numbers.below(count)] = 1;
    }
    tape.backward(y, u);
    double forwards = 0, backwards = 0, size = 1;
    forwards = dot(u, y.tangents(), size);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!varies(c, i)) {
        products[direction].emplace_back();
        continue;
      }
      backwards += dot(along[i], inputs[i].gradient(), size);
      products[direction].push_back(inputs[i].gradient_tangents());
    }
    outcome.jacobian = std::max(outcome.jacobian, gap_of(forwards, backwards, 1e-12, size));
  }
  double one = 0, other = 0, size = 1;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (products[0][i].empty()) continue;
    one += dot(w[i], products[0][i], size);
    other += dot(v[i], products[1][i], size);
  }
  outcome.hessian = gap_of(one, other, 1e-11, size);
  return outcome;
}

// An entry of a Jacobian, made both ways.
struct Entry {
  double gap = 0;
  std::size_t output = 0, column = 0;  // columns count through the inputs that vary
  double forwards = 0, backwards = 0;
};

// Where each column of the Jacobian comes from: an input, and a number of it.
std::vector<std::pair<std::size_t, std::size_t>> columns_of(const Case& c) {
  std::vector<std::pair<std::size_t, std::size_t>> columns;
  for (std::size_t i = 0; i < c.shapes.size(); ++i) {
    const std::size_t numbers = varies(c, i) ? static_cast<std::size_t>(c.shapes[i].size()) : 0;
    for (std::size_t j = 0; j < numbers; ++j) columns.emplace_back(i, j);
  }
  return columns;
}

bool made_whole(const Case& c, std::size_t outputs) {
  const std::size_t columns = columns_of(c).size();
  return columns > 0 && columns <= most_columns && outputs > 0 && columns * outputs <= most_entries;
}

// The worst entry of the whole Jacobian of a case that runs.
Entry worst_entry(const Case& c, std::size_t outputs) {
  const Op& op = op_named(c.op);
  const Sample& sample = op.samples.at(c.sample);
  Numbers numbers(c.seed, 0x67656e);
  const Point p = point_of(c, sample, numbers);
  const auto columns = columns_of(c);
  Lists forwards;  // [columns, outputs]
  Lists along;
  for (const auto& x : p.x) along.emplace_back(x.size());
  Tape dual(Precision::dual);
  for (const auto& [input, number] : columns) {
    along[input][number] = 1;
    const auto step = dual.inference();
    forwards.push_back(call(op, sample, leaves_of(c, p.x, &along, dual)).tangents());
    along[input][number] = 0;
  }
  Entry worst;
  std::vector<double> u(outputs);
  Tape plain(Precision::f64);  // not the backward of dual numbers, which the products try
  for (std::size_t row = 0; row < outputs; ++row) {
    const auto step = plain.record();
    const std::vector<Tensor> inputs = leaves_of(c, p.x, nullptr, plain);
    u[row] = 1;
    plain.backward(call(op, sample, inputs), u);
    u[row] = 0;
    std::size_t column = 0;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!varies(c, i)) continue;
      for (const double entry : inputs[i].gradient()) {
        const double other = forwards[column][row];
        const double gap = gap_of(entry, other, 1e-12, 1 + std::fabs(entry) + std::fabs(other));
        if (gap > worst.gap) worst = {gap, row, column, other, entry};
        ++column;
      }
    }
  }
  return worst;
}

struct Outcome {
  Products products;
  std::optional<Entry> worst;  // where the Jacobian is made whole
};

std::optional<Outcome> run(const Case& c) {
  const auto products = products_of(c);
  if (!products) return std::nullopt;
  Outcome outcome{*products, std::nullopt};
  if (made_whole(c, products->outputs)) outcome.worst = worst_entry(c, products->outputs);
  return outcome;
}

bool holds(const Outcome& o) {
  return o.products.jacobian <= 1 && o.products.hessian <= 1 && (!o.worst || o.worst->gap <= 1);
}

std::string words(const Outcome& o) {
  std::ostringstream text;
  text << "Jacobian " << o.products.jacobian << ", Hessian " << o.products.hessian << " times the tolerance";
  if (o.worst) {
    text << "; of the whole Jacobian d output " << o.worst->output << " / d number " << o.worst->column
         << " is " << o.worst->forwards << " forwards, " << o.worst->backwards << " backwards, "
         << o.worst->gap << " times the tolerance";
  }
  return text.str();
}

std::int64_t elements(const std::vector<Shape>& shapes) {
  std::int64_t count = 0;
  for (const Shape& s : shapes) count += s.size();
  return count;
}

// Shapes that broadcast to one another: each input lacks some leading dimensions and has ones for others.
std::vector<Shape> broadcast_shapes(std::size_t inputs, Numbers& numbers) {
  const std::size_t rank = numbers.below(5);
  std::vector<std::int64_t> whole;
  for (std::size_t i = 0; i < rank; ++i) whole.push_back(numbers.one_of(sizes));
  std::vector<Shape> shapes;
  for (std::size_t k = 0; k < inputs; ++k) {
    Shape s;
    for (std::size_t i = numbers.below(3) == 0 ? numbers.below(rank + 1) : 0; i < rank; ++i) {
      s.append(numbers.below(4) == 0 ? 1 : whole[i]);
    }
    shapes.push_back(s);
  }
  return shapes;
}

// The sample's shapes with some of their sizes replaced, equal ones by equal ones: what an op demands of its
// inputs is mostly that sizes are equal.
std::vector<Shape> renamed_shapes(const Sample& sample, Numbers& numbers) {
  std::map<std::int64_t, std::int64_t> names;
  std::vector<Shape> shapes;
  for (const Shape& old : sample.shapes) {
    Shape s;
    for (int i = 0; i < old.rank(); ++i) {
      if (!names.contains(old[i])) names[old[i]] = numbers.below(3) == 0 ? old[i] : numbers.one_of(sizes);
      s.append(names[old[i]]);
    }
    shapes.push_back(s);
  }
  return shapes;
}

Case any_case(const Op& op, std::uint64_t seed) {
  Numbers numbers(seed, kernels::stream_of(op.name));
  Case c;
  c.op = op.name;
  c.seed = seed;
  c.sample = numbers.below(op.samples.size());
  const Sample& sample = op.samples[c.sample];
  const std::size_t inputs = sample.shapes.size();
  c.upstream = static_cast<int>(numbers.below(upstream_kinds));
  c.wants = 1 + static_cast<unsigned>(numbers.below((std::size_t{1} << inputs) - 1));
  for (int attempt = 0; attempt < 12; ++attempt) {
    const bool free = sample.run == nullptr && (op.shape.stretches || inputs == 1) && attempt < 4;
    c.shapes = free ? broadcast_shapes(inputs, numbers) : renamed_shapes(sample, numbers);
    if (elements(c.shapes) <= most_elements && products_of(c)) break;
    c.shapes = sample.shapes;
  }
  bool equal = inputs > 1;
  for (const Shape& s : c.shapes) equal = equal && s == c.shapes.front();
  if (equal && numbers.below(4) == 0) {
    c.shared = true;
    c.wants = 1;
  }
  return c;
}

// The simplest case near this one that still fails.
Case shrunk(Case c) {
  for (bool smaller = true; smaller;) {
    smaller = false;
    const auto attempt = [&](Case simpler) {
      if (line_of(simpler) == line_of(c)) return;
      const auto outcome = run(simpler);
      if (!outcome || holds(*outcome)) return;
      c = std::move(simpler);
      smaller = true;
    };
    Case simpler = c;
    simpler.upstream = ones;
    attempt(simpler);
    for (std::size_t i = 0; i < c.shapes.size(); ++i) {
      simpler = c;
      simpler.wants = 1U << i;
      if (!c.shared && (c.wants & (c.wants - 1)) != 0) attempt(simpler);
    }
    for (const std::int64_t large : sizes) {
      for (const std::int64_t small : {1, 2, 3}) {
        if (small >= large) continue;
        simpler = c;
        for (Shape& s : simpler.shapes) {
          for (int d = 0; d < s.rank(); ++d) {
            if (s[d] == large) s.set(d, small);
          }
        }
        attempt(simpler);
      }
    }
  }
  return c;
}

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

constexpr std::uint64_t default_cases = 400;
std::uint64_t least_whole(std::uint64_t cases) { return cases - cases / 4; }

class GeneratedCases : public testing::TestWithParam<std::string> {};

std::vector<std::string> differentiable_ops() {
  std::vector<std::string> names;
  for (const Op& op : registry()) {
    if (op.differentiable() && !op.name.starts_with("wrong_"))
      names.emplace_back(op.name);  // those of other tests
  }
  return names;
}

TEST_P(GeneratedCases, ForwardsAndBackwardsAgree) {
  const Op& op = op_named(GetParam());
  const std::uint64_t wanted = setting("REEL_CASES", default_cases);
  const std::uint64_t seed = setting("REEL_SEED", 1);
  ASSERT_FALSE(op.samples.empty()) << op.name << " has no samples to make cases from";
  std::uint64_t products = 0, whole = 0, entries = 0;
  for (std::uint64_t i = 0; i < wanted || whole < least_whole(wanted); ++i) {
    ASSERT_LT(i, 4 * wanted) << "too many Jacobians of " << op.name << " are empty or too large";
    const Case c = any_case(op, seed * 1'000'000 + i);
    const auto outcome = run(c);
    ASSERT_TRUE(outcome) << "the op refuses its own sample: " << line_of(c);
    products += 2;  // along v and along w
    if (outcome->worst) {
      ++whole;
      entries += columns_of(c).size() * outcome->products.outputs;
    }
    if (holds(*outcome)) continue;
    const Case smallest = shrunk(c);
    FAIL() << op.name << ": " << words(run(smallest).value_or(*outcome)) << "; again with\n  REEL_CASE=\""
           << line_of(smallest) << "\" test_autograd --gtest_filter='GeneratedCase.*'";
  }
  RecordProperty("products", std::to_string(products));
  RecordProperty("whole_jacobians", std::to_string(whole));
  RecordProperty("entries", std::to_string(entries));
}
INSTANTIATE_TEST_SUITE_P(Registry, GeneratedCases, testing::ValuesIn(differentiable_ops()),
                         [](const auto& test) { return test.param; });

TEST(GeneratedCase, TwentyThousandJacobiansAreMadeWhole) {
  EXPECT_GE(differentiable_ops().size() * least_whole(default_cases), 20'000U);
}

TEST(GeneratedCase, Again) {
  const char* line = std::getenv("REEL_CASE");
  if (line == nullptr) GTEST_SKIP() << "set REEL_CASE to the line that a failure printed";
  const auto outcome = run(case_of(line));
  ASSERT_TRUE(outcome) << "the op refuses these shapes or has no value there";
  EXPECT_TRUE(holds(*outcome)) << words(*outcome);
}

TEST(GeneratedCase, ALineIsReadAsItWasWritten) {
  const Case c{"linear", 1, {{2, 3}, {4, 3}, {}}, 5, one_hot, false, 77};
  EXPECT_EQ(line_of(case_of(line_of(c))), line_of(c));
  EXPECT_EQ(case_of(line_of(c)).shapes, c.shapes);
}

}  // namespace
}  // namespace reel
