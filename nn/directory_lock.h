#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace reel::nn {

/// Holds a run directory for this process: a second trainer on the same directory is refused.
/// The lock is an flock on `DIR/.lock`, so the kernel drops it when the process ends in any way. The file
/// itself stays as long as its directory does: to remove it would let two processes hold two different files
/// of one name.
class DirectoryLock {
 public:
  /// Takes the lock. Throws IoError when another process holds it (naming its pid), when a file of that name
  /// holds anything but a pid, so that it is somebody else's, or when the directory cannot be used.
  explicit DirectoryLock(const std::filesystem::path& directory);
  ~DirectoryLock();
  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&& other) noexcept;
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

  const std::filesystem::path& directory() const { return directory_; }

  /// Removes the directory and the file of the lock, if nothing else is in it. Says nothing if it cannot.
  void remove_empty_directory() noexcept;

  /// Removes what a killed write_file_atomically left behind (`.NAME.tmp.PID`) when it wrote the files that
  /// `of` names, or any file if it names none; returns the names, sorted.
  /// Call it right after taking the lock, before this process writes to the directory. Throws IoError.
  std::vector<std::string> remove_stale_temporaries(const std::vector<std::string>& of = {}) const;
  /// The same in a directory of this one that only the holder of the lock writes to. What is no directory, a
  /// link, or has a lock of its own, and so is the run of somebody else, is left alone.
  std::vector<std::string> remove_stale_temporaries_in(const std::string& name,
                                                       const std::vector<std::string>& of = {}) const;

 private:
  std::filesystem::path directory_;
  int fd_ = -1;
};

}  // namespace reel::nn
