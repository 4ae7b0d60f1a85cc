#!/usr/bin/python3
"""`moddev symbols` on real libraries with debug information: several versions whose source has changed since, by
build-id, by version, and in a backtrace; without a daemon, and from the executors' cache alone."""
import json
import pathlib
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "world"))
from fleet import PATIENCE, Fleet, check, main, wait_for  # noqa: E402

SOURCE = """__attribute__((always_inline)) static inline int inner(int x) {
  volatile int y = x;
  return y * y;
}
__attribute__((noinline, visibility("default"))) int outer(int x) {
  return inner(x) + 1;
}
__attribute__((visibility("default"))) long long answer(void) { return outer(%d); }
"""


def tool(*command):
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout


class Library:
    """One version: its build-id, and an address in the inlined function."""

    def __init__(self, fleet, lines_before, answer, flags=("-g", "-O1")):
        source = fleet.root / "m.c"
        source.write_text("// a line\n" * lines_before + SOURCE % answer)
        self.line = lines_before + 3
        path = fleet.root / "libm.so"
        subprocess.run([fleet.compiler, "-shared", "-fPIC", "-Wl,--build-id=sha1", *flags, "-o", path, source],
                       check=True)
        self.build_id = re.search(r"Build ID: ([0-9a-f]+)", tool("readelf", "-n", path))[1]
        self.outer = int(re.search(r"^([0-9a-f]+) T outer$", tool("nm", path), re.MULTILINE)[1], 16)
        # The multiplication.
        code = tool("objdump", "-d", "--disassemble=outer", path)
        self.address = int(re.search(r"^ +([0-9a-f]+):.*imul", code, re.MULTILINE)[1], 16)
        path.rename(fleet.directory / "libm.so")


def symbols(fleet, *arguments, text=None, code=0):
    done = subprocess.run([fleet.moddev, "symbols", *arguments], env=fleet.environment, cwd=fleet.root, text=True,
                          input=text, capture_output=True, timeout=PATIENCE * 2, check=False)
    check(done.returncode == code, f"symbols {arguments} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done


def expect_lines(fleet, library, what, version):
    """Both frames, with the lines of the source as it was."""
    answer = json.loads(symbols(fleet, what, hex(library.address), "--json").stdout)
    check(answer["build_id"] == library.build_id, f"{what}: {answer}")
    check((answer["module"], answer["version"]) == ("m", version), f"{what}: {answer}")
    frames = [(frame["function"], pathlib.Path(frame["file"]).name, frame["line"], frame["inlined"])
              for frame in answer["frames"]]
    check(frames == [("inner", "m.c", library.line, True), ("outer", "m.c", library.line + 3, False)],
          f"{what}: {frames}")


def test(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        first = Library(fleet, 0, 1)
        watch = fleet.watch()
        executor = fleet.executor("worker", every=20)
        executor.wait_event("called", lambda event: event["result"] == 2)
        second = Library(fleet, 10, 2)
        executor.wait_event("called", lambda event: event["result"] == 5)
        plain = Library(fleet, 0, 3, flags=("-O1",))
        executor.wait_event("called", lambda event: event["result"] == 10)

        for library, version in ((first, 1), (second, 2)):
            expect_lines(fleet, library, f"m@{version}", version)
            expect_lines(fleet, library, library.build_id, version)
            expect_lines(fleet, library, library.build_id[:12].upper(), version)

        # Text for a person, two addresses at once.
        text = symbols(fleet, "m@2", hex(second.address), f"{second.outer:x}").stdout.splitlines()
        check(text[0] == f"m 2  build-id {second.build_id}", text)
        check(re.fullmatch(rf"  {second.address:#x}  inner  \S+/m\.c:{second.line}", text[1]), text)
        check(re.fullmatch(rf" +inlined into outer  \S+/m\.c:{second.line + 3}", text[2]), text)
        check(len(text) >= 4 and f"  {second.outer:#x}  " in text[3], text)

        # Without -g the functions are known, and it is said why there are no lines.
        done = symbols(fleet, "m", hex(plain.address))
        check("outer  ?" in done.stdout and "Compile the module with -g." in done.stderr, done)

        # What is not there.
        check("Version 9 of m is not in the history" in symbols(fleet, "m@9", "1", code=1).stderr, "version")
        check("no function is there" in symbols(fleet, "m@1", "0x10", code=1).stdout, "address")
        check("'0xyz' is no address" in symbols(fleet, "m@1", "0xyz", code=2).stderr, "address")
        check("ADDRESS" in symbols(fleet, "m@1", code=2).stderr, "usage")
        check("No file with build-id 0123456789 is kept" in symbols(fleet, "0123456789", "1", code=1).stderr, "id")

        # A backtrace through an image that is gone by now, one with a build-id, and what is no frame. Return
        # addresses are one behind the call.
        def images():
            maps = pathlib.Path(f"/proc/{executor.process.pid}/maps").read_text()
            return set(re.findall(r"/\S+/libm\.[0-9a-f]{16}\.so", maps))

        wait_for(lambda: len(images()) == 1, "the former version is unloaded")
        image = images().pop()
        there = json.loads(symbols(fleet, image, hex(plain.address), "--json").stdout)
        check((there["module"], there["version"], there["build_id"]) == ("m", 3, plain.build_id), there)
        gone = pathlib.Path(image)
        executor.kill()
        watch.kill()
        shutil.rmtree(gone.parent)
        trace = (f"something else\n{image}(+{plain.address + 1:#x}) [0x7f0000001139]\n"
                 f"{image}(outer+{plain.address + 1 - plain.outer:#x}) [0x7f0000001139]\n"
                 f"    #1 0x7f00 in (/nowhere/libm.so+{first.address:#x}) (BuildId: {first.build_id})\n"
                 f"at /nowhere/libother.so+0x12\n")
        shown = symbols(fleet, text=trace).stdout
        for line in trace.splitlines():
            check(line in shown.splitlines(), f"'{line}' is missing in {shown}")
        check(shown.count("    outer  ?\n") == 2, shown)
        check(f"m.c:{first.line}\n    inlined into outer" in shown, shown)
        objects = [json.loads(line) for line in symbols(fleet, "--json", text=trace).stdout.splitlines()]
        check([len(one["frames"]) for one in objects] == [1, 1, 2, 0], objects)
        check(objects[0]["version"] == 3 and objects[0]["text"] == trace.splitlines()[1], objects)
        check("No line speaks of" in symbols(fleet, text="nothing\n", code=1).stderr, "empty")

        # No daemon runs; and now its history is gone, too: the executors' cache has the bytes.
        expect_lines(fleet, second, second.build_id, 2)
        shutil.rmtree(fleet.root / "state" / "moddev")
        answer = json.loads(symbols(fleet, second.build_id, hex(second.address), "--json").stdout)
        check(answer["frames"][0]["line"] == second.line and answer["module"] == "", answer)
        check("by its build-id" in symbols(fleet, "m", "1", code=1).stderr, "no history")


if __name__ == "__main__":
    main(test)
