// The main program of a fuzz target where libFuzzer is not linked: runs every file of a corpus directory and
// mutations of it, the same in every run. It does not search; that is libFuzzer's work.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr int kMutationsPerFile = 400;

void run(const std::string& input) {
  // A copy of exactly this size, so that a sanitizer sees one byte too far.
  const std::vector<std::uint8_t> exact(input.begin(), input.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

std::string mutated(std::string input, std::mt19937_64& random) {
  const auto place = [&] { return static_cast<std::ptrdiff_t>(random() % (input.size() + 1)); };
  for (std::uint64_t changes = 1 + random() % 4; changes > 0; --changes) {
    const auto from = place();
    switch (random() % 5) {
      case 0:
        input.resize(static_cast<std::size_t>(from));
        break;
      case 1:
        input.insert(input.begin() + from, static_cast<char>(random()));
        break;
      case 2: {
        const auto to = std::max(from, std::min(place(), from + 64));
        const std::string piece(input.begin() + from, input.begin() + to);
        input.insert(static_cast<std::size_t>(place()), piece);
        break;
      }
      case 3:
        input.erase(static_cast<std::size_t>(from), random() % 8);
        break;
      default:
        if (from < static_cast<std::ptrdiff_t>(input.size())) {
          input[static_cast<std::size_t>(from)] = static_cast<char>(random() % 3 == 0 ? 0xff : random());
        }
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", argv[0]), 2;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::mt19937_64 random(1);
  run("");
  for (const auto& path : files) {
    std::ifstream file(path, std::ios::binary);
    const std::string input{std::istreambuf_iterator<char>(file), {}};
    run(input);
    for (int i = 0; i < kMutationsPerFile; ++i) run(mutated(input, random));
  }
  std::printf("%zu files, %d mutations of each\n", files.size(), kMutationsPerFile);
  return files.empty() ? 1 : 0;  // an empty corpus tests nothing
}
