#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace reel::examples {

/// A call that changed a file, as tests/support/file_faults.cpp wrote it down.
struct FileCall {
  std::vector<std::string> fields;  // "write", inode, offset; "rename", from, to; ...
  std::string bytes;
};

/// Reads a journal. Throws std::runtime_error if it is cut.
std::vector<FileCall> read_journal(const std::string& path);

/// The files of a directory, by name.
using Files = std::map<std::string, std::string>;

Files files_of(const std::string& directory);
void put_files(const Files& files, const std::string& directory);

/// A disk with a cache in front of it, which a power cut empties: a directory before and during a run.
class Disk {
 public:
  /// What is in the directory now is on the disk.
  explicit Disk(const std::string& directory);

  void apply(const FileCall& call);

  /// All that may be found after a power cut now. Of what was not synced, any of the changes of names may be
  /// on the disk, in any combination; of a file's bytes nothing, all, the first half, or zeros as long as
  /// they are.
  std::vector<Files> after_power_cut() const;

 private:
  struct Change {  // of bytes: a write, or a cut if `bytes` is empty
    std::size_t at = 0;
    std::string bytes;
    bool cut = false;
  };
  struct File {
    std::string synced;
    std::vector<Change> pending;
  };
  struct NameChange {
    std::string kind;  // "create", "link", "rename", "remove"
    std::string from;
    std::string to;
    std::size_t file = 0;
  };
  using Names = std::map<std::string, std::size_t>;

  static void change(Names& names, const NameChange& change);
  static void change(std::string& bytes, const Change& change, std::size_t length, bool zeros);
  static std::vector<std::string> versions_of(const File& file);
  std::string inside(const std::string& path) const;

  std::string directory_;
  bool there_ = true;                          // the directory itself
  std::vector<File> files_;                    // every one that ever was
  std::map<std::string, std::size_t> inodes_;  // of the files by the number that the journal has for them
  Names names_;                                // on the disk
  std::vector<NameChange> pending_;
};

}  // namespace reel::examples
