#include <gtest/gtest.h>

#include <filesystem>
#include <new>
#include <set>
#include <string>

#include "autograd/autopsy.h"
#include "autograd/tape.h"
#include "data/csv.h"
#include "data/idx.h"
#include "data/npy.h"
#include "data/npz.h"
#include "data/text.h"
#include "nn/nn.h"
#include "tests/support/count_allocations.h"

// Memory may run out at any request: nothing leaks (a sanitizer's run shows it), nothing crashes, and what is
// promised to be whole afterwards is. Every test lets the first request fail, then the second, and so on,
// until the work gets through.

namespace reel::nn {
namespace {

// Runs `work(attempt)` with a failure at every one of its requests in turn; `after(attempt, failed)` looks at
// what is left. Returns how many requests there were.
template <class Work, class After>
std::size_t at_every_allocation(Work work, After after) {
  // The C library is told of what a thread keeps for itself when that is first used, and ends the program if
  // there is no memory to note it.
  static const bool warm = [] {
    Tape tape;
    const auto step = tape.record();
    return true;
  }();
  EXPECT_TRUE(warm);
  for (std::size_t attempt = 1;; ++attempt) {
    bool failed = false;
    bool happened = false;
    {
      const support::FailingAllocation failing(attempt);
      try {
        work();
      } catch (const std::bad_alloc&) {
        failed = true;
      } catch (const std::exception&) {  // a C library that reports the lack in its own way
        failed = true;
      }
      happened = failing.happened();
    }
    after(failed);
    EXPECT_TRUE(happened || !failed) << "an error without a failure, at attempt " << attempt;
    if (testing::Test::HasFailure() || !happened) return attempt - 1;
  }
}

template <class Work>
std::size_t at_every_allocation(Work work) {
  return at_every_allocation(work, [](bool) {});
}

const GptConfig small = {.vocabulary = 5, .context = 4, .layers = 1, .heads = 2, .width = 8, .dropout = 0.1};
const std::vector<std::int32_t> tokens = {0, 1, 2, 3, 4, 3, 2, 1};
const std::vector<std::int32_t> targets = {1, 2, 3, 4, 3, 2, 1, 0};

struct Trainer {
  Gpt model{Seed{1}, small};
  AdamW adam{model, {.learning_rate = 1e-2, .clip_norm = 1}};
  Tape tape;
  void step() {
    const auto recording = tape.record();
    tape.backward(cross_entropy(model(tape, tokens, 2, 4), targets));
    adam.step();
  }
  std::string fingerprint() { return nn::fingerprint(model.parameters(), &adam); }
};

TEST(OutOfMemory, InATrainingStepLeavesModelAndTapeAsTheyWere) {
  Trainer whole;
  whole.step();
  const std::string expected = whole.fingerprint();
  for (const bool watched : {false, true}) {
    std::unique_ptr<Trainer> run;
    const auto prepare = [&] {
      run = std::make_unique<Trainer>();
      run->tape.watch(watched);
    };
    prepare();
    const std::size_t requests = at_every_allocation([&] { run->step(); },
                                                     [&](bool failed) {
                                                       if (failed) {
                                                         run->adam.zero_grad();
                                                         run->step();  // on the same tape
                                                       }
                                                       EXPECT_EQ(run->fingerprint(), expected);
                                                       prepare();
                                                     });
    EXPECT_GT(requests, 10U);
  }
}

TEST(OutOfMemory, InANestedStepLeavesTheOuterOne) {
  at_every_allocation([] {
    Tape tape(Precision::f64);
    const auto outer = tape.record();
    const Tensor x = tape.variable({1.0, 2.0}, {2});
    const Tensor y = exp(x);
    try {
      const auto inner = tape.record();
      const Tensor z = tape.variable({1.0, 2.0}, {2});
      tape.backward(sum(log(z) * z));
    } catch (const std::bad_alloc&) {
    }
    tape.backward(sum(y));
    EXPECT_EQ(x.gradient(), y.values());
  });
}

TEST(OutOfMemory, InAnAutopsy) {
  Tape tape;
  tape.watch(true);
  const auto step = tape.record();
  const Tensor loss = log(tape.variable(0.0));
  tape.backward(loss);
  EXPECT_GT(at_every_allocation([&] { EXPECT_TRUE(tape.autopsy(loss).found()); }), 5U);
}

TEST(OutOfMemory, WhenAModelOrAnOptimizerIsMade) {
  EXPECT_GT(at_every_allocation([] { const Gpt model(Seed{1}, small); }), 50U);
  EXPECT_GT(at_every_allocation([] {
              const std::vector<std::int64_t> sizes = {3, 4, 2};
              const Mlp model(Seed{1}, sizes, {.dropout = 0.1});
            }),
            10U);
  Gpt model(Seed{1}, small);
  const auto names = model.parameters().count();
  EXPECT_GT(
      at_every_allocation([&] { const AdamW adam(model, {.groups = {{.names = {"transformer.wte"}}}}); }),
      3U);
  EXPECT_EQ(model.parameters().count(), names);
}

TEST(OutOfMemory, WhenAParameterIsAddedLeavesTheBlock) {
  ParameterBlock block;
  block.values(block.add("first", {3}, true))[0] = 7;
  std::size_t added = 0;
  at_every_allocation([&] { block.add("number " + std::to_string(added), {1000}, true); },
                      [&](bool failed) {
                        added += failed ? 0 : 1;
                        EXPECT_EQ(block.count(), 1 + added);
                        EXPECT_EQ(block.values(0)[0], 7);
                        EXPECT_EQ(block.length(), 16 + static_cast<std::int64_t>(added) * 1008);
                      });
  EXPECT_EQ(added, 1U);
}

class OutOfMemoryOnDisk : public testing::Test {
 protected:
  OutOfMemoryOnDisk() {
    std::string name = (std::filesystem::temp_directory_path() / "reel-memory-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) ADD_FAILURE() << "no directory";
    directory = name;
  }
  ~OutOfMemoryOnDisk() override { std::filesystem::remove_all(directory); }
  std::set<std::string> names() const {
    std::set<std::string> all;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
      all.insert(entry.path().filename().string());
    return all;
  }
  std::filesystem::path directory;
};

TEST_F(OutOfMemoryOnDisk, SavingACheckpointLeavesAGoodOneAndNothingElse) {
  Trainer run;
  Checkpoint checkpoint(directory, run.model.parameters(), run.adam);
  checkpoint.notes()["config"] = "{}";
  checkpoint.save(1);
  run.step();
  std::int64_t last = 1;
  const auto check = [&](bool failed) {
    const std::int64_t step = step_of(read_checkpoint(checkpoint.path()));
    EXPECT_EQ(step, failed ? last : last + 1);
    last = step;
    for (const std::string& name : names())
      EXPECT_TRUE(name == "checkpoint.safetensors" || name == "checkpoint.previous.safetensors") << name;
  };
  EXPECT_GT(at_every_allocation([&] { checkpoint.save(last + 1); }, check), 100U);
}

TEST_F(OutOfMemoryOnDisk, LoadingACheckpointChangesAllOrNothing) {
  Trainer saved;
  saved.step();
  Checkpoint writer(directory, saved.model.parameters(), saved.adam);
  writer.notes()["config"] = "{}";
  writer.save(7);
  auto run = std::make_unique<Trainer>();
  const std::string before = run->fingerprint();
  const std::string after = saved.fingerprint();
  EXPECT_GT(at_every_allocation(
                [&] {
                  Checkpoint checkpoint(directory, run->model.parameters(), run->adam);
                  EXPECT_EQ(checkpoint.load(), 7);
                },
                [&](bool failed) {
                  EXPECT_EQ(run->fingerprint(), failed ? before : after);
                  run = std::make_unique<Trainer>();
                }),
            100U);
}

TEST_F(OutOfMemoryOnDisk, LoadingWeightsOfAnotherTypeChangesAllOrNothing) {
  ParameterBlock block;
  for (const char* name : {"a", "b", "c"}) block.add(name, {2}, true);
  SafetensorsWriter writer;
  const std::vector<double> ones = {1, 1};
  const std::int64_t shape[] = {2};
  for (const char* name : {"a", "b", "c"}) writer.add<double>(name, shape, ones);
  writer.write(directory / "weights.safetensors");
  at_every_allocation([&] { load_weights(directory / "weights.safetensors", block); },
                      [&](bool failed) {
                        for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(block.values(i)[1], failed ? 0 : 1);
                      });
}

// Hugging Face's layout: linear weights [in, out], without the prefix.
TEST(OutOfMemory, LoadingAGpt2ChangesAllOrNothing) {
  const Gpt source(Seed{2}, small);
  SafetensorsWriter writer;
  for (std::size_t i = 0; i < source.parameters().count(); ++i) {
    const ParameterBlock::Entry& entry = source.parameters().entry(i);
    std::vector<std::int64_t> shape(entry.shape.rank() == 2 ? 2 : 1);
    for (std::size_t d = 0; d < shape.size(); ++d) shape[d] = entry.shape[static_cast<int>(d)];
    if (entry.name.find(".c_") != std::string::npos && shape.size() == 2) std::swap(shape[0], shape[1]);
    writer.add<float>(entry.name.substr(12), shape, source.parameters().values(i));
  }
  const std::string text = writer.bytes();
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  const Safetensors file = Safetensors::parse({bytes, bytes + text.size()}, "hf");
  auto model = std::make_unique<Gpt>(Seed{1}, small);
  const std::string before = fingerprint(model->parameters());
  EXPECT_GT(at_every_allocation([&] { load_gpt2_weights(file, *model); },
                                [&](bool failed) {
                                  EXPECT_EQ(fingerprint(model->parameters()) == before, failed);
                                  model = std::make_unique<Gpt>(Seed{1}, small);
                                }),
            20U);
}

TEST_F(OutOfMemoryOnDisk, ReadersGiveUpWithoutALoss) {
  const std::string csv = "a,b,class\n1,2,x\n3,4,\"y\"\n5,6,x\n";
  EXPECT_GT(at_every_allocation([&] { EXPECT_EQ(data::parse_csv(csv, "t.csv", {}).count, 3); }), 5U);
  const std::string idx("\0\0\x08\x01\0\0\0\x02\0\x01", 10);
  EXPECT_GT(at_every_allocation([&] { data::parse_idx(idx, "t.idx"); }), 0U);
  EXPECT_GT(at_every_allocation(
                [&] { EXPECT_EQ(data::Text("the cat sat on the mat", "t.txt", 4).vocabulary().size(), 10); }),
            2U);
  data::NpzWriter arrays;
  const std::vector<std::int64_t> shape = {2, 1};
  arrays.add("x", shape, std::vector<float>{1, 2});
  arrays.add("y", shape, std::vector<float>{3, 4});
  arrays.write(directory / "t.npz");
  EXPECT_GT(at_every_allocation([&] { EXPECT_EQ(data::read_npz(directory / "t.npz").size(), 2U); }), 10U);
  EXPECT_GT(at_every_allocation([&] { arrays.write(directory / "again.npz"); },
                                [&](bool) {
                                  const auto files = names();
                                  for (const std::string& name : files) EXPECT_TRUE(name.ends_with(".npz"));
                                  if (files.count("again.npz") == 0) return;
                                  EXPECT_EQ(data::read_npz(directory / "again.npz").size(), 2U);
                                }),
            // libzip's own requests fail only without a sanitizer.
            support::counts_allocations() ? 10U : 5U);
}

}  // namespace
}  // namespace reel::nn
