// A shared library of a few hundred bytes, made in memory: enough for the watcher's proof and the catalog
// (headers, dynamic segment, SONAME, NEEDED, build-id), with nothing in it that could be called.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moddev::sim {

struct TinyLibrary {
  std::string soname;
  std::vector<std::string> needed;
  std::string payload;  // whatever makes this version different
};

/// The file's bytes. The build-id note is its last part, as linkers write it.
[[nodiscard]] std::string build(const TinyLibrary& library);

/// The same file as a linker that was killed leaves it: of full size, but the note is still zero.
[[nodiscard]] std::string without_note(std::string file);

}  // namespace moddev::sim
