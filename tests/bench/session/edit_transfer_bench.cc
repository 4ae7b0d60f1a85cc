// A one-line edit of a large library with debug information: bytes and time for the whole, compressed, and as
// a patch. Real files from the real compiler.
//   edit_transfer_bench [MEGABYTES]      (50 when nothing is said)
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "protocol/digest.h"
#include "protocol/patch.h"

namespace {

namespace fs = std::filesystem;
using moddev::Bytes;
using Clock = std::chrono::steady_clock;

/// Templates make much debug information from little source.
std::string bulk(unsigned functions) {
  std::string text = "#include <map>\n#include <string>\n#include <vector>\n#include <algorithm>\n";
  for (unsigned i = 0; i < functions; ++i) {
    const std::string n = std::to_string(i);
    text += "struct T" + n + " { int a[" + std::to_string(1 + i % 50) + "]; bool operator<(const T" + n +
            "& o) const { return a[0] < o.a[0]; } };\n"
            "long f" +
            n + "(const std::string& s) { std::map<T" + n + ", std::vector<T" + n + ">> m; m[T" + n +
            "{}].push_back({}); std::vector<T" + n +
            "> v(s.size()); std::sort(v.begin(), v.end());"
            " return static_cast<long>(m.size() + v.size()); }\n";
  }
  return text;
}

void run(const std::string& command) {
  if (std::system(command.c_str()) == 0) return;
  std::fprintf(stderr, "edit_transfer_bench: %s failed\n", command.c_str());
  std::exit(1);
}

/// One of the many parts that are not edited: an object file.
void compile_bulk(const fs::path& directory, unsigned functions) {
  std::ofstream(directory / "bulk.cc") << bulk(functions);
  run("c++ -g -O0 -std=c++17 -fPIC -c -o " + (directory / "bulk.o").string() + " " +
      (directory / "bulk.cc").string());
}

/// The library after the part with the edited line was compiled and all was linked anew, as a build does.
Bytes link_with(const fs::path& directory, int answer) {
  const std::string library = (directory / "lib.so").string();
  std::ofstream(directory / "part.cc") << "extern \"C\" int answer() {\n  return " << answer << ";\n}\n";
  run("c++ -g -O0 -std=c++17 -shared -fPIC -Wl,--build-id -o " + library + " " +
      (directory / "part.cc").string() + " " + (directory / "bulk.o").string());
  std::ifstream in(library, std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const auto bytes = moddev::as_bytes(all);
  return {bytes.begin(), bytes.end()};
}

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void line(const char* name, std::size_t bytes, double encode, double decode) {
  const double mib = static_cast<double>(bytes) / 1048576.0;
  std::printf(
      "%-8s %12zu bytes  encode %8.1f ms  decode %8.1f ms  at 1 Gbit/s %8.1f ms  at 100 Mbit/s %9.1f ms\n",
      name, bytes, encode, decode, encode + decode + mib * 8.389, encode + decode + mib * 83.89);
}

}  // namespace

int main(int argc, char** argv) {
  const double wanted = (argc > 1 ? std::atof(argv[1]) : 50.0) * 1e6;
  char name[] = "/tmp/moddev-edit-XXXXXX";
  if (::mkdtemp(name) == nullptr) return 1;
  const fs::path directory = name;
  constexpr unsigned kSample = 20;
  compile_bulk(directory, kSample);
  const double each = static_cast<double>(link_with(directory, 1).size()) / kSample;
  compile_bulk(directory, static_cast<unsigned>(std::max(1.0, wanted / each)));
  const Bytes before = link_with(directory, 1);
  const Bytes after = link_with(directory, 2);
  fs::remove_all(directory);
  const auto base = moddev::digest_of(before);
  const auto target = moddev::digest_of(after);
  std::printf("a library of %zu bytes with -g, one line edited; times of one core, all digests verified\n",
              after.size());

  Clock::time_point start = Clock::now();
  const bool same = moddev::digest_of(after) == target;
  line("whole", after.size(), 0, ms_since(start));
  start = Clock::now();
  const auto compressed = moddev::compress(after);
  const double compressing = ms_since(start);
  start = Clock::now();
  const auto decompressed = moddev::decompress(*compressed, target, after.size());
  line("zstd", compressed->size(), compressing, ms_since(start));
  start = Clock::now();
  const auto patch = moddev::make_patch(before, base, after, target);
  const double patching = ms_since(start);
  start = Clock::now();
  const auto patched = moddev::apply_patch(before, *patch, target, after.size());
  line("patch", patch->size(), patching, ms_since(start));
  return same && decompressed.ok() && patched.ok() && *patched == after ? 0 : 1;
}
