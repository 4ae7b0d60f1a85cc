#include "tools/moddev/diagnostics.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <system_error>

#include "tools/moddev/command.h"
#include "tools/moddev/printer.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {
namespace {

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    const bool coloured = Palette::for_descriptor(STDERR_FILENO).coloured();
    auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>(coloured ? spdlog::color_mode::always
                                                                               : spdlog::color_mode::never);
    auto made = std::make_shared<spdlog::logger>("moddev", std::move(sink));
    made->set_pattern("%^moddev:%$ %v");
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *instance;
}

}  // namespace

void complain(std::string_view message) {
  logger().error("{}", printable(message));
}

void mention(std::string_view message) {
  logger().warn("{}", printable(message));
}

int failed(const Error& error) {
  complain(error.message);
  return error.code == ErrorCode::kInvalidArgument ? kWrongUsage : kFailed;
}

int answered(std::string_view data) {
  return write_output(data, "") ? kDone : kFailed;
}

bool write_output(std::string_view text, std::string_view consequence) {
  if (write_all(STDOUT_FILENO, text)) return true;
  const int problem = errno;
  if (problem != EPIPE) {
    complain("Cannot write to standard output: " + std::system_category().message(problem) +
             std::string(consequence) + ".");
  }
  return false;
}

}  // namespace moddev::tools
