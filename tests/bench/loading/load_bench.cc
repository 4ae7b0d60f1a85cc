// From bytes in memory to a prepared view, and the switch, beside what nobody can go below: dlopen() of a
// file that is there, and writing the file. p50 and p99 of many rounds, taken in turns within one run.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "client/src/transaction.h"
#include "tests/support/loading/executor.h"
#include "tests/support/loading/workshop.h"

namespace {

using namespace moddev;
using namespace moddev::testing;

double now_us() {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct Times {
  std::vector<double> all;
  void add(double time) { all.push_back(time); }
  double at(double quantile) {
    std::sort(all.begin(), all.end());
    return all[static_cast<std::size_t>(quantile * static_cast<double>(all.size() - 1))];
  }
};

std::string source(std::size_t size) {
  return "extern \"C\" { __attribute__((visibility(\"default\"))) extern const volatile long constant;\n"
         "const volatile long constant = 0x1122334455667788;\n"
         "extern const char filling[];\nconst char filling[" +
         std::to_string(size) + "] = {1};\nlong answer() { return constant + filling[5]; } }\n";
}

Bytes with_constant(const Bytes& bytes, std::int64_t number) {
  Bytes copy = bytes;
  const std::int64_t mark = 0x1122334455667788;
  const auto pattern = std::as_bytes(std::span(&mark, 1));
  const auto found = std::search(copy.begin(), copy.end(), pattern.begin(), pattern.end());
  std::memcpy(&*found, &number, sizeof number);
  return copy;
}

void one_size(Workshop& workshop, std::size_t filling, int rounds) {
  const Bytes library = *workshop.library("scorer", source(filling), {"-s"});
  Executor executor(workshop.directory() / "images");
  auto images = NativeImages::open(workshop.directory() / "direct");
  MemoryBlobStore cache;
  Trials trials;
  Repository repository;
  Times plain;
  Times write_and_open;
  Times transaction;
  Times loader;
  Times unload;
  for (int i = 0; i < rounds; ++i) {
    const SharedBytes bytes = share(with_constant(library, i));
    const std::string path = workshop.directory() / ("plain" + std::to_string(i) + ".so");
    const double begin = now_us();
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0500);
    if (::write(file, bytes->data(), bytes->size()) < 0) return;
    ::close(file);
    const double written = now_us();
    void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    const double opened = now_us();
    ::dlclose(handle);
    plain.add(opened - written);
    write_and_open.add(opened - begin);
    ::unlink(path.c_str());

    repository.native("scorer", bytes);
    const LoadPlan plan{repository.commit(), nullptr, {{digest_of(*bytes), bytes}}};
    {
      const double start = now_us();
      LoadOutcome outcome = run_transaction(plan, cache, images, trials);
      const double end = now_us();
      MODDEV_ASSERT(outcome.view != nullptr, "the benchmark's library loads");
      transaction.add(end - start);
      outcome.view.reset();
      (*images)->settle();
      unload.add(now_us() - end);
    }
    LoadPlan copy = plan;
    const double start = now_us();
    executor.loader().prepare(std::move(copy));
    LoadOutcome outcome = wait_for_outcome(executor.loader());
    loader.add(now_us() - start);
    executor.loader().retire(std::move(outcome.view));
    if (i % 64 == 0) executor.empty_cache();
  }
  std::printf("%7zu KiB  %14.1f %14.1f %14.1f (%.2fx) %10.1f (%.2fx) %10.1f   p99 %.1f / %.1f\n",
              library.size() / 1024, plain.at(0.5), write_and_open.at(0.5), transaction.at(0.5),
              transaction.at(0.5) / plain.at(0.5), loader.at(0.5), loader.at(0.5) / plain.at(0.5),
              unload.at(0.5), plain.at(0.99), transaction.at(0.99));
}

void many_modules(Workshop& workshop, int count, int rounds) {
  const Bytes library = *workshop.library("many", source(4096), {"-s"});
  auto images = NativeImages::open(workshop.directory() / "direct");
  MemoryBlobStore cache;
  Trials trials;
  Repository repository;
  ViewStore views;
  Times prepare;
  Times swap;
  Times collect;
  std::int64_t number = 0;
  for (int round = 0; round < rounds; ++round) {
    for (int m = 0; m < count; ++m) {
      repository.native("m" + std::to_string(m), share(with_constant(library, ++number)));
    }
    const LoadPlan plan{repository.commit(), views.current(), repository.bytes()};
    const double start = now_us();
    LoadOutcome outcome = run_transaction(plan, cache, images, trials);
    const double prepared = now_us();
    views.publish(std::move(outcome.view), TimePoint{});
    const double switched = now_us();
    auto drained = views.collect();
    const double collected = now_us();
    drained.clear();
    (*images)->settle();
    prepare.add(prepared - start);
    swap.add(switched - prepared);
    collect.add(collected - switched);
    repository = Repository(repository.manifest());
  }
  views.publish(nullptr, TimePoint{});
  views.collect().clear();
  std::printf("%4d modules  prepare %9.1f us (%.1f each), switch %.2f us, finding it drained %.2f us\n",
              count, prepare.at(0.5), prepare.at(0.5) / count, swap.at(0.5), collect.at(0.5));
}

}  // namespace

int main() {
  Workshop workshop;
  std::printf(
      "prepare, us, median           dlopen   write+dlopen    transaction            over the thread     "
      "unload\n");
  one_size(workshop, 1024, 400);
  one_size(workshop, 48UL * 1024, 400);
  one_size(workshop, 640UL * 1024, 100);
  std::printf("\nswitch, 4 KiB modules, all changed, median\n");
  many_modules(workshop, 1, 200);
  many_modules(workshop, 10, 50);
  many_modules(workshop, 100, 10);
  return 0;
}
