#include "watcher/ignore_rules.h"

#include <algorithm>
#include <array>
#include <optional>

namespace moddev::watcher {
namespace {

constexpr std::array<std::string_view, 107> kDefaults = {
    // Compilers' and linkers' intermediate files: no module by themselves.
    "*.o", "*.obj", "*.lo", "*.la", "*.a", "*.lib", "*.exp", "*.ilk", "*.pdb", "*.d", "*.dep", "*.dwo",
    "*.dwp", "*.gch", "*.pch", "*.pcm", "*.gcm", "*.gcno", "*.gcda", "*.su", "*.ii", "*.bc", "*.res", "*.rsp",
    "*.modmap", "*.ddi", "*.dyndep",
    // CMake, Ninja, Make, Meson, Autotools, Bazel.
    "CMakeFiles/", "CMakeCache.txt", "cmake_install.cmake", "install_manifest.txt", "CTestTestfile.cmake",
    "CPackConfig.cmake", "CPackSourceConfig.cmake", "DartConfiguration.tcl", "compile_commands.json",
    "Testing/", "*_autogen/", ".cmake/", "_deps/", "build.ninja", "rules.ninja", ".ninja_log", ".ninja_deps",
    ".ninja_lock", "Makefile", "meson-info/", "meson-logs/", "meson-private/", "*.p/", "autom4te.cache/",
    "config.log", "config.status", ".deps/", "bazel-*",
    // Version control.
    ".git", ".hg", ".svn", ".jj", ".bzr", "CVS/", ".gitignore", ".gitattributes", ".gitmodules",
    // Linkers' temporaries and what moddev itself puts beside things.
    ".mold-*", "*.ltrans*", "*.lto.o", "*.tmp", ".moddev*", "moddev.toml",
    // Editors, copiers, downloads.
    "*~", "*.swp", "*.swo", "*.swx", ".#*", "#*#", "4913", "*.bak", "*.orig", "*.rej", "*.part",
    "*.crdownload", "*.partial", ".goutputstream-*", ".~*", "*.kate-swp", ".nfs*", ".fuse_hidden*",
    ".DS_Store", "Thumbs.db",
    // Caches and environments of tools.
    "__pycache__/", "*.pyc", "*.pyo", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".tox/", ".venv/",
    ".cache/", ".ccache/", ".idea/", ".vscode/", "node_modules/"};

bool is_random(std::string_view text) {
  const auto alphanumeric = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  return std::ranges::all_of(text, alphanumeric);
}

/// Words are lower case: a digit or a capital among six tells mkstemp's letters from one.
bool is_no_word(std::string_view text) {
  return is_random(text) && std::ranges::any_of(text, [](char c) { return c < 'a'; });
}

/// What a "[...]" at the start of `glob` says about `c`, and its length; nothing when it is not closed.
std::optional<std::pair<bool, std::size_t>> match_class(std::string_view glob, char c) {
  std::size_t i = 1;
  const bool negated = i < glob.size() && (glob[i] == '!' || glob[i] == '^');
  if (negated) ++i;
  bool found = false;
  for (const std::size_t first = i; i < glob.size() && (glob[i] != ']' || i == first); ++i) {
    if (glob[i] == '\\' && i + 1 < glob.size()) ++i;
    const char low = glob[i];
    char high = low;
    if (i + 2 < glob.size() && glob[i + 1] == '-' && glob[i + 2] != ']') {
      high = glob[i + 2];
      i += 2;
    }
    found = found || (low <= c && c <= high);
  }
  if (i >= glob.size()) return std::nullopt;
  return std::pair(found != negated && c != '/', i + 1);
}

/// One step of a match that is no '*': whether `c` fits the glob's next element, and that element's length.
std::pair<bool, std::size_t> match_one(std::string_view glob, char c) {
  if (glob[0] == '?') return {c != '/', 1};
  if (glob[0] == '[') {
    if (const auto result = match_class(glob, c)) return *result;
  }
  if (glob[0] == '\\' && glob.size() > 1) return {glob[1] == c, 2};
  return {glob[0] == c, 1};
}

bool has_wildcards(std::string_view text) {
  return text.find_first_of("*?[\\") != std::string_view::npos;
}

std::string_view last_part(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace

std::span<const std::string_view> default_ignore_patterns() {
  return kDefaults;
}

bool looks_like_temporary(std::string_view name) {
  if (name.size() == 8 && name.starts_with("st") && is_no_word(name.substr(2))) return true;
  if (name.size() == 9 && name.starts_with("sed") && is_no_word(name.substr(3))) return true;
  if (name.size() > 8 && name.front() == '.' && name[name.size() - 7] == '.' &&
      is_no_word(name.substr(name.size() - 6)))
    return true;
  const std::size_t tmp = name.rfind(".tmp");
  if (tmp == std::string_view::npos || tmp == 0) return false;
  const std::string_view ending = name.substr(tmp + 4);
  if (ending.size() == 5) return ending.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  return ending.size() >= 6 && is_random(ending);
}

bool glob_matches(std::string_view glob, std::string_view text) {
  // The usual loop with one remembered star; for "**" a second one, which may also swallow '/'.
  std::size_t g = 0;
  std::size_t t = 0;
  std::size_t star_g = std::string_view::npos;
  std::size_t star_t = 0;
  std::size_t wide_g = std::string_view::npos;
  std::size_t wide_t = 0;
  for (;;) {
    if (g < glob.size() && glob[g] == '*') {
      if (glob.substr(g).starts_with("**")) {
        g += 2;
        // "**/" also stands for no directory at all; it begins and ends at a '/'.
        wide_g = g;
        wide_t = t;
        star_g = std::string_view::npos;
        if (g < glob.size() && glob[g] == '/') wide_g = ++g;
      } else {
        star_g = ++g;
        star_t = t;
      }
      continue;
    }
    if (g < glob.size() && t < text.size()) {
      const auto [fits, length] = match_one(glob.substr(g), text[t]);
      if (fits) {
        g += length;
        ++t;
        continue;
      }
    } else if (g == glob.size() && t == text.size()) {
      return true;
    }
    if (star_g != std::string_view::npos && star_t < text.size() && text[star_t] != '/') {
      t = ++star_t;
      g = star_g;
      continue;
    }
    if (wide_g == std::string_view::npos || wide_t >= text.size()) return false;
    const bool whole_directories = wide_g > 0 && glob[wide_g - 1] == '/';
    ++wide_t;
    while (whole_directories && wide_t < text.size() && text[wide_t - 1] != '/') ++wide_t;
    if (whole_directories && wide_t == text.size()) return false;
    t = wide_t;
    g = wide_g;
    star_g = std::string_view::npos;
  }
}

IgnoreRules::IgnoreRules(std::span<const std::string> patterns) {
  for (const std::string_view pattern : kDefaults) add(pattern);
  for (const std::string& pattern : patterns) add(pattern);
}

void IgnoreRules::add(std::string_view line) {
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  while (line.ends_with(' ') && !line.ends_with("\\ ")) line.remove_suffix(1);
  if (line.empty() || line.front() == '#') {
    if (line != "#*#") return;  // the one default that starts so: Emacs' auto-saves
  }
  Pattern pattern;
  if (line.front() == '!') {
    pattern.negated = true;
    line.remove_prefix(1);
  }
  if (line.ends_with('/')) {
    pattern.directory_only = true;
    line.remove_suffix(1);
  }
  pattern.anchored = line.find('/') != std::string_view::npos;
  if (line.starts_with('/')) line.remove_prefix(1);
  if (line.empty()) return;
  pattern.glob = line;
  const std::size_t index = patterns_.size();
  if (!pattern.anchored && !has_wildcards(line)) {
    by_name_[pattern.glob].push_back(index);
  } else if (!pattern.anchored && line.starts_with("*.") && !has_wildcards(line.substr(1)) &&
             line.rfind('.') == 1) {
    by_suffix_[pattern.glob.substr(1)].push_back(index);
  } else {
    others_.push_back(index);
  }
  patterns_.push_back(std::move(pattern));
}

bool IgnoreRules::matches(const Pattern& pattern, std::string_view path, std::string_view name) {
  return glob_matches(pattern.glob, pattern.anchored ? path : name);
}

bool IgnoreRules::ignored(std::string_view path, bool directory) const {
  const std::string_view name = last_part(path);
  std::size_t decisive = patterns_.size();  // none
  const auto consider = [&](std::size_t index) {
    if (patterns_[index].directory_only && !directory) return;
    if (decisive == patterns_.size() || index > decisive) decisive = index;
  };
  if (const auto found = by_name_.find(name); found != by_name_.end())
    std::ranges::for_each(found->second, consider);
  if (const std::size_t dot = name.rfind('.'); dot != std::string_view::npos) {
    if (const auto found = by_suffix_.find(name.substr(dot)); found != by_suffix_.end())
      std::ranges::for_each(found->second, consider);
  }
  for (auto index = others_.rbegin(); index != others_.rend(); ++index) {
    if (decisive != patterns_.size() && *index < decisive) break;
    if (patterns_[*index].directory_only && !directory) continue;
    if (matches(patterns_[*index], path, name)) {
      decisive = *index;
      break;
    }
  }
  if (decisive != patterns_.size()) return !patterns_[decisive].negated;
  return !directory && looks_like_temporary(name);
}

bool IgnoreRules::ignored_on_the_way(std::string_view path) const {
  for (std::size_t slash = path.find('/'); slash != std::string_view::npos;
       slash = path.find('/', slash + 1)) {
    if (ignored(path.substr(0, slash), true)) return true;
  }
  return ignored(path, false);
}

}  // namespace moddev::watcher
