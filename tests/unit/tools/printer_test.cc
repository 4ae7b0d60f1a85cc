#include "tools/moddev/printer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <future>
#include <string>

namespace moddev::tools {
namespace {

/// A reader that reads only when it is told to.
struct Gate {
  std::promise<void> entered;
  std::promise<void> open;
  std::shared_future<void> opened = open.get_future().share();
};

TEST(LinePrinter, WritesLinesInOrderAndTheLastOnesToo) {
  std::string written;
  {
    LinePrinter printer([&](const std::string& text) { return written += text, true; }, {});
    for (int i = 0; i < 100; ++i) printer.print(std::to_string(i));
  }
  std::string expected;
  for (int i = 0; i < 100; ++i) expected += std::to_string(i) + "\n";
  EXPECT_EQ(written, expected);
}

TEST(LinePrinter, DropsTheOldestWhenNobodyReadsAndSaysHowMany) {
  Gate gate;
  std::string written;
  bool first = true;
  {
    LinePrinter printer(
        [&](const std::string& text) {
          written += text;
          if (first) {
            first = false;
            gate.entered.set_value();
            gate.opened.wait();
          }
          return true;
        },
        [](std::uint64_t count) { return std::to_string(count) + " missing"; });
    printer.print("first");
    gate.entered.get_future().wait();
    for (std::size_t i = 0; i < kWaitingLines + 3; ++i) printer.print("line " + std::to_string(i));
    gate.open.set_value();
  }
  EXPECT_TRUE(written.starts_with("first\n3 missing\nline 3\nline 4\n")) << written.substr(0, 60);
  EXPECT_TRUE(written.ends_with("line " + std::to_string(kWaitingLines + 2) + "\n"));
}

TEST(LinePrinter, AnEmptyNoteAboutMissingLinesIsNoLine) {
  Gate gate;
  std::string written;
  bool first = true;
  {
    LinePrinter printer(
        [&](const std::string& text) {
          written += text;
          if (first) {
            first = false;
            gate.entered.set_value();
            gate.opened.wait();
          }
          return true;
        },
        [](std::uint64_t) { return std::string(); });
    printer.print("first");
    gate.entered.get_future().wait();
    for (std::size_t i = 0; i < kWaitingLines + 1; ++i) printer.print("x");
    gate.open.set_value();
  }
  EXPECT_TRUE(written.starts_with("first\nx\nx\n")) << written.substr(0, 30);
}

TEST(LinePrinter, StopsWhenNobodyCanReadAnyMore) {
  std::atomic<int> writes = 0;
  {
    LinePrinter printer([&](const std::string&) { return ++writes, false; }, {});
    printer.print("one");
    while (writes == 0) std::this_thread::yield();
    printer.print("two");
  }
  EXPECT_EQ(writes, 1);
}

TEST(LinePrinter, DoesNotWaitForEverForAReader) {
  auto gate = std::make_shared<Gate>();
  const auto begin = std::chrono::steady_clock::now();
  {
    LinePrinter printer([gate](const std::string&) { return gate->opened.wait(), false; }, {});
    printer.print("stuck");
  }
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(took, kLastLinesPatience - std::chrono::milliseconds(50));
  EXPECT_LT(took, std::chrono::seconds(20));
  gate->open.set_value();
}

TEST(WriteAll, FillsAPipeThatDoesNotBlockAndGoesOn) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC), 0);
  const std::string text(1 << 20, 'x');
  auto reader = std::async(std::launch::async, [&] {
    std::size_t total = 0;
    std::array<char, 65536> piece{};
    while (total < text.size()) {
      const ssize_t got = ::read(ends[0], piece.data(), piece.size());
      if (got > 0) total += static_cast<std::size_t>(got);
      if (got < 0) std::this_thread::yield();
    }
    return total;
  });
  EXPECT_TRUE(write_all(ends[1], text));
  EXPECT_EQ(reader.get(), text.size());
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(WriteAll, SaysWhenItIsNotPossible) {
  EXPECT_FALSE(write_all(-1, "x"));
  EXPECT_TRUE(write_all(-1, ""));
}

}  // namespace
}  // namespace moddev::tools
