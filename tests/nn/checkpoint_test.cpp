#include "nn/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <limits>

#include "autograd/autograd.h"
#include "nn/atomic_file.h"
#include "nn/dropout.h"
#include "nn/error.h"
#include "nn/linear.h"
#include "nn/sha256.h"
#include "nn/weights.h"
#include "tests/nn/checkpoint_problem.h"

namespace {

using namespace reel;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr const char* newest = "checkpoint.safetensors";
constexpr const char* previous = "checkpoint.previous.safetensors";

TEST(Checkpoint, loads_every_number_and_note_that_was_saved) {
  const TemporaryDirectory directory;
  SmallRun run;
  run.go_to(7);
  nn::Checkpoint checkpoint(directory.path(), run.block, run.adam);
  EXPECT_EQ(checkpoint.load(), 0);
  checkpoint.notes()["config"] = "{\"checksum\":\"none\", \"width\": 3}\n\xC3\xA4";
  checkpoint.save(7);

  SmallRun other;
  nn::Checkpoint again(directory.path(), other.block, other.adam);
  EXPECT_EQ(again.load(), 7);
  EXPECT_EQ(other.fingerprint(), run.fingerprint());
  EXPECT_EQ(again.notes(), checkpoint.notes());
  EXPECT_THAT(again.skipped(), ElementsAre());
}

TEST(Checkpoint, keeps_the_bits_of_nan_and_names_the_weight) {
  const TemporaryDirectory directory;
  SmallRun run;
  run.block.values(1)[1] = std::bit_cast<float>(0xFFC12345U);
  nn::Checkpoint(directory.path(), run.block, run.adam).save(1);
  SmallRun other;
  nn::Checkpoint(directory.path(), other.block, other.adam).load();
  EXPECT_EQ(std::bit_cast<std::uint32_t>(other.block.values(1)[1]), 0xFFC12345U);
  EXPECT_THAT(nn::non_finite_weight(other.block), HasSubstr("hidden.bias: element 1 is"));
  for (const float bad : {NAN, -NAN}) {
    other.block.values(0)[0] = bad;
    EXPECT_THAT(nn::non_finite_weight(other.block), testing::EndsWith(": element 0 is nan"));
  }
  other.block.values(0)[0] = -INFINITY;
  EXPECT_THAT(nn::non_finite_weight(other.block), testing::EndsWith(": element 0 is -inf"));
}

TEST(Checkpoint, writes_the_same_bytes_for_the_same_state) {
  const TemporaryDirectory a, b;
  save_steps(a.path(), {1, 2});
  save_steps(b.path(), {2});
  EXPECT_EQ(read_all(a.path() / newest), read_all(b.path() / newest));
}

TEST(Checkpoint, keeps_two_generations) {
  const TemporaryDirectory directory;
  save_steps(directory.path(), {1, 2, 3});
  EXPECT_EQ(outcome_of_load(directory.path()), "3");
  std::filesystem::remove(directory.path() / newest);
  EXPECT_EQ(outcome_of_load(directory.path()), "2");
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory.path())) ++files;
  EXPECT_EQ(files, 1U);
}

void verify(const std::string& file) {
  const auto bytes = std::as_bytes(std::span<const char>(file));
  nn::verify_checkpoint(nn::Safetensors::parse({bytes.begin(), bytes.end()}, "file"));
}

TEST(Checkpoint, no_byte_can_change_unnoticed) {
  const TemporaryDirectory directory;
  save_steps(directory.path(), {3});
  const std::string good = read_all(directory.path() / newest);
  for (const int mask : {0x01, 0x20, 0x80, 0xFF}) {
    for (std::size_t at = 0; at < good.size(); ++at) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ mask);
      EXPECT_THROW(verify(bad), nn::FileError) << at;
    }
  }
}

TEST(Checkpoint, no_byte_can_be_cut_off_or_added) {
  const TemporaryDirectory directory;
  save_steps(directory.path(), {3});
  const std::string good = read_all(directory.path() / newest);
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_THROW(verify(good.substr(0, size)), nn::FileError) << size;
  }
  EXPECT_THROW(verify(good + '\0'), nn::FileError);
  EXPECT_NO_THROW(verify(good));
}

TEST(Checkpoint, passes_over_a_damaged_file_and_says_why) {
  const TemporaryDirectory directory;
  save_steps(directory.path(), {1, 2});
  std::string bytes = read_all(directory.path() / newest);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_all(directory.path() / newest, bytes);

  SmallRun run;
  nn::Checkpoint checkpoint(directory.path(), run.block, run.adam);
  EXPECT_EQ(checkpoint.load(), 1);
  EXPECT_THAT(checkpoint.skipped(), ElementsAre((directory.path() / newest).string() +
                                                ": the checksum does not match: the file is damaged"));

  // The damaged file must not push the good one out.
  run.go_to(5);
  checkpoint.save(5);
  EXPECT_EQ(outcome_of_load(directory.path()), "5");
  std::filesystem::remove(directory.path() / newest);
  EXPECT_EQ(outcome_of_load(directory.path()), "1");
}

// A link to nowhere cannot be opened, by root neither.
TEST(Checkpoint, passes_over_a_file_that_cannot_be_read) {
  const TemporaryDirectory directory;
  save_steps(directory.path(), {1, 2});
  std::filesystem::remove(directory.path() / newest);
  std::filesystem::create_symlink(directory.path() / "gone", directory.path() / newest);
  SmallRun run;
  nn::Checkpoint checkpoint(directory.path(), run.block, run.adam);
  EXPECT_EQ(checkpoint.load(), 1);
  EXPECT_THAT(checkpoint.skipped(), ElementsAre(HasSubstr("cannot open: No such file")));
  write_all(directory.path() / previous, "short");
  EXPECT_THAT([&] { checkpoint.load(); }, ThrowsMessage<nn::IoError>(testing::AllOf(
                                              HasSubstr("cannot open"), HasSubstr("it has 5 bytes"))));
}

// Far more than any memory, and nothing of it on the disk.
TEST(Checkpoint, passes_over_a_file_that_claims_a_terabyte) {
  const TemporaryDirectory directory;
  save_steps(directory.path(), {1, 2});
  std::error_code error;
  std::filesystem::resize_file(directory.path() / newest, std::uintmax_t{1} << 40, error);
  if (error) GTEST_SKIP() << "this file system has no files of that size: " << error.message();
  SmallRun run;
  nn::Checkpoint checkpoint(directory.path(), run.block, run.adam);
  EXPECT_EQ(checkpoint.load(), 1);
  EXPECT_THAT(checkpoint.skipped(), ElementsAre(HasSubstr(std::string(newest) + ": the tensors fill ")));
}

TEST(Checkpoint, when_all_are_damaged_it_names_all) {
  const TemporaryDirectory directory;
  write_all(directory.path() / newest, "short");
  write_all(directory.path() / previous, "");
  const std::string said = outcome_of_load(directory.path());
  EXPECT_THAT(said, HasSubstr(std::string(newest) + ": it has 5 bytes"));
  EXPECT_THAT(said, HasSubstr(std::string(previous) + ": it has 0 bytes"));
}

TEST(Checkpoint, a_good_file_of_another_model_is_an_error_and_changes_nothing) {
  const TemporaryDirectory directory;
  save_steps(directory.path(), {1, 2});
  ParameterBlock block;
  block.add("hidden.weight", {3, 2}, true);
  block.add("extra", {1}, true);
  nn::AdamW adam(block, {});
  nn::Checkpoint checkpoint(directory.path(), block, adam);
  try {
    checkpoint.load();
    FAIL() << "loaded";
  } catch (const nn::FileError& e) {
    EXPECT_THAT(e.what(), HasSubstr("\n    hidden.weight: has shape [2, 3], the model's is [3, 2]"));
    EXPECT_THAT(e.what(), HasSubstr("\n    extra: missing"));
    EXPECT_THAT(e.what(), HasSubstr("\n    \"hidden.bias\": is not a parameter of the model"));
    EXPECT_THAT(e.what(), HasSubstr("\n    optimizer.m.extra: missing"));
    EXPECT_THAT(e.what(), HasSubstr("\n    \"optimizer.m.hidden.bias\": is not"));
  }
  for (const float x : block.values(0)) EXPECT_EQ(x, 0);
  EXPECT_THAT(checkpoint.skipped(), ElementsAre());
}

TEST(Checkpoint, another_optimizer_is_an_error) {
  const TemporaryDirectory directory;
  save_steps(directory.path(), {1});
  SmallRun run;
  nn::SGD sgd(run.block, {.learning_rate = 0.1});
  nn::Adam adam(run.block, {});  // remembers the same, under the same names, as AdamW does
  for (nn::Optimizer* other : {static_cast<nn::Optimizer*>(&sgd), static_cast<nn::Optimizer*>(&adam)}) {
    nn::Checkpoint checkpoint(directory.path(), run.block, *other);
    EXPECT_THAT([&] { checkpoint.load(); },
                ThrowsMessage<nn::FileError>(HasSubstr("it was made with \"AdamW\", not with ")));
  }
}

// The metadata of a good checkpoint with one entry changed, and the checksum made right again or not.
std::string load_with(const std::string& from, const std::string& to) {
  const TemporaryDirectory directory;
  save_steps(directory.path(), {1});
  std::string bytes = read_all(directory.path() / newest);
  const std::size_t at = bytes.find(from);
  if (at == std::string::npos || from.size() != to.size()) return "the test is wrong";
  bytes.replace(at, from.size(), to);
  write_all(directory.path() / newest, bytes);
  return outcome_of_load(directory.path());
}

TEST(Checkpoint, says_so_when_the_version_is_from_the_future_or_the_format_is_another) {
  EXPECT_THAT(load_with("\"version\":\"1\"", "\"version\":\"2\""),
              HasSubstr("it is a checkpoint of version \"2\"; this program reads version 1"));
  EXPECT_THAT(load_with("reel-checkpoint", "else-checkpoint"), HasSubstr("no checkpoint of Reel"));
  EXPECT_THAT(load_with("\"step\":\"1\"", "\"step\":\"2\""), HasSubstr("the checksum does not match"));
}

TEST(Checkpoint, a_check_of_the_notes_comes_before_any_change) {
  const TemporaryDirectory directory;
  save_steps(directory.path(), {1});
  SmallRun run;
  nn::Checkpoint checkpoint(directory.path(), run.block, run.adam);
  checkpoint.check_notes([](const auto&) { throw std::domain_error("no"); });
  EXPECT_THROW(checkpoint.load(), std::domain_error);
  EXPECT_EQ(run.block.values(0)[0], 0);
}

TEST(Checkpoint, a_link_or_a_directory_under_its_name_is_not_taken_for_nothing) {
  const TemporaryDirectory directory;
  std::filesystem::create_symlink(directory.path() / "gone", directory.path() / newest);
  EXPECT_THAT(outcome_of_load(directory.path()), HasSubstr("cannot open: No such file"));
  std::filesystem::remove(directory.path() / newest);
  std::filesystem::create_directory(directory.path() / newest);
  EXPECT_THAT(outcome_of_load(directory.path()), HasSubstr("it is a directory"));
}

TEST(Checkpoint, refuses_a_negative_step_and_notes_that_are_not_utf8) {
  const TemporaryDirectory directory;
  SmallRun run;
  nn::Checkpoint checkpoint(directory.path(), run.block, run.adam);
  EXPECT_THROW(checkpoint.save(-1), std::invalid_argument);
  checkpoint.notes()["x"] = "\xFF";
  EXPECT_THROW(checkpoint.save(1), std::invalid_argument);
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

// The second optimizer of a model: its own count is not the model's.
TEST(Checkpoint, a_run_that_goes_on_draws_the_masks_of_one_that_was_left_alone) {
  struct Net final : nn::Module {
    using Module::Module;
    nn::Linear layer{this, "layer", 1, 64};
    nn::Dropout drop{this, "drop", 0.5};
  };
  const auto train = [](Net& net, nn::Optimizer& optimizer, int steps) {
    Tape tape;
    for (int i = 0; i < steps; ++i) {
      const auto step = tape.record();
      tape.backward(sum(net.drop(net.layer(tape.constant({1}, {1})))));
      optimizer.step();
    }
  };
  const TemporaryDirectory directory;
  Net whole(nn::Seed{1});
  nn::SGD before(whole, {.learning_rate = 0.1});
  train(whole, before, 2);
  nn::AdamW adam(whole, {.learning_rate = 0.1});
  train(whole, adam, 3);
  nn::Checkpoint(directory.path(), whole.parameters(), adam).save(3);
  train(whole, adam, 2);

  Net resumed(nn::Seed{1});
  nn::AdamW again(resumed, {.learning_rate = 0.1});
  EXPECT_EQ(nn::Checkpoint(directory.path(), resumed.parameters(), again).load(), 3);
  EXPECT_EQ(resumed.step(), 5U);
  train(resumed, again, 2);
  EXPECT_EQ(nn::fingerprint(resumed.parameters(), &again), nn::fingerprint(whole.parameters(), &adam));
}

TEST(Checkpoint, one_without_the_models_step_has_the_optimizers) {
  const TemporaryDirectory directory;
  SmallRun run;
  run.block.set_steps(9);
  run.adam.counters()[0].values[0] = 4;
  run.adam.counters()[0].values[1] = 2;
  nn::Checkpoint(directory.path(), run.block, run.adam).save(6);
  const nn::Safetensors file = nn::read_checkpoint(directory.path() / newest);
  nn::SafetensorsWriter writer;
  for (const auto& tensor : file.entries()) writer.add(tensor.name, tensor.dtype, tensor.shape, tensor.bytes);
  for (const auto& [key, value] : file.metadata())
    if (key != "model_step") writer.metadata(key, key == "checksum" ? std::string(64, '0') : value);
  std::string bytes = writer.bytes();
  nn::Sha256 hash;
  hash.add(bytes);
  bytes.replace(bytes.find(std::string(64, '0')), 64, hash.hex());
  write_all(directory.path() / newest, bytes);
  SmallRun other;
  EXPECT_EQ(nn::Checkpoint(directory.path(), other.block, other.adam).load(), 6);
  EXPECT_EQ(other.block.steps(), 6U);
}

TEST(Weights, a_plain_file_needs_no_metadata) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "model.safetensors";
  SmallRun run;
  run.go_to(4);
  nn::save_weights(path, run.block);
  SmallRun other;
  nn::load_weights(path, other.block);
  EXPECT_EQ(nn::fingerprint(other.block), nn::fingerprint(run.block));
  EXPECT_THROW(nn::read_checkpoint(path), nn::FileError);
}

TEST(Weights, a_checkpoint_is_a_weights_file_too) {
  const TemporaryDirectory directory;
  save_steps(directory.path(), {9});
  SmallRun run;
  nn::load_weights(directory.path() / newest, run.block);
  EXPECT_EQ(run.block.values(0)[0], 900);
}

TEST(Weights, half_and_double_become_float_and_strict_finds_what_is_left_over) {
  nn::SafetensorsWriter writer;
  const std::int64_t matrix[] = {2, 3};
  const std::int64_t vector[] = {2};
  const std::uint16_t halves[] = {0x3C00, 0xC000, 0x0001, 0x7BFF, 0x8000, 0x3555};
  const double doubles[] = {0.1, -1e-3};
  writer.add("hidden.weight", nn::Dtype::f16, matrix, std::as_bytes(std::span(halves)));
  writer.add<double>("hidden.bias", vector, doubles);
  writer.add<double>("left.over", vector, doubles);
  std::string text = writer.bytes();
  const auto bytes = std::as_bytes(std::span<const char>(text));
  const auto file = nn::Safetensors::parse({bytes.begin(), bytes.end()}, "w");
  SmallRun run;
  EXPECT_THROW(nn::load_weights(file, run.block), nn::FileError);
  nn::load_weights(file, run.block, {.strict = false});
  EXPECT_THAT(run.block.values(0),
              ElementsAre(1.0F, -2.0F, std::ldexp(1.0F, -24), 65504.0F, -0.0F, 0.333251953125F));
  EXPECT_THAT(run.block.values(1), ElementsAre(0.1F, -1e-3F));
}

// A file of a model, for the same model with an adapter; and the file has a head that is not wanted.
TEST(Weights, what_has_no_counterpart_is_named_where_it_need_not_have_one) {
  SmallRun base;
  base.go_to(1);
  nn::SafetensorsWriter writer;
  nn::add_weights(writer, base.block);
  const std::int64_t size[] = {1};
  const float one[] = {1};
  writer.add<float>("head", size, one);
  writer.add<float>("optimizer.m.head", size, one);  // passed over
  const std::string text = writer.bytes();
  const auto bytes = std::as_bytes(std::span<const char>(text));
  const auto file = nn::Safetensors::parse({bytes.begin(), bytes.end()}, "w");

  ParameterBlock block;
  block.add("adapter.a", {2}, true);
  SmallRun::prepare(block);
  block.values(0)[1] = 7;
  EXPECT_THAT([&] { nn::load_weights(file, block); },
              ThrowsMessage<nn::FileError>(
                  testing::AllOf(HasSubstr("adapter.a: missing"), HasSubstr("\"head\": is"))));
  EXPECT_EQ(block.values(1)[0], 0);
  const nn::UnmatchedWeights unmatched = nn::load_weights(file, block, {.strict = false});
  EXPECT_THAT(unmatched.missing, ElementsAre("adapter.a"));
  EXPECT_THAT(unmatched.unexpected, ElementsAre("head"));
  EXPECT_EQ(block.values(0)[1], 7);
  EXPECT_EQ(block.values(1)[0], base.block.values(0)[0]);

  ParameterBlock turned;
  turned.add("hidden.weight", {3, 2}, true);
  EXPECT_THAT([&] { nn::load_weights(file, turned, {.strict = false}); },
              ThrowsMessage<nn::FileError>(HasSubstr("hidden.weight: has shape [2, 3]")));
}

TEST(Checkpoint, refuses_a_directory_that_is_not_there_at_once) {
  const TemporaryDirectory directory;
  SmallRun run;
  const auto path = directory.path() / "missing";
  const auto refused = [&](const char* reason) {
    EXPECT_THAT([&] { nn::Checkpoint(path, run.block, run.adam); },
                ThrowsMessage<nn::IoError>(
                    HasSubstr(std::string("missing: cannot keep checkpoints there: ") + reason)));
  };
  refused("there is no such directory; make it first");
  nn::write_file_atomically(path, "a file");
  refused("it is no directory; choose another");
}

}  // namespace
