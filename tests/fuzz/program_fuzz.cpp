// The bytes choose ops, their inputs and the numbers: shapes that do not fit are refused, and where a program
// runs, its gradient agrees with its tangent.

#include <cstdint>
#include <span>

#include "tests/fuzz/check.h"
#include "tests/support/random_program.h"

namespace {

class Bytes final : public reel::Choices {
 public:
  explicit Bytes(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  std::size_t below(std::size_t n) override { return next() % n; }
  // Numbers of which many are alike: ties and zeros are where slopes go wrong.
  double number() override { return next() / 127.5 - 1; }
  bool more() const override { return at_ < bytes_.size(); }

 private:
  std::uint8_t next() { return at_ < bytes_.size() ? bytes_[at_++] : 0; }

  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes({data, size});
  FUZZ_CHECK(reel::run_random_program(bytes, 30).gap <= 1);
  return 0;
}
