// `moddev fetch NAME` and `moddev fetch --epoch N`: the bytes of one module, or of all that an epoch names,
// verified, into files that are never half there.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/src/limits.h"
#include "protocol/digest.h"
#include "protocol/limits.h"
#include "protocol/name_match.h"
#include "protocol/patch.h"
#include "tools/moddev/asking.h"
#include "tools/moddev/command.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/numbers.h"
#include "tools/moddev/output_file.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {
namespace {

/// For one piece of a module.
constexpr auto kPiecePatience = std::chrono::seconds(30);

struct FetchFlags {
  std::string name;
  Version version = 0;
  Epoch epoch = 0;
  std::string output;
  std::string endpoint;
};

/// Whether `path` is a regular file of these bytes.
bool has_digest(const std::string& path, const Digest& digest) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  std::ifstream file(path, std::ios::binary);
  Hasher hasher;
  std::vector<char> piece(limits::kChunkBytes);
  while (file.read(piece.data(), static_cast<std::streamsize>(piece.size())), file.gcount() > 0) {
    hasher.update(std::as_bytes(std::span(piece.data(), static_cast<std::size_t>(file.gcount()))));
  }
  return hasher.finish() == digest;
}

/// Takes the bytes as they come, hashes them, and gives the file its name when they are all there and right.
class Output {
 public:
  /// `careful`: what is there already is not replaced.
  static Result<std::unique_ptr<Output>> open(const std::string& path, bool careful) {
    auto file =
        OutputFile::open(path, careful ? OutputFile::Existing::kKeep : OutputFile::Existing::kReplace);
    if (!file) return file.error();
    return std::unique_ptr<Output>(new Output(path, std::move(*file)));
  }

  Status write(const Bytes& bytes) {
    hasher_.update(bytes);
    size_ += bytes.size();
    return file_->write(bytes);
  }

  Status finish(const ModuleEntry& module) {
    if (size_ != module.size || hasher_.finish() != module.digest) {
      return Error{
          ErrorCode::kCorrupt,
          "The bytes of " + module.name + " " + std::to_string(module.version) + " do not have its digest; " +
              (file_->is_stream() ? "do not use what was written." : "nothing was written.") + " Ask again."};
    }
    const Status finished = file_->finish();
    if (finished || finished.error().code != ErrorCode::kAlreadyExists) return finished;
    if (has_digest(path_, module.digest)) return {};
    return Error{ErrorCode::kAlreadyExists, path_ +
                                                " is there already with other bytes and was left alone. Name "
                                                "a file with -o FILE."};
  }

  [[nodiscard]] bool is_standard_output() const { return file_->is_standard_output(); }

 private:
  Output(std::string path, std::unique_ptr<OutputFile> file)
      : path_(std::move(path)), file_(std::move(file)) {}

  std::string path_;
  std::unique_ptr<OutputFile> file_;
  Hasher hasher_;
  std::uint64_t size_ = 0;
};

Result<ModuleReply> find_module(client::Requester& daemon, const FetchFlags& flags) {
  const ModuleRequest exact{flags.name, 0, {}, flags.version};
  auto reply = daemon.ask_for<ModuleReply>(exact, kPiecePatience);
  if (reply || reply.error().code != ErrorCode::kNotFound) return reply;
  auto status = daemon.ask_for<StatusReply>(StatusRequest{}, kAnswerPatience);
  if (!status) return status.error();
  std::vector<std::string> names;
  for (const ModuleEntry& module : status->modules) names.push_back(module.name);
  const auto name = match_name(flags.name, names);
  if (!name) return name.error();
  if (*name == flags.name) return reply;  // it is the version that is not there
  return daemon.ask_for<ModuleReply>(ModuleRequest{*name, 0, {}, flags.version}, kPiecePatience);
}

/// Over a socket of this machine whole bytes are faster.
bool may_come_encoded(const client::Requester& daemon, const ModuleEntry& module) {
  return !daemon.endpoint().starts_with("ipc:") && module.size >= client::limits::kEncodedFrom &&
         module.size <= client::limits::kEncodedUpTo;
}

Error wrong_piece() {
  return {ErrorCode::kCorrupt, "The daemon sent a piece of another size than it was asked for."};
}

/// The piece from `offset` on, of the module's bytes or of what they are encoded in.
Result<BlobReply> take_piece(client::Requester& daemon, const ModuleEntry& module, std::uint64_t offset,
                             bool encoded) {
  BlobRequest request{module.digest, offset,
                      std::min<std::uint64_t>(limits::kChunkBytes, module.size - offset)};
  if (encoded) request.accept = {Encoding::kZstd};
  auto piece = daemon.ask_for<BlobReply>(request, kPiecePatience);
  if (!piece) return piece.error();
  if (!piece->bytes || piece->bytes->empty() || piece->bytes->size() > request.length) return wrong_piece();
  return piece;
}

/// The frame whose first piece is `first`; decoded and checked.
Status take_encoded(client::Requester& daemon, const ModuleEntry& module, const BlobReply& first,
                    Output& output) {
  if (first.wire_total >= module.size) return wrong_piece();
  Bytes frame = *first.bytes;
  while (frame.size() < first.wire_total) {
    const auto piece = take_piece(daemon, module, frame.size(), true);
    if (!piece) return piece.error();
    if (piece->encoding != Encoding::kZstd || piece->wire_total != first.wire_total)
      return Error{ErrorCode::kUnavailable,
                   "The daemon encoded " + module.name + " anew meanwhile. Ask again."};
    frame.insert(frame.end(), piece->bytes->begin(), piece->bytes->end());
  }
  const auto bytes = decompress(frame, module.digest, module.size);
  if (!bytes) return bytes.error();
  return output.write(*bytes);
}

Status take_pieces(client::Requester& daemon, const ModuleEntry& module, Output& output) {
  const bool encoded = may_come_encoded(daemon, module);
  for (std::uint64_t offset = 0; offset < module.size;) {
    const auto piece = take_piece(daemon, module, offset, encoded && offset == 0);
    if (!piece) return piece.error();
    if (piece->encoding != Encoding::kPlain) return take_encoded(daemon, module, *piece, output);
    MODDEV_TRY(output.write(*piece->bytes));
    offset += piece->bytes->size();
  }
  return {};
}

/// `bytes`: those that came already. A line about it is added to `told`.
Status write_module(client::Requester& daemon, const ModuleEntry& module, const SharedBytes& bytes,
                    const std::string& path, bool careful, std::string& told) {
  auto output = Output::open(path, careful);
  if (!output) return output.error();
  if (Status taken = bytes ? (*output)->write(*bytes) : take_pieces(daemon, module, **output); !taken)
    return explained(taken.error(), "");
  MODDEV_TRY((*output)->finish(module));
  if ((*output)->is_standard_output()) return {};
  told += printable(module.name) + " " + std::to_string(module.version) + "  " + human_size(module.size) +
          "  " + module.digest.to_string() + "  " + path + "\n";
  return {};
}

/// The file's name without its directories.
std::string file_of(const FetchFlags& flags, const ModuleEntry& module) {
  return flags.output.empty() ? module.path.substr(module.path.rfind('/') + 1) : flags.output;
}

Status fetch_one(client::Requester& daemon, const FetchFlags& flags, std::string& told) {
  const auto found = find_module(daemon, flags);
  if (!found) return explained(found.error(), "");
  return write_module(daemon, found->module, found->bytes, file_of(flags, found->module),
                      flags.output.empty(), told);
}

/// As it was in an epoch: one module, or each at its path below the output directory.
Status fetch_epoch(client::Requester& daemon, const FetchFlags& flags, std::string& told) {
  const auto reply = daemon.ask_for<ManifestReply>(ManifestRequest{flags.epoch}, kAnswerPatience);
  if (!reply) return explained(reply.error(), "");
  const Manifest& manifest = reply->manifest;
  if (!flags.name.empty()) {
    std::vector<std::string> names;
    for (const auto& [name, module] : manifest.modules) names.push_back(name);
    const auto name = match_name(flags.name, names);
    if (!name) return name.error().with_context("Epoch " + std::to_string(flags.epoch));
    const ModuleEntry& module = manifest.modules.at(*name);
    return write_module(daemon, module, nullptr, file_of(flags, module), flags.output.empty(), told);
  }
  const std::filesystem::path directory = flags.output.empty() ? "." : flags.output;
  for (const auto& [name, module] : manifest.modules) {
    const std::filesystem::path path = directory / module.path;
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    if (error) return errno_error("Cannot make " + path.parent_path().string(), error.value());
    MODDEV_TRY(write_module(daemon, module, nullptr, path.string(), true, told));
  }
  return {};
}

int run_fetch(const FetchFlags& flags) {
  if (flags.name.empty() && flags.output == "-") {
    complain(
        "A whole epoch is many files: -o names the directory for them, standard output takes one module. "
        "Name "
        "it, or a directory. See `moddev fetch --help`.");
    return kWrongUsage;
  }
  auto daemon = reach_daemon(flags.endpoint);
  if (!daemon) return failed(daemon.error());
  std::string told;
  const Status done =
      flags.epoch != 0 ? fetch_epoch(**daemon, flags, told) : fetch_one(**daemon, flags, told);
  const int written = told.empty() ? kDone : answered(told);
  return done ? written : failed(done.error());
}

}  // namespace

void add_fetch(CLI::App& program, Invocation& chosen) {
  auto flags = std::make_shared<FetchFlags>();
  CLI::App* command = program.add_subcommand("fetch", "Write one module's bytes, verified, to a file");
  command
      ->add_option("NAME", flags->name,
                   "The module, or a part of its name that fits only one; with --epoch: else all of them")
      ->type_name("");
  CLI::Option* version =
      command->add_option("--version", flags->version, "This version instead of the newest one")
          ->type_name("N")
          ->transform(whole_number(1));
  command->add_option("--epoch", flags->epoch, "As it was in this epoch")
      ->type_name("N")
      ->transform(whole_number(1))
      ->excludes(version);
  command
      ->add_option("-o,--output", flags->output,
                   "The file to write, - for standard output [the module's file name]; for a whole epoch the "
                   "directory [the working directory]")
      ->type_name("FILE");
  command->add_option("--endpoint", flags->endpoint, kEndpointHelp)->type_name("ENDPOINT");
  command->callback([flags, &chosen] {
    if (flags->name.empty() && flags->epoch == 0) throw CLI::RequiredError("NAME");
    chosen = [flags] { return run_fetch(*flags); };
  });
}

}  // namespace moddev::tools
