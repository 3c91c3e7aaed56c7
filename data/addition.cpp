#include "data/addition.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "data/error.h"
#include "data/file.h"
#include "kernels/philox.h"

namespace reel::data {
namespace {

constexpr std::uint64_t held_out_stream = 0x68656C64;    // "held"
constexpr std::uint64_t training_stream = 0x747261696E;  // "train"
constexpr std::uint64_t list_stream = 0x6C697374;        // "list"
constexpr std::uint64_t tries = 64;                      // numbers set aside for each pair

// Numbers of 1, 2 and 3 digits are equally frequent; a number from a stream may be turned down.
template <class Wanted>
Addition::Pair draw(const kernels::Philox& numbers, std::uint64_t index, Wanted wanted) {
  constexpr std::uint64_t below[] = {10, 100, 1000};
  for (std::uint64_t attempt = 0;; ++attempt) {
    const std::uint64_t at =
        (index * tries + attempt % tries) * 4 + attempt / tries * (std::uint64_t{1} << 40);
    const Addition::Pair pair{
        static_cast<std::int64_t>(numbers.below(at, below[numbers.below(at + 1, 3)])),
        static_cast<std::int64_t>(numbers.below(at + 2, below[numbers.below(at + 3, 3)]))};
    if (wanted(pair)) return pair;
  }
}

// All held-out pairs, each once: those of 1 and 1 digits, of 1 and 2, ... take turns until they run out, so
// that the small ones, of which there are few, all stand in front.
const std::vector<Addition::Pair>& held_out_list() {
  static const std::vector<Addition::Pair> list = [] {
    const auto digits = [](std::int64_t n) { return n < 10 ? 0U : n < 100 ? 1U : 2U; };
    std::array<std::vector<Addition::Pair>, 9> kinds;
    std::size_t longest = 0;
    for (std::int64_t a = 0; a <= Addition::largest; ++a) {
      for (std::int64_t b = 0; b <= Addition::largest; ++b) {
        if (!Addition::held_out(a, b)) continue;
        std::vector<Addition::Pair>& kind = kinds[3 * digits(a) + digits(b)];
        kind.push_back({a, b});
        longest = std::max(longest, kind.size());
      }
    }
    std::array<std::vector<std::int32_t>, 9> orders;
    for (std::size_t k = 0; k < kinds.size(); ++k) {
      orders[k].resize(kinds[k].size());
      kernels::Philox(0, list_stream + k).permutation(0, std::span<std::int32_t>(orders[k]));
    }
    std::vector<Addition::Pair> all;
    for (std::size_t turn = 0; turn < longest; ++turn) {
      for (std::size_t k = 0; k < kinds.size(); ++k) {
        if (turn < kinds[k].size()) all.push_back(kinds[k][static_cast<std::size_t>(orders[k][turn])]);
      }
    }
    return all;
  }();
  return list;
}

void require_numbers(std::int64_t a, std::int64_t b) {
  const auto is_one = [](std::int64_t n) { return n >= 0 && n <= Addition::largest; };
  if (is_one(a) && is_one(b)) return;
  throw DataError("addition: " + std::to_string(a) + " + " + std::to_string(b) +
                  " is no sum that it has; both numbers must lie between 0 and 999");
}

void write_prompt(Addition::Pair pair, std::int32_t* to) {
  const auto digits = [&](std::int64_t n) {
    *to++ = static_cast<std::int32_t>(n / 100);
    *to++ = static_cast<std::int32_t>(n / 10 % 10);
    *to++ = static_cast<std::int32_t>(n % 10);
  };
  digits(pair.a);
  *to++ = 10;  // +
  digits(pair.b);
  *to++ = 11;  // =
}

void write(Addition::Pair pair, std::int32_t* tokens, std::int32_t* targets) {
  std::int32_t all[Addition::prompt_length + Addition::answer_length];
  write_prompt(pair, all);
  std::int64_t sum = pair.a + pair.b;
  for (std::int64_t i = 0; i < Addition::answer_length; ++i) {
    all[Addition::prompt_length + i] = static_cast<std::int32_t>(sum % 10);
    sum /= 10;
  }
  for (std::int64_t t = 0; t < Addition::context; ++t) {
    tokens[t] = all[t];
    targets[t] = t + 1 >= Addition::prompt_length ? all[t + 1] : Addition::ignored;
  }
}

void prepare(std::int64_t batch, TokenBatch& out) {
  out.batch = batch;
  out.time = Addition::context;
  out.tokens.resize(static_cast<std::size_t>(batch * Addition::context));
  out.targets.resize(out.tokens.size());
}

}  // namespace

const Vocabulary& Addition::vocabulary() {
  static const Vocabulary digits_and_signs("0123456789+=");
  return digits_and_signs;
}

bool Addition::held_out(std::int64_t a, std::int64_t b) {
  require_numbers(a, b);
  const auto low = static_cast<std::uint64_t>(std::min(a, b));
  const auto high = static_cast<std::uint64_t>(std::max(a, b));
  return kernels::Philox(0, held_out_stream).below(high * 1000 + low, 100) == 0;
}

void Addition::training_batch(std::uint64_t seed, std::int64_t index, std::int64_t batch, TokenBatch& out) {
  const std::string sums = std::to_string(batch) + " sums";
  if (batch < 1) throw DataError("addition: a batch of " + sums + "; choose one of at least 1");
  if (static_cast<std::uint64_t>(batch) > out.tokens.max_size() / context) {
    throw DataError("addition: a batch of " + sums + " is more than memory can hold; choose a smaller one");
  }
  if (index < 0 || index > std::numeric_limits<std::int64_t>::max() / batch - 1) {
    throw DataError("addition: there is no batch " + std::to_string(index) + " of " + sums +
                    "; they count from 0, and all their sums up to 2^63 - 1");
  }
  prepare(batch, out);
  out.origins.resize(static_cast<std::size_t>(batch));
  const kernels::Philox numbers(seed, training_stream);
  for (std::int64_t b = 0; b < batch; ++b) {
    out.origins[static_cast<std::size_t>(b)] = index * batch + b;
    const Pair pair = draw(numbers, static_cast<std::uint64_t>(index * batch + b),
                           [](Pair p) { return !held_out(p.a, p.b); });
    write(pair, out.tokens.data() + b * context, out.targets.data() + b * context);
  }
}

void Addition::held_out_batch(std::int64_t first, std::int64_t count, TokenBatch& out) {
  const std::vector<Pair>& list = held_out_list();
  const auto size = static_cast<std::int64_t>(list.size());
  if (first < 0 || count < 0 || first > size || count > size - first) {
    throw DataError("addition: " + std::to_string(count) + " held-out sums from number " +
                    std::to_string(first) + " on; there are " + std::to_string(size));
  }
  prepare(count, out);
  for (std::int64_t b = 0; b < count; ++b) {
    write(list[static_cast<std::size_t>(first + b)], out.tokens.data() + b * context,
          out.targets.data() + b * context);
  }
}

Addition::Pair Addition::parse(std::string_view prompt) {
  std::string text;
  for (const char c : prompt) {
    if (c != ' ') text += c;
  }
  if (!text.empty() && text.back() == '=') text.pop_back();
  const auto fail = [&](const std::string& why) {
    throw DataError("prompt \"" + excerpt(prompt) + "\": " + why + "; write a sum like 47+385=");
  };
  const std::size_t unknown = text.find_first_not_of("0123456789+=");
  if (unknown != std::string::npos)
    fail(std::string("the model does not know the character '") + text[unknown] + "'");
  if (text.find('=') != std::string::npos) fail("a sum ends with its =, but something follows it");
  const std::size_t plus = text.find('+');
  if (plus == std::string::npos || text.find('+', plus + 1) != std::string::npos) fail("there must be one +");
  Pair pair{};
  const auto number_in = [&](const char* first, const char* last, std::int64_t& value) {
    const auto [end, error] = std::from_chars(first, last, value);
    if (first == last || error != std::errc{} || end != last || value > largest)
      fail("both numbers must lie between 0 and 999");
  };
  number_in(text.data(), text.data() + plus, pair.a);
  number_in(text.data() + plus + 1, text.data() + text.size(), pair.b);
  return pair;
}

std::vector<std::int32_t> Addition::prompt_tokens(Pair pair) {
  require_numbers(pair.a, pair.b);
  std::vector<std::int32_t> tokens(prompt_length);
  write_prompt(pair, tokens.data());
  return tokens;
}

std::optional<std::int64_t> Addition::number(std::span<const std::int32_t> answer) {
  if (answer.empty() || answer.size() > answer_length) return std::nullopt;
  std::int64_t value = 0;
  for (std::size_t i = answer.size(); i-- > 0;) {
    if (answer[i] < 0 || answer[i] > 9) return std::nullopt;
    value = value * 10 + answer[i];
  }
  return value;
}

}  // namespace reel::data
