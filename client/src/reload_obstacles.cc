#include "client/src/reload_obstacles.h"

#include <algorithm>
#include <array>

#include "protocol/text.h"

namespace moddev {
namespace {

std::string readable(const std::string& symbol) {
  const std::string plain = demangle(symbol);
  return "'" + (plain.empty() ? symbol : plain) + "'";
}

/// The first undefined symbol that is one of these, or begins with one that ends in '*'.
std::string first_use(const ElfImage& image, std::initializer_list<std::string_view> names) {
  for (const std::string& symbol : image.undefined) {
    for (std::string_view name : names) {
      if (name.back() == '*' ? symbol.starts_with(name.substr(0, name.size() - 1)) : symbol == name)
        return symbol;
    }
  }
  return {};
}

}  // namespace

std::string_view to_string(Obstacle::Kind kind) {
  constexpr std::array<std::string_view, 6> kNames{
      "unique_symbols", "thread_local_destructors", "nodelete", "threads", "text_relocations", "no_build_id"};
  return kNames.at(static_cast<std::size_t>(kind));
}

std::vector<Obstacle> reload_obstacles(const ElfImage& image) {
  std::vector<Obstacle> found;
  if (image.nodelete) {
    found.push_back(
        {Obstacle::Kind::kNoDelete, "",
         "The library was linked with -z nodelete: the dynamic loader never unmaps it. Every version "
         "that was ever loaded stays in memory until the process ends.",
         "Link without -Wl,-z,nodelete.", true});
  }
  if (const std::string use =
          first_use(image, {"pthread_create", "thrd_create", "_ZNSt6thread15_M_start_thread*"});
      !use.empty()) {
    found.push_back(
        {Obstacle::Kind::kThreads, use,
         "The library starts threads (" + readable(use) +
             "). Nobody can tell whether one of them is still inside when the version is retired, "
             "and unmapping code under a thread ends the process, so every version stays in memory.",
         "Export a stop hook with MODDEV_ON_STOP (<moddev/module.h>) that ends and joins the "
         "module's threads, or let the program own the threads.",
         true});
  }
  if (image.has_thread_local_destructors) {
    const std::string use = first_use(image, {"__cxa_thread_atexit_impl", "__cxa_thread_atexit"});
    found.push_back(
        {Obstacle::Kind::kThreadLocalDestructors, use,
         "The library has thread_local objects with destructors. A version stays mapped until every thread "
         "that "
         "used one of them has ended, and another library is unloaded after that: with long-lived worker "
         "threads, each retired version stays in memory.",
         "Use thread_local variables of types without destructors, or keep such objects in the program.",
         true});
  }
  if (!image.unique_symbols.empty()) {
    const std::string& first = image.unique_symbols.front();
    const std::size_t more = image.unique_symbols.size() - 1;
    found.push_back(
        {Obstacle::Kind::kUniqueSymbols, first,
         readable(first) + (more > 0 ? " and " + std::to_string(more) + " more are" : " is") +
             " marked as unique in the whole process (STB_GNU_UNIQUE, GCC's default for statics of inline "
             "functions "
             "and templates). With dlopen() alone a new version would go on with the old one's statics. "
             "moddev "
             "takes the mark off in its private copy, so each version has its own.",
         "Compile with -fno-gnu-unique to have the same without moddev; moddev_add_module() does.", false});
  }
  if (image.has_text_relocations) {
    found.push_back(
        {Obstacle::Kind::kTextRelocations, "",
         "The library's code has to be changed in memory when it is loaded (text relocations): that "
         "is slow, and its pages are not shared between processes. Hardened systems refuse it.",
         "Compile everything in it with -fPIC.", false});
  }
  if (image.build_id.empty()) {
    found.push_back({Obstacle::Kind::kNoBuildId, "",
                     "The library has no build-id: a file that a killed linker left cannot be told from a "
                     "finished one so surely, what is mapped cannot be proven, and debuggers cannot find its "
                     "debug information by it.",
                     "Link with -Wl,--build-id.", false});
  }
  return found;
}

}  // namespace moddev
