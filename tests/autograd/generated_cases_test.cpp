#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "autograd/derivatives.h"
#include "kernels/philox.h"

// Every card on shapes, subsets of inputs and upstream gradients that nobody chose. One run on a dual tape
// gives J v forwards and J^T u backwards; u . J v and v . J^T u must be the same number, for the product is
// the same.
//
//   REEL_CASES=400   cases per card (default 400)
//   REEL_SEED=7      other cases
//   REEL_CASE="..."  one case, as a failure prints it

namespace reel {
namespace {

constexpr std::int64_t sizes[] = {0, 1, 2, 3, 5, 7, 8, 9, 16, 17, 31, 33};
constexpr std::int64_t most_elements = 700;

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

// How far apart the two products are, in units of the tolerance; nothing if the op refuses the shapes or has
// no value there.
struct Outcome {
  double jacobian = 0;  // u . J v against v . J^T u
  double hessian = 0;   // w . H v against v . H w, for H of u . f
};

std::optional<Outcome> run(const Case& c) {
  const Op& op = op_named(c.op);
  const Sample& sample = op.samples.at(c.sample);
  Numbers numbers(c.seed, 0x67656e);
  std::vector<std::vector<double>> x, v, w;
  for (const Shape& shape : c.shapes) {
    x.emplace_back();
    v.emplace_back();
    w.emplace_back();
    for (std::int64_t i = 0; i < shape.size(); ++i) {
      x.back().push_back(numbers.between(sample.low, sample.high));
      v.back().push_back(numbers.between(-1, 1));
      w.back().push_back(numbers.between(-1, 1));
    }
  }
  std::vector<double> u;
  Outcome outcome;
  std::vector<std::vector<double>> products[2];
  for (int direction = 0; direction < 2; ++direction) {
    const auto& along = direction == 0 ? v : w;
    Tape tape(Precision::dual);
    const auto step = tape.record();
    std::vector<Tensor> inputs;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (c.shared && i > 0) {
        inputs.push_back(inputs.front());
      } else {
        inputs.push_back((c.wants >> i & 1) != 0 ? tape.variable(x[i], along[i], c.shapes[i])
                                                 : tape.constant(x[i], c.shapes[i]));
      }
    }
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
      u.assign(count, c.upstream == ones ? 1 : 0);
      for (std::size_t i = 0; i < count && c.upstream == random_numbers; ++i) u[i] = numbers.between(-1, 1);
      if (c.upstream == one_hot && count > 0) u[numbers.below(count)] = 1;
    }
    tape.backward(y, u);
    double forwards = 0, backwards = 0, size = 1;
    forwards = dot(u, y.tangents(), size);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if ((c.wants >> i & 1) == 0 || (c.shared && i > 0)) {
        products[direction].emplace_back();
        continue;
      }
      backwards += dot(along[i], inputs[i].gradient(), size);
      products[direction].push_back(inputs[i].gradient_tangents());
    }
    const double gap = std::fabs(forwards - backwards) / (1e-12 * size);
    outcome.jacobian = gap <= outcome.jacobian ? outcome.jacobian : gap;  // a NaN shows
  }
  double one = 0, other = 0, size = 1;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (products[0][i].empty()) continue;
    one += dot(w[i], products[0][i], size);
    other += dot(v[i], products[1][i], size);
  }
  outcome.hessian = std::fabs(one - other) / (1e-11 * size);
  return outcome;
}

bool holds(const Case& c) {
  const auto outcome = run(c);
  return !outcome || (outcome->jacobian <= 1 && outcome->hessian <= 1);
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
  Numbers numbers(seed, op.index);
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
    if (elements(c.shapes) <= most_elements && run(c)) break;
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
      if (line_of(simpler) == line_of(c) || holds(simpler)) return;
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
  const std::uint64_t wanted = setting("REEL_CASES", 400);
  const std::uint64_t seed = setting("REEL_SEED", 1);
  ASSERT_FALSE(op.samples.empty()) << op.name << " has no samples to make cases from";
  std::uint64_t jacobians = 0;
  for (std::uint64_t i = 0; i < wanted; ++i) {
    const Case c = any_case(op, seed * 1'000'000 + i);
    const auto outcome = run(c);
    ASSERT_TRUE(outcome) << "the op refuses its own sample: " << line_of(c);
    jacobians += 2;  // along v and along w
    if (outcome->jacobian <= 1 && outcome->hessian <= 1) continue;
    const Case smallest = shrunk(c);
    const Outcome worst = run(smallest).value_or(*outcome);
    FAIL() << op.name << ": Jacobian " << worst.jacobian << ", Hessian " << worst.hessian
           << " times the tolerance; again with\n  REEL_CASE=\"" << line_of(smallest)
           << "\" test_autograd --gtest_filter='GeneratedCase.*'";
  }
  RecordProperty("jacobians", std::to_string(jacobians));
}
INSTANTIATE_TEST_SUITE_P(Registry, GeneratedCases, testing::ValuesIn(differentiable_ops()),
                         [](const auto& test) { return test.param; });

TEST(GeneratedCase, Again) {
  const char* line = std::getenv("REEL_CASE");
  if (line == nullptr) GTEST_SKIP() << "set REEL_CASE to the line that a failure printed";
  const auto outcome = run(case_of(line));
  ASSERT_TRUE(outcome) << "the op refuses these shapes or has no value there";
  EXPECT_LE(outcome->jacobian, 1);
  EXPECT_LE(outcome->hessian, 1);
}

TEST(GeneratedCase, ALineIsReadAsItWasWritten) {
  const Case c{"linear", 1, {{2, 3}, {4, 3}, {}}, 5, one_hot, false, 77};
  EXPECT_EQ(line_of(case_of(line_of(c))), line_of(c));
  EXPECT_EQ(case_of(line_of(c)).shapes, c.shapes);
}

}  // namespace
}  // namespace reel
