#include "data/fashion_mnist.h"

#include <cstdlib>
#include <filesystem>

#include "data/error.h"
#include "data/file.h"
#include "data/idx.h"

namespace reel::data {
namespace {

Dataset part(const std::filesystem::path& folder, const std::string& prefix) {
  const auto read = [&](const std::string& rest) {
    const std::filesystem::path packed = folder / (prefix + rest + ".gz");
    const std::filesystem::path plain = folder / (prefix + rest);
    if (std::filesystem::exists(packed)) return read_idx(packed);
    if (std::filesystem::exists(plain)) return read_idx(plain);
    throw IoError(printable(packed) +
                  ": not found; install the Debian package dataset-fashion-mnist, or set REEL_FASHION_MNIST "
                  "to the folder with the four IDX files");
  };
  Dataset data = idx_pair(read("-images-idx3-ubyte"), read("-labels-idx1-ubyte"), 10);
  data.name = "fashion-mnist";
  data.class_names = {"T-shirt", "trouser", "pullover", "dress", "coat",
                      "sandal",  "shirt",   "sneaker",  "bag",   "ankle boot"};
  return data;
}

}  // namespace

Split fashion_mnist() {
  const char* chosen = std::getenv("REEL_FASHION_MNIST");
  const std::filesystem::path folder = chosen != nullptr ? chosen : "/usr/share/datasets/fashion-mnist";
  return {part(folder, "train"), part(folder, "t10k")};
}

}  // namespace reel::data
