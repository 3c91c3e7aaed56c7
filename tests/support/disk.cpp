#include "tests/support/disk.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>

namespace reel::examples {
namespace {

namespace fs = std::filesystem;

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string inode_of(const fs::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) throw std::runtime_error("lstat " + path.string());
  return std::to_string(status.st_ino);
}

}  // namespace

std::vector<FileCall> read_journal(const std::string& path) {
  const std::string text = bytes_of(path);
  std::vector<FileCall> calls;
  std::size_t at = 0;
  const auto field = [&] {
    const std::size_t end = text.find('\0', at);
    if (end == std::string::npos) throw std::runtime_error("the journal is cut");
    std::string word = text.substr(at, end - at);
    at = end + 1;
    return word;
  };
  while (at < text.size()) {
    FileCall call;
    for (std::string word = field(); word != "bytes"; word = field()) call.fields.push_back(word);
    const std::size_t length = std::stoul(field());
    call.bytes = text.substr(at, length);
    at += length;
    calls.push_back(std::move(call));
  }
  return calls;
}

Files files_of(const std::string& directory) {
  Files files;
  if (!fs::exists(directory)) return files;
  for (const auto& entry : fs::directory_iterator(directory))
    files[entry.path().filename()] = bytes_of(entry.path());
  return files;
}

void put_files(const Files& files, const std::string& directory) {
  fs::create_directories(directory);
  for (const auto& [name, bytes] : files)
    std::ofstream(fs::path(directory) / name, std::ios::binary) << bytes;
}

Disk::Disk(const std::string& directory) : directory_(fs::weakly_canonical(directory).string()) {
  if (!fs::exists(directory)) return;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const auto [inode, is_new] = inodes_.try_emplace(inode_of(entry.path()), files_.size());
    names_[entry.path().filename()] = inode->second;
    if (is_new) files_.push_back({bytes_of(entry.path()), {}});
  }
}

std::string Disk::inside(const std::string& path) const {
  if (!path.starts_with(directory_ + "/")) throw std::runtime_error("outside of the directory: " + path);
  return path.substr(directory_.size() + 1);
}

void Disk::change(Names& names, const NameChange& change) {
  if (change.kind == "create") {
    names[change.to] = change.file;
    return;
  }
  const auto old = names.find(change.from);
  if (old == names.end()) return;  // what made that name is not on the disk
  const std::size_t file = old->second;
  if (change.kind == "link") {
    names[change.to] = file;
  } else if (change.kind == "remove") {
    names.erase(old);
  } else if (const auto to = names.find(change.to); to == names.end() || to->second != file) {
    names.erase(change.from);
    names[change.to] = file;
  }
}

void Disk::apply(const FileCall& call) {
  const auto& f = call.fields;
  const std::string& kind = f.at(0);
  if (kind == "nothing") return;
  if (kind == "make directory") {
    there_ = false;  // until the directory above it is synced
    return;
  }
  if (kind == "create") {
    inodes_[f.at(2)] =
        files_.size();  // the number may be that of a file which is gone, but not from the disk
    pending_.push_back({kind, "", inside(f.at(1)), files_.size()});
    files_.emplace_back();
  } else if (kind == "write") {
    files_.at(inodes_.at(f.at(1))).pending.push_back({std::stoul(f.at(2)), call.bytes, false});
  } else if (kind == "cut") {
    files_.at(inodes_.at(f.at(1))).pending.push_back({std::stoul(f.at(2)), "", true});
  } else if (kind == "sync") {
    File& file = files_.at(inodes_.at(f.at(1)));
    for (const Change& c : file.pending) change(file.synced, c, c.bytes.size(), false);
    file.pending.clear();
  } else if (kind == "sync directory" && f.at(1) != directory_) {
    there_ = true;
  } else if (kind == "sync directory") {
    for (const NameChange& c : pending_) change(names_, c);
    pending_.clear();
  } else if (kind == "remove") {
    pending_.push_back({kind, inside(f.at(1)), "", 0});
  } else if (kind == "rename" || kind == "link") {
    pending_.push_back({kind, inside(f.at(1)), inside(f.at(2)), 0});
  } else {
    throw std::runtime_error("the journal says " + kind);
  }
}

void Disk::change(std::string& bytes, const Change& change, std::size_t length, bool zeros) {
  if (change.cut) {
    bytes.resize(change.at, '\0');
    return;
  }
  if (bytes.size() < change.at + length) bytes.resize(change.at + length, '\0');
  bytes.replace(change.at, length, zeros ? std::string(length, '\0') : change.bytes.substr(0, length));
}

std::vector<std::string> Disk::versions_of(const File& file) {
  std::set<std::string> versions = {file.synced};
  // The last change that reached the disk reached it whole, in part, or only as a length.
  std::string before = file.synced;
  for (const Change& c : file.pending) {
    std::string torn = before;
    change(torn, c, c.bytes.size() / 2, false);
    versions.insert(torn);
    std::string blank = before;
    change(blank, c, c.bytes.size(), true);
    versions.insert(blank);
    change(before, c, c.bytes.size(), false);
    versions.insert(before);
  }
  // A later change may be there without an earlier one.
  if (file.pending.size() > 1) {
    std::string late = file.synced;
    change(late, file.pending.back(), file.pending.back().bytes.size(), false);
    versions.insert(late);
  }
  return {versions.begin(), versions.end()};
}

std::vector<Files> Disk::after_power_cut() const {
  std::set<Files> found;
  if (!there_) found.insert(Files{});
  const std::size_t count = pending_.size();
  if (count > 16) throw std::runtime_error("too many changes of names without a sync");
  for (std::size_t chosen = 0; chosen < (std::size_t{1} << count); ++chosen) {
    Names names = names_;
    for (std::size_t i = 0; i < count; ++i) {
      if ((chosen >> i & 1) != 0) change(names, pending_[i]);
    }
    std::vector<Files> states = {{}};
    for (const auto& [name, file] : names) {
      // Nothing reads a file that was not renamed to its final name: its bytes make no difference.
      const bool temporary = name.starts_with('.');
      const std::vector<std::string> versions =
          temporary ? std::vector<std::string>{files_.at(file).synced} : versions_of(files_.at(file));
      std::vector<Files> longer;
      for (const Files& state : states) {
        for (const std::string& version : versions) {
          longer.push_back(state);
          longer.back()[name] = version;
        }
      }
      states = std::move(longer);
    }
    found.insert(states.begin(), states.end());
  }
  return {found.begin(), found.end()};
}

}  // namespace reel::examples
