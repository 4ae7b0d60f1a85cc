// A worker for tests on real processes. It behaves as its arguments say:
//   --ready              says READY=1 on NOTIFY_SOCKET
//   --listen PORT        listens there (SO_REUSEPORT), without a word
//   --exit CODE          ends with this code at once; --abort: by SIGABRT
//   --stopping           says READY=1, then STOPPING=1, and goes on
//   --stubborn           ignores SIGTERM
//   --child              has a child in its process group that ignores SIGTERM, and prints its pid to --out
//   FILE
//   --out FILE           writes "WORKER PID NAME=VALUE..." of its MODDEV_ and LISTEN_ variables there
// and then waits for SIGTERM, on which it ends with 0.
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace {

void notify(const char* text) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ::sendto(descriptor, text, std::strlen(text), 0, reinterpret_cast<const sockaddr*>(&address),
           sizeof address);
  ::close(descriptor);
}

void listen_at(int port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
  const int yes = 1;
  ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(descriptor, 16) != 0) {
    std::_Exit(9);
  }
}

const char* variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "-" : value;
}

}  // namespace

int main(int argc, char** argv) {
  sigset_t awaited;
  ::sigemptyset(&awaited);
  ::sigaddset(&awaited, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &awaited, nullptr);
  bool stubborn = false;
  pid_t child = 0;
  std::string out;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (argument == "--ready") notify("STATUS=up\nREADY=1");
    if (argument == "--stopping") {
      notify("READY=1");
      notify("STOPPING=1");
    }
    if (argument == "--listen") listen_at(std::atoi(value));
    if (argument == "--exit") return std::atoi(value);
    if (argument == "--abort") std::abort();
    if (argument == "--stubborn") stubborn = true;
    if (argument == "--child") {
      child = ::fork();
      if (child == 0) {
        for (;;) ::pause();
      }
    }
    if (argument == "--out") out = value;
  }
  if (!out.empty()) {
    std::FILE* file = std::fopen((out + ".new").c_str(), "w");
    if (file == nullptr) return 8;
    std::fprintf(file, "worker=%s pid=%d child=%d endpoint=%s listen_fds=%s listen_pid=%s group=%d\n",
                 variable("MODDEV_WORKER"), ::getpid(), child, variable("MODDEV_ENDPOINT"),
                 variable("LISTEN_FDS"), variable("LISTEN_PID"), ::getpgrp());
    std::fclose(file);
    std::rename((out + ".new").c_str(), out.c_str());
  }
  for (;;) {
    int number = 0;
    ::sigwait(&awaited, &number);
    if (!stubborn) return 0;
  }
}
