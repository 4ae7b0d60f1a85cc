// `moddev cache`: what the executors of this user keep on this machine; whether it is sound; and making room.
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <chrono>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "client/src/discovery.h"
#include "client/src/host_cache.h"
#include "client/src/image_cache.h"
#include "protocol/clock.h"
#include "tools/moddev/command.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/json_values.h"
#include "tools/moddev/numbers.h"
#include "tools/moddev/places.h"
#include "tools/moddev/retained_files.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {
namespace {

/// Without flags, `collect` takes what was not used for so long.
constexpr std::uint64_t kUnusedDays = 30;
/// Processes named in one line for a person.
constexpr std::size_t kProcessesTold = 4;
/// Hexadecimal digits of a digest in a line for a person.
constexpr std::size_t kDigestDigits = 12;

struct CacheFlags {
  std::string directory;
  std::uint64_t keep = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t days = kUnusedDays;
  bool json = false;
};

struct Where {
  std::filesystem::path root;
  std::filesystem::path images;
};

Result<Where> where(const CacheFlags& flags) {
  if (!flags.directory.empty())
    return Where{flags.directory, std::filesystem::path(flags.directory) / "images"};
  auto root = client::default_cache_directory(client::Surroundings::of_this_process());
  if (!root) return root.error();
  return Where{*root, default_image_directory()};
}

Result<std::unique_ptr<client::HostCache>> open(const CacheFlags& flags) {
  auto place = where(flags);
  if (!place) return place.error();
  auto cache = client::HostCache::open(place->root, place->images);
  if (cache || cache.error().code != ErrorCode::kNotFound) return cache;
  return Error{ErrorCode::kNotFound,
               "No executor has fetched anything yet: there is no cache at " + place->root.string() + ".", 0};
}

/// Names and versions of some bytes, as far as a history or what ran last tells.
std::vector<std::pair<std::string, Version>> names_of(const client::CachedBlob& blob,
                                                      const RetainedFiles& known) {
  std::set<std::pair<std::string, Version>> names(blob.ran_last.begin(), blob.ran_last.end());
  for (const KnownVersion& version : known.versions_of(blob.digest)) {
    names.emplace(version.module, version.version);
  }
  return {names.begin(), names.end()};
}

std::string text_of_names(const std::vector<std::pair<std::string, Version>>& names) {
  std::string text;
  for (const auto& [name, version] : names) {
    text += (text.empty() ? "" : ", ") + printable(name) + " " + std::to_string(version);
  }
  return text.empty() ? "-" : text;
}

Json json_of_names(const std::vector<std::pair<std::string, Version>>& names) {
  Json list = Json::array();
  for (const auto& [name, version] : names) list.push_back({{"name", name}, {"version", version}});
  return list;
}

std::string use_of(const client::CachedBlob& blob) {
  if (!blob.in_use) return "not in use";
  std::string text;
  for (std::size_t i = 0; i < blob.processes.size() && i < kProcessesTold; ++i) {
    text += (i == 0 ? "pid " : ", ") + std::to_string(blob.processes[i]);
  }
  if (blob.processes.size() > kProcessesTold) {
    text += " and " + std::to_string(blob.processes.size() - kProcessesTold) + " more";
  }
  return text.empty() ? "ran last" : text;
}

int list(const CacheFlags& flags) {
  const auto cache = open(flags);
  if (!cache) return failed(cache.error());
  const auto blobs = (*cache)->list();
  if (!blobs) return failed(blobs.error());
  const RetainedFiles known = retained_files_of_user(flags.directory);
  const WallTime now = SystemClock().wall_now();
  Table table;
  std::string lines;
  std::uint64_t bytes = 0;
  for (const client::CachedBlob& blob : *blobs) {
    bytes += blob.size;
    const auto names = names_of(blob, known);
    if (flags.json) {
      lines += line_of(Json{{"digest", blob.digest.to_string()},
                            {"size", blob.size},
                            {"modules", json_of_names(names)},
                            {"in_use", blob.in_use},
                            {"pids", blob.processes},
                            {"ran_last", !blob.ran_last.empty()},
                            {"used_at", utc_time(blob.used_at)}}) +
               "\n";
      continue;
    }
    table.add({{text_of_names(names)},
               {human_size(blob.size)},
               {use_of(blob), blob.in_use ? Colour::kGood : Colour::kDim},
               {human_age(now - blob.used_at)},
               {blob.digest.hex().substr(0, kDigestDigits), Colour::kDim}});
  }
  if (!flags.json) {
    lines = table.render(Palette::for_descriptor(STDOUT_FILENO), "") + counted(blobs->size(), "file") + ", " +
            human_size(bytes) + "\n";
  }
  return answered(lines);
}

int verify(const CacheFlags& flags) {
  const auto cache = open(flags);
  if (!cache) return failed(cache.error());
  const auto check = (*cache)->verify();
  if (!check) return failed(check.error());
  const RetainedFiles known = retained_files_of_user(flags.directory);
  Json damaged = Json::array();
  std::string lines;
  for (const Digest& digest : check->damaged) {
    client::CachedBlob blob;
    blob.digest = digest;
    const auto names = names_of(blob, known);
    damaged.push_back({{"digest", digest.to_string()}, {"modules", json_of_names(names)}});
    lines += "damaged  " + text_of_names(names) + "  " + digest.to_string() +
             "  moved aside; the next executor that needs it fetches it anew\n";
  }
  if (flags.json) {
    lines = line_of(Json{{"files", check->blobs}, {"bytes", check->bytes}, {"damaged", std::move(damaged)}}) +
            "\n";
  } else {
    lines += counted(check->blobs, "file") + ", " + human_size(check->bytes) + " sound, " +
             std::to_string(check->damaged.size()) + " damaged\n";
  }
  const int told = answered(lines);
  return check->damaged.empty() ? told : kFailed;
}

int collect(const CacheFlags& flags) {
  const auto cache = open(flags);
  if (!cache) return failed(cache.error());
  const auto done =
      (*cache)->collect(flags.keep, SystemClock().wall_now(), std::chrono::hours(24) * flags.days);
  if (!done) return failed(done.error());
  if (flags.json) {
    return answered(line_of(Json{{"removed", done->removed},
                                 {"removed_bytes", done->removed_bytes},
                                 {"kept", done->kept},
                                 {"kept_bytes", done->kept_bytes},
                                 {"in_use", done->in_use},
                                 {"images_removed", done->images.removed},
                                 {"images_removed_bytes", done->images.removed_bytes},
                                 {"images_in_use", done->images.in_use}}) +
                    "\n");
  }
  std::string text = "removed " + counted(done->removed, "file") + ", " + human_size(done->removed_bytes);
  if (done->images.removed != 0) {
    text += ", and " + std::to_string(done->images.removed) + " private copies that nobody loads, " +
            human_size(done->images.removed_bytes);
  }
  text += "; kept " + counted(done->kept, "file") + ", " + human_size(done->kept_bytes);
  if (done->in_use != 0)
    text += ", of which " + std::to_string(done->in_use) + " had to stay because they are in use";
  return answered(text + "\n");
}

void add_common(CLI::App* command, const std::shared_ptr<CacheFlags>& flags) {
  command->add_option("--cache", flags->directory, "The executors' cache [the user's]")->type_name("DIR");
  command->add_flag("--json", flags->json, "JSON, one object a line");
}

}  // namespace

void add_cache(CLI::App& program, Invocation& chosen) {
  auto flags = std::make_shared<CacheFlags>();
  CLI::App* command = program.add_subcommand(
      "cache", "Show, verify and clean up what executors have fetched to this machine");
  command->require_subcommand(0, 1);
  add_common(command, flags);
  CLI::App* check = command->add_subcommand("verify", "Read every file, and move aside what is damaged");
  add_common(check, flags);
  CLI::App* clean =
      command->add_subcommand("collect", "Remove what no process uses, and what did not run last");
  add_common(clean, flags);
  clean->add_option("--keep", flags->keep, "Leave at most so much, least recently used first: 500MB, 2GB")
      ->type_name("SIZE")
      ->transform(CLI::AsSizeValue(true));
  clean->add_option("--unused-days", flags->days, "Remove what was not used for so many days [30]")
      ->type_name("N")
      ->transform(whole_number(0, 36500));
  command->callback([flags, check, clean, &chosen] {
    if (check->parsed()) {
      chosen = [flags] { return verify(*flags); };
    } else if (clean->parsed()) {
      chosen = [flags] { return collect(*flags); };
    } else {
      chosen = [flags] { return list(*flags); };
    }
  });
}

}  // namespace moddev::tools
