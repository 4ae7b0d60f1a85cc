// The file that a user named for data: written beside its place and put there in one step, when all of it is
// there. What is no regular file (a FIFO, a device, standard output) is written into as the data comes. Knows
// nothing of what is written.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "protocol/descriptor.h"
#include "protocol/result.h"

namespace moddev::tools {

class OutputFile {
 public:
  enum class Existing : std::uint8_t {
    kReplace,  // a regular file, or the one that a symbolic link leads to; others are written into
    kKeep,     // finish() fails when there is anything, be it a link to nothing
  };

  /// `path`: "-" is standard output. Opening a FIFO waits for its reader, as it does for every program
  /// (fifo(7)). A file that is there is not touched before finish(). Errors: kAlreadyExists, kIo; they name
  /// the path.
  static Result<std::unique_ptr<OutputFile>> open(const std::string& path, Existing existing);
  /// Without finish() nothing is at the path that was not there before; only what is no regular file has got
  /// bytes.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  Status write(std::span<const std::byte> bytes);
  /// Gives the file its name. One that was replaced hands on its mode, and where that is allowed its owner; a
  /// new one gets 0666 less the umask.
  Status finish();

  /// Whether a reader may have seen bytes already: they cannot be taken back.
  [[nodiscard]] bool is_stream() const { return stream_; }
  /// Whether it is what standard output is, by whatever name: nothing else may be printed there.
  [[nodiscard]] bool is_standard_output() const;

 private:
  OutputFile(std::string path, Existing existing) : path_(std::move(path)), existing_(existing) {}
  Status open_stream();
  Status open_beside();
  Status set_mode();
  Status put_in_place();
  [[nodiscard]] Error cannot_write(int error) const;

  std::string path_;    // as the user said it
  std::string target_;  // where its links lead
  Existing existing_;
  bool stream_ = false;
  Descriptor descriptor_;
  std::string temporary_;  // empty while the file has no name
};

}  // namespace moddev::tools
