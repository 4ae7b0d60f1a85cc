"""A project of one's own: it finds the installed package, and its program follows its module without a restart.

Usage: user_project_test.py PREFIX   (where moddev was installed). The project beside this file is what README.md shows.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

PREFIX = pathlib.Path()
HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 60  # seconds for what takes milliseconds on an idle machine

# Statics of inline functions and templates are what GCC marks STB_GNU_UNIQUE; `helper` is not to be seen outside.
TRAPS = """
#include <moddev/module.h>
template <typename T> struct Counter { static inline T value = 0; static T& get() { static T kept = 0; return kept; } };
long helper(long x) { return ++Counter<long>::value + ++Counter<long>::get() + x; }
MODDEV_EXPORT long count(long x) { return helper(x); }
"""


class Project(unittest.TestCase):
    """A copy of the directory PROJECT, configured against PREFIX and built."""
    PROJECT = pathlib.Path()

    @classmethod
    def prepare(cls):
        """What is to be added to the copy."""

    @classmethod
    def setUpClass(cls):
        if cls is Project:
            raise unittest.SkipTest("it is what others are made of")
        cls.place = pathlib.Path(tempfile.mkdtemp(prefix="moddev-user-"))
        cls.addClassCleanup(shutil.rmtree, cls.place)
        shutil.copytree(cls.PROJECT, cls.place / "project")
        (cls.place / "run").mkdir(mode=0o700)
        cls.environment = {name: value for name, value in os.environ.items()
                           if name not in ("MODDEV_ENDPOINT", "CMAKE_PREFIX_PATH", "CXXFLAGS", "LDFLAGS")}
        cls.environment.update(XDG_RUNTIME_DIR=str(cls.place / "run"), XDG_STATE_HOME=str(cls.place / "state"),
                               XDG_CACHE_HOME=str(cls.place / "cache"), HOME=str(cls.place))
        cls.prepare()
        cls.run_in_project("cmake", "-S", ".", "-B", "build", f"-DCMAKE_PREFIX_PATH={PREFIX}")
        cls.run_in_project("cmake", "--build", "build")

    @classmethod
    def run_in_project(cls, *command, succeeds=True):
        result = subprocess.run(command, cwd=cls.place / "project", env=cls.environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if (result.returncode == 0) != succeeds:
            raise AssertionError(f"{' '.join(command)} ended with {result.returncode}:\n{result.stdout}")
        return result.stdout

    def edit(self, name, before, after):
        source = self.place / "project" / name
        text = source.read_text()
        self.assertIn(before, text)
        source.write_text(text.replace(before, after))

    def start(self, name, *command):
        log = self.place / f"{name}.log"
        with open(log, "wb") as output:
            process = subprocess.Popen(command, cwd=self.place / "project", env=self.environment, stdout=output,
                                       stderr=subprocess.STDOUT)
        def end():
            process.terminate()
            process.wait()
        self.addCleanup(end)
        return process, log

    def wait_for(self, process, log, pattern):
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, log.read_text(), re.MULTILINE):
            self.assertIsNone(process.poll(), f"it has ended; its output:\n{log.read_text()}")
            self.assertLess(time.monotonic(), deadline, f"no '{pattern}' in:\n{log.read_text()}")
            time.sleep(0.01)


class UserProject(Project):
    PROJECT = HERE / "user_project"

    @classmethod
    def prepare(cls):
        with open(cls.place / "project" / "CMakeLists.txt", "a", encoding="utf-8") as file:
            file.write("moddev_add_module(traps traps.cc)\n")
        (cls.place / "project" / "traps.cc").write_text(TRAPS)

    def test_the_program_is_at_most_thirty_lines(self):
        self.assertLessEqual(len((HERE / "user_project" / "worker.cc").read_text().splitlines()), 30)

    def test_edit_and_rebuild_give_a_new_result_in_the_same_process(self):
        watch, watch_log = self.start("watch", PREFIX / "bin" / "moddev", "watch", "build")
        self.wait_for(watch, watch_log, "listening")
        worker, worker_log = self.start("worker", "build/worker")
        self.wait_for(worker, worker_log, r"^score\(20\) = 40$")

        self.edit("scorer.cc", "2 * x", "3 * x + 1")
        self.run_in_project("cmake", "--build", "build")
        self.wait_for(worker, worker_log, r"^score\(20\) = 61$")

        self.edit("scorer.cc", "3 * x + 1", "missing(x)")
        self.edit("scorer.cc", "MODDEV_EXPORT", 'extern "C" long missing(long x);\nMODDEV_EXPORT')
        output = self.run_in_project("cmake", "--build", "build", succeeds=False)
        self.assertRegex(output, "undefined (reference|symbol).*missing")
        self.assertTrue((self.place / "project/build/libscorer.so").exists(), "a failed link removed the module")

        self.edit("scorer.cc", "missing(x);\n}", "5 * x;\n}")
        self.run_in_project("cmake", "--build", "build")
        self.wait_for(worker, worker_log, r"^score\(20\) = 100$")
        self.assertEqual(["score(20) = 40", "score(20) = 61", "score(20) = 100"], worker_log.read_text().splitlines())

    def test_a_module_shows_only_its_exports_and_shares_no_statics(self):
        symbols = self.run_in_project("readelf", "--wide", "--dyn-syms", "build/libtraps.so")
        defined = [line.split()[-1] for line in symbols.splitlines() if re.search(r" DEFAULT +\d+ ", line)]
        self.assertEqual(["count"], defined, symbols)
        self.assertNotIn("UNIQUE", symbols)

    def test_a_module_carries_a_build_id(self):
        self.assertRegex(self.run_in_project("readelf", "--notes", "build/libtraps.so"), "Build ID: [0-9a-f]{40}")

    def test_no_temporary_file_of_a_link_stays(self):
        self.assertEqual([], list((self.place / "project" / "build").glob(".moddev-link*")))


class InstalledFiles(unittest.TestCase):
    def test_only_public_headers_are_installed(self):
        headers = {path.relative_to(PREFIX / "include").as_posix() for path in (PREFIX / "include").rglob("*.h")}
        self.assertLessEqual({"moddev/client.h", "moddev/view.h", "moddev/module.h", "moddev/protocol/result.h"}, headers)
        strangers = {header for header in headers if not re.fullmatch(r"moddev/(\w+|protocol/result)\.h", header)}
        self.assertEqual(set(), strangers)

    def test_each_installed_header_compiles_by_itself(self):
        for header in sorted((PREFIX / "include").rglob("*.h")):
            with self.subTest(header=header.name):
                include = f"#include <{header.relative_to(PREFIX / 'include')}>\n"
                result = subprocess.run(["c++", "-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror",
                                         "-fsyntax-only", "-x", "c++", "-I", PREFIX / "include", "-"],
                                        input=include, text=True, capture_output=True, check=False)
                self.assertEqual(0, result.returncode, result.stderr)

    def test_the_shared_header_is_a_file_of_its_own(self):
        header = PREFIX / "include" / "moddev" / "protocol" / "result.h"
        self.assertTrue(header.is_file())
        self.assertFalse(header.is_symlink())


if __name__ == "__main__":
    PREFIX = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
