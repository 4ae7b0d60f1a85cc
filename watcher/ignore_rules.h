// Which paths are none of the watcher's business: good defaults, then the user's patterns in gitignore syntax
// (gitignore(5)): the last pattern that matches decides, "!" takes back, a "/" at the end means directories
// only, any other "/" ties the pattern to the watched directory, "**" spans directories. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace moddev::watcher {

/// The patterns that hold without configuration, in gitignore syntax: for the documentation, too.
[[nodiscard]] std::span<const std::string_view> default_ignore_patterns();

/// Names that mkstemp(3) made for tools that work beside their output: strip and objcopy ("stXXXXXX"), sed
/// ("sedXXXXXX"), rsync (".NAME.XXXXXX"), LLVM's ("NAME.tmpXXXXXXX"), CMake's own ("NAME.tmp12abf"). Patterns
/// cannot tell "stAb3cX9" from "strategy".
[[nodiscard]] bool looks_like_temporary(std::string_view name);

class IgnoreRules {
 public:
  /// `patterns` come after the defaults. Empty lines and lines that start with '#' mean nothing.
  explicit IgnoreRules(std::span<const std::string> patterns);

  /// Whether the entry itself is ignored. That of its parents is not asked: the watcher never enters an
  /// ignored directory.
  [[nodiscard]] bool ignored(std::string_view path, bool directory) const;
  /// The same including the parents.
  [[nodiscard]] bool ignored_on_the_way(std::string_view path) const;

 private:
  struct Pattern {
    std::string glob;
    bool negated = false;
    bool directory_only = false;
    bool anchored = false;  // matched against the whole path, else against the last part
  };
  void add(std::string_view line);
  [[nodiscard]] static bool matches(const Pattern& pattern, std::string_view path, std::string_view name);

  std::vector<Pattern> patterns_;
  // Most defaults are "*.ext" or a plain name: two hash look-ups instead of a hundred comparisons. The value
  // is the pattern's index; order still decides.
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  using Index = std::unordered_map<std::string, std::vector<std::size_t>, Hash, std::equal_to<>>;
  Index by_name_;
  Index by_suffix_;  // from the last dot
  std::vector<std::size_t> others_;
};

/// gitignore's wildcards: '?' and '[...]' match one character but '/', '*' any number but '/', "**" any
/// number. '\' takes the next character literally.
[[nodiscard]] bool glob_matches(std::string_view glob, std::string_view text);

}  // namespace moddev::watcher
