"""The style check finds what it is for: each rule is shown a text that breaks it, and one that keeps it."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tools" / "style"))
import rules  # noqa: E402


def texts(problems):
    return [problem.text for problem in problems]


class Directions(unittest.TestCase):
    # who includes what, and whether that may be
    TABLE = [
        ("protocol/names.cc", '#include "protocol/names.h"', True),
        ("protocol/names.cc", '#include "watcher/tree.h"', False),
        ("protocol/names.cc", "#include <moddev/client.h>", False),
        ("watcher/tree.cc", '#include "protocol/names.h"', True),
        ("watcher/tree.cc", '#include "daemon/daemon.h"', False),
        ("watcher/tree.cc", '#include "client/src/view.h"', False),
        ("daemon/daemon.cc", '#include "watcher/watcher.h"', True),
        ("daemon/daemon.cc", '#include "client/src/session.h"', False),
        ("daemon/daemon.cc", '#include "tools/moddev/json.h"', False),
        ("client/src/session.cc", '#include "protocol/link.h"', True),
        ("client/src/session.cc", "#include <moddev/view.h>", True),
        ("client/src/session.cc", '#include "daemon/daemon.h"', False),
        ("client/src/session.cc", '#include "watcher/watcher.h"', False),
        ("client/include/moddev/client.h", "#include <moddev/protocol/result.h>", True),
        ("client/include/moddev/client.h", '#include "client/src/view.h"', False),
        ("client/src/client.cc", "#include <moddev/standalone.h>", False),
        ("standalone/src/standalone.cc", "#include <moddev/standalone.h>", True),
        ("standalone/src/standalone.cc", '#include "daemon/daemon.h"', True),
        ("tools/moddev/watch.cc", '#include "daemon/daemon.h"', True),
        ("tools/moddev/watch.cc", '#include "tests/support/world/random.h"', False),
        ("tests/unit/x_test.cc", '#include "tools/moddev/json.h"', True),
        ("daemon/daemon.cc", '#include "fleet.h"', False),
        # libraries stay in their wrappers
        ("daemon/journal.cc", "#include <sqlite3.h>", True),
        ("daemon/daemon.cc", "#include <sqlite3.h>", False),
        ("protocol/codec_events.cc", "#include <msgpack.hpp>", True),
        ("daemon/request_handler.cc", "#include <msgpack.hpp>", False),
        ("client/src/zmq_link.cc", "#include <zmq.hpp>", True),
        ("client/src/zmq_link.h", "#include <zmq.hpp>", False),
        ("client/src/session.cc", "#include <spdlog/spdlog.h>", False),
        ("client/src/session.cc", "#include <unheard/of.h>", False),
        ("client/src/session.cc", "#include <sys/stat.h>", True),
        ("client/src/session.cc", "  #  include <gtest/gtest.h>", False),
        ("tests/unit/x_test.cc", "#include <gtest/gtest.h>", True),
    ]

    def test_each_folder_includes_what_its_duty_allows(self):
        for path, line, allowed in self.TABLE:
            with self.subTest(path=path, line=line):
                self.assertEqual(allowed, not list(rules.check_directions(path, line + "\n")))

    def test_a_problem_names_file_line_and_rule(self):
        problems = list(rules.check_directions("protocol/a.cc", '\n#include "daemon/daemon.h"\n'))
        self.assertEqual("protocol/a.cc:2: includes daemon/daemon.h of daemon/, but protocol/ may include "
                         "nothing of ours", str(problems[0]))


class Time(unittest.TestCase):
    def test_only_the_seam_reads_a_clock(self):
        for line in ("auto t = std::chrono::steady_clock::now();", "::clock_gettime(CLOCK_MONOTONIC, &t);",
                     "auto t = time(nullptr);", "std::time(&t);"):
            with self.subTest(line=line):
                self.assertTrue(list(rules.check_time("daemon/fleet.cc", line)))
                self.assertTrue(list(rules.check_time("client/src/zmq_link.cc", line)))
                self.assertFalse(list(rules.check_time("protocol/clock.cc", line)))

    def test_a_core_neither_sleeps_nor_waits(self):
        for line in ("std::this_thread::sleep_for(1ms);", "usleep(10);", "#include <thread>", "#include <poll.h>"):
            with self.subTest(line=line):
                self.assertTrue(list(rules.check_time("client/src/session.cc", line)))
                self.assertFalse(list(rules.check_time("daemon/event_loop.cc", line)))

    def test_words_and_comments_are_no_calls(self):
        for line in ("// sleep_for(1s) would be wrong", 'throw Error("usleep(3) failed");', "run_time(0);",
                     "session.time(0);"):
            with self.subTest(line=line):
                self.assertFalse(list(rules.check_time("daemon/fleet.cc", line)))


class Shape(unittest.TestCase):
    def test_a_header_says_what_it_is_for(self):
        self.assertFalse(list(rules.check_shape("daemon/a.h", "// What it is for.\n#pragma once\n")))
        self.assertFalse(list(rules.check_shape("daemon/a.h", "/* For C. */\n#ifndef A_H\n#define A_H\n#endif\n")))
        self.assertTrue(list(rules.check_shape("daemon/a.h", "#pragma once\n")))
        self.assertTrue(list(rules.check_shape("daemon/a.h", "// Words.\nint x;\n")))

    def test_nothing_is_left_for_later(self):
        later = "// TO" "DO: the rest\n"
        self.assertTrue(list(rules.check_shape("daemon/a.cc", later)))
        self.assertFalse(list(rules.check_shape("daemon/a.cc", "// todolist\n")))


class Registration(unittest.TestCase):
    def test_a_file_without_a_target_is_found(self):
        problems = list(rules.check_registered(["tests/unit/a/b_test.cc", "daemon/c.cc"], {"daemon/c.cc"}, ""))
        self.assertEqual(["tests/unit/a/b_test.cc"], [problem.path for problem in problems])

    def test_a_file_that_a_test_compiles_itself_is_not(self):
        self.assertFalse(list(rules.check_registered(["tests/e2e/a/module.cc"], set(), 'compile("module.cc")')))

    def test_a_room_that_no_loop_includes_is_found(self):
        names = rules.included_lists("foreach(kind unit e2e)\n  foreach(room protocol house)\n")
        problems = list(rules.check_room_lists(["tests/unit/house.cmake", "tests/unit/new.cmake"], names))
        self.assertEqual(["tests/unit/new.cmake"], [problem.path for problem in problems])


class Quotes(unittest.TestCase):
    def test_documentation_shows_files_as_they_are(self):
        page = "Text.\n\n<!-- a/b.cc -->\n```cpp\nint x;\n```\n"
        self.assertFalse(list(rules.check_quotes("README.md", page, lambda name: "int x;\n")))
        self.assertTrue(list(rules.check_quotes("README.md", page, lambda name: "int y;\n")))
        self.assertTrue(list(rules.check_quotes("README.md", page, lambda name: None)))


class Command(unittest.TestCase):
    """The command itself, on a small tree of its own."""

    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="moddev-style-"))
        self.addCleanup(shutil.rmtree, self.root)
        (self.root / "protocol").mkdir()
        shutil.copy(ROOT / ".clang-format", self.root)
        self.write("protocol/names.h", "// Names.\n#pragma once\n\nint name();\n")

    def write(self, path, text):
        (self.root / path).write_text(text)

    def check(self, *arguments):
        return subprocess.run([ROOT / "tools/style/check", "--root", self.root, *arguments], text=True,
                              capture_output=True, check=False)

    def test_a_clean_tree_passes_quietly(self):
        result = self.check()
        self.assertEqual((0, "", ""), (result.returncode, result.stdout, result.stderr))

    def test_a_planted_wrong_include_fails(self):
        self.write("protocol/names.cc", '#include "protocol/names.h"\n\n#include "daemon/daemon.h"\n')
        result = self.check()
        self.assertEqual(1, result.returncode)
        self.assertIn("protocol/names.cc:3: includes daemon/daemon.h", result.stdout)

    def test_a_file_that_is_not_formatted_fails(self):
        self.write("protocol/names.cc", "int  name( ){return 1;}\n")
        result = self.check()
        self.assertEqual(1, result.returncode)
        self.assertIn("protocol/names.cc:1: is not formatted", result.stdout)

    def test_a_file_that_nothing_compiles_fails(self):
        build = self.root / "build"
        build.mkdir()
        self.write("build/compile_commands.json", "[]")
        self.write("protocol/names.cc", "int x = 1;\n")
        result = self.check("--build", build, "--no-tidy")
        self.assertEqual(1, result.returncode)
        self.assertIn("protocol/names.cc: belongs to no target", result.stdout)

    def tidy(self, path):
        """The check of a tree whose build compiles only `path`, which uses a text after it was moved."""
        shutil.copy(ROOT / ".clang-tidy", self.root)
        build = self.root / "build"
        build.mkdir()
        self.write(path, "#include <string>\n#include <utility>\n\nstd::string twice(std::string text) {\n"
                         "  std::string other = std::move(text);\n  return other + text;\n}\n")
        source = self.root / path
        self.write("build/compile_commands.json",
                   f'[{{"directory": "{build}", "file": "{source}", "command": "c++ -std=c++20 -c {source}"}}]')
        return self.check("--build", build)

    def test_clang_tidy_finds_a_use_after_move(self):
        result = self.tidy("protocol/names.cc")
        self.assertEqual(1, result.returncode, result.stdout + result.stderr)
        self.assertIn("protocol/names.cc:6: error: 'text' used after it was moved", result.stdout)

    def test_clang_tidy_leaves_generated_files_alone(self):
        result = self.tidy("build/generated.cc")
        self.assertEqual(0, result.returncode, result.stdout + result.stderr)


if __name__ == "__main__":
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    unittest.main()
