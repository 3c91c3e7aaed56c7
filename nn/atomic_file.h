#pragma once

#include <filesystem>
#include <string_view>

namespace reel::nn {

/// Replaces the file `path` by `bytes` so that a crash leaves either the old content or the new, never a
/// mixture. Writes `.NAME.tmp.PID` in the same directory, syncs it, renames it over `path` and syncs the
/// directory. The file's mode follows the umask. A symbolic link at `path` is replaced, not followed. Throws
/// IoError naming the path, the call that failed and its reason; the temporary file is gone by then, and the
/// old content is still there unless only the last sync of the directory failed.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

/// The same, and what `path` was before is found under `previous` afterwards, a name in the same directory.
/// There is a complete file under `path` or `previous` at every moment, and neither changes before the new
/// content is on the disk.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes,
                           const std::string& previous);

}  // namespace reel::nn
