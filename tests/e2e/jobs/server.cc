// A small HTTP server for the tests of `moddev supervise`, written as real ones are: it takes its socket from
// its supervisor (LISTEN_FDS), says READY=1, and on SIGTERM answers what it has begun and ends.
//   jobs_server --file PATH          answers with the file's content at its start; embeds nothing of moddev
//   jobs_server --module M:SYMBOL    answers with what extern "C" long long SYMBOL(void) returns now, through
//                                    moddev::client
// GET /slow takes a while. The answer is "CONTENT PID". A file that begins with "bad" ends it before it is
// ready.
#include <moddev/client.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

constexpr int kListener = 3;  // sd_listen_fds(3)
constexpr int kThreads = 4;
constexpr auto kSlow = std::chrono::milliseconds(150);

void say_ready() {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  constexpr char kReady[] = "READY=1";
  ::sendto(descriptor, kReady, sizeof kReady - 1, 0, reinterpret_cast<const sockaddr*>(&address),
           sizeof address);
  ::close(descriptor);
}

std::string read_request(int connection) {
  std::string request;
  std::array<char, 1024> piece{};
  while (request.find("\r\n\r\n") == std::string::npos) {
    const ssize_t size = ::recv(connection, piece.data(), piece.size(), 0);
    if (size <= 0) return {};
    request.append(piece.data(), static_cast<std::size_t>(size));
  }
  return request;
}

void answer(int connection, const std::function<std::string()>& content) {
  const std::string request = read_request(connection);
  if (!request.empty()) {
    if (request.starts_with("GET /slow")) std::this_thread::sleep_for(kSlow);
    const std::string body = content() + " " + std::to_string(::getpid()) + "\n";
    const std::string reply =
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: " +
        std::to_string(body.size()) + "\r\n\r\n" + body;
    ::send(connection, reply.data(), reply.size(), MSG_NOSIGNAL);
  }
  ::close(connection);
}

/// Until `stop` is readable. The listener is shared with other processes and never blocks.
void serve(int stop, const std::function<std::string()>& content) {
  for (;;) {
    std::array<pollfd, 2> waiting{pollfd{stop, POLLIN, 0}, pollfd{kListener, POLLIN, 0}};
    ::poll(waiting.data(), waiting.size(), -1);
    if (waiting[0].revents != 0) return;
    const int connection = ::accept4(kListener, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection >= 0) answer(connection, content);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 || std::getenv("LISTEN_FDS") == nullptr) return 2;
  sigset_t awaited;
  ::sigemptyset(&awaited);
  ::sigaddset(&awaited, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &awaited, nullptr);
  int nonblocking = 1;
  ::ioctl(kListener, FIONBIO, &nonblocking);

  std::function<std::string()> content;
  std::optional<moddev::Client> client;
  std::optional<moddev::Function<long long()>> function;
  const std::string what(argv[2]);
  if (std::string_view(argv[1]) == "--file") {
    std::ifstream file(what);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file || text.starts_with("bad")) return 3;
    content = [text] { return text; };
  } else {
    moddev::ClientOptions options;
    options.name = "server";
    auto connected = moddev::Client::connect(std::move(options));
    if (!connected) return 4;
    client.emplace(std::move(*connected));
    const std::size_t colon = what.find(':');
    if (!client->wait_for(what.substr(0, colon), std::chrono::seconds(20))) return 5;
    function.emplace(client->function<long long()>(what.substr(0, colon), what.substr(colon + 1)));
    content = [&function] { return std::to_string((*function)()); };
  }

  std::array<int, 2> stop{};
  if (::pipe(stop.data()) != 0) return 6;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back([&] { serve(stop[0], content); });
  say_ready();
  int number = 0;
  ::sigwait(&awaited, &number);
  ::close(stop[1]);
  for (std::thread& thread : threads) thread.join();
  return 0;
}
