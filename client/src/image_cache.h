// The directory of private copies: files that only moddev writes, that never change, and that the dynamic
// loader maps. Shared by all processes of a user, so one that is already there is used again, after its bytes
// were compared with what they must be. Knows files, not modules.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "client/src/image_rewrite.h"
#include "protocol/clock.h"
#include "protocol/result.h"

namespace moddev {

/// Where images go when nobody says: a directory of the user in memory (XDG_RUNTIME_DIR), else in the user's
/// cache directory. Creating a file in memory is several times faster than on a disk.
[[nodiscard]] std::filesystem::path default_image_directory();

/// The name of an image's file: lib<name>.<key>.so.
[[nodiscard]] std::string image_file_name(std::string_view file_name, std::string_view key);
/// Hexadecimal digits of a key: 64 bits of the closure digest. Names are not what is relied on: the bytes are
/// compared.
inline constexpr std::size_t kImageKeyDigits = 16;

class ImageCache {
 public:
  /// Creates the directory (mode 0700). Errors: kPermission when it belongs to somebody else or others may
  /// write to it: whoever can write there can make this process run anything. kUnsupported when the file
  /// system is mounted noexec.
  static Result<ImageCache> open(const std::filesystem::path& directory);

  /// The absolute path of an image. `file_name` is for people (gdb, /proc/self/maps); its unusual characters
  /// are replaced.
  [[nodiscard]] std::string path_of(std::string_view file_name, std::string_view key) const;

  /// Makes sure that `path` has exactly the bytes of `image`: kept if it has, written and renamed into place
  /// if not. A file in use is never changed, a wrong one is replaced by a new file.
  Status put(const std::string& path, const PatchedImage& image) const;

  /// Says "in use" of the image at `path`, which need not be there yet; nobody deletes it until the lock is
  /// released. The lock goes with the process.
  Status lock(const std::string& path);
  /// Ends the use. The file is deleted when nobody else uses it: a version that was unloaded is rarely wanted
  /// again, and making its image anew costs some microseconds.
  void release(const std::string& path);

  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }

  ImageCache(ImageCache&& other) noexcept;
  ImageCache& operator=(ImageCache&& other) noexcept;
  ImageCache(const ImageCache&) = delete;
  ImageCache& operator=(const ImageCache&) = delete;
  ~ImageCache();

 private:
  ImageCache(std::filesystem::path directory, int locks) : directory_(std::move(directory)), locks_(locks) {}

  std::filesystem::path directory_;
  int locks_ = -1;
};

/// What collect_images() did.
struct CollectedImages {
  std::uint64_t removed = 0;
  std::uint64_t removed_bytes = 0;
  std::uint64_t in_use = 0;
  std::uint64_t kept_bytes = 0;
};

/// Removes the images, least recently used first, until at most `keep_bytes` are left and none that at `now`
/// was not used for `unused_for`. One that a live process has locked stays, whatever its age.
[[nodiscard]] Result<CollectedImages> collect_images(const std::filesystem::path& directory,
                                                     std::uint64_t keep_bytes, WallTime now = {},
                                                     Duration unused_for = Duration::max());

}  // namespace moddev
