#!/usr/bin/python3
"""A program with worker threads calls two modules that share a dependency while all three are rebuilt in random
order under a real `moddev watch`: no crash, no mixed epoch, no call that fails, and memory, descriptors and
mappings flat from one tenth of the rebuilds to the end. Every tenth rebuild is the real compiler's; the others are
the compiler's file with another number in it, as renamed into place or written over."""
import pathlib
import random
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "world"))
from fleet import MARKER, Fleet, Process, check, main, wait_for  # noqa: E402

FLAGS = ["-shared", "-fPIC", "-g", "-O2", "-fvisibility=hidden", "-Wl,--build-id=sha1"]
NUMBER = "static const volatile long number = %s;\n"
EXPORT = '__attribute__((visibility("default"))) '
SOURCES = {
    "base": NUMBER + EXPORT + "long base(void) { return number; }\n",
    "left": NUMBER + "long base(void);\n" + EXPORT + "long left(void) { return 1000000 * number + base(); }\n",
    "right": NUMBER + "long base(void);\n" + EXPORT + "long right(void) { return base() + number * 1000000; }\n",
}
SLACK_KIB = 4096
SLACK_MAPPINGS = 12


def add_arguments(parser):
    parser.add_argument("--program", required=True, help="worker_threads")
    parser.add_argument("--rebuilds", type=int, default=1000)
    parser.add_argument("--compile-every", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)


class Modules:
    """The three modules; `numbers` is what was built last."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.stage = fleet.root / "stage"
        self.stage.mkdir()
        self.numbers = {}
        self.templates = {}
        for name in SOURCES:
            data = self.compiled(name, str(int.from_bytes(MARKER, "little")) + "L").read_bytes()
            check(data.count(MARKER) == 1, f"the number is in {name} exactly once")
            self.templates[name] = data

    def compiled(self, name, number):
        source = self.stage / f"{name}.c"
        source.write_text(SOURCES[name] % number)
        target = self.stage / f"lib{name}.so"
        needs = [] if name == "base" else ["-L" + str(self.stage), "-lbase"]
        subprocess.run([self.fleet.compiler, *FLAGS, f"-Wl,-soname,lib{name}.so", "-o", str(target), str(source), *needs],
                       check=True)
        return target

    def rebuild(self, name, number, how):
        target = self.fleet.directory / f"lib{name}.so"
        if how == "compiled":
            data = self.compiled(name, number).read_bytes()
        else:
            data = self.templates[name].replace(MARKER, number.to_bytes(8, "little"))
        if how == "written":
            with open(target, "wb", buffering=0) as file:
                for at in range(0, len(data), 5000):
                    file.write(data[at:at + 5000])
        else:
            with tempfile.NamedTemporaryFile(dir=self.fleet.root, delete=False) as file:
                file.write(data)
            pathlib.Path(file.name).rename(target)
        self.numbers[name] = number


def report(program):
    count = len(program.of("report"))
    program.process.stdin.write(b"\n")
    program.process.stdin.flush()
    wait_for(lambda: len(program.of("report")) > count, "the program answers", 60,
             lambda: f"diagnostics: {program.diagnostics()}")
    return program.last("report")


def is_live(found, numbers):
    base = numbers["base"]
    return (found["base"], found["left"], found["right"]) == (
        base, 1000000 * numbers["left"] + base, 1000000 * numbers["right"] + base)


def settled(program, modules, early=None):
    """A report with the last versions live and the former ones gone: when two in a row have as many mappings, and no
    more than were there `early`, as far as that is known. What is only there for a moment is waited out."""
    last = None

    def found():
        nonlocal last
        now = report(program)
        before, last = last, now
        steady = before and now["mappings"] == before["mappings"]
        small = early is None or (now["mappings"] <= early["mappings"] + SLACK_MAPPINGS and
                                  now["descriptors"] <= early["descriptors"] and now["threads"] <= early["threads"])
        return now if is_live(now, modules.numbers) and steady and small else None
    return wait_for(found, "the last versions are live and the former ones gone", 60,
                    lambda: f"numbers {modules.numbers}, last report {last}")


def test(arguments):
    chance = random.Random(arguments.seed)
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        modules = Modules(fleet)
        for name in SOURCES:
            modules.rebuild(name, 1, "compiled")
        watch = fleet.watch()
        program = Process(fleet, [arguments.program], "program", stdin=subprocess.PIPE)
        program.wait_event("report", patience=60)
        early = None
        for number in range(2, arguments.rebuilds + 2):
            how = "compiled" if number % arguments.compile_every == 0 else chance.choice(("renamed", "written"))
            modules.rebuild(chance.choice(sorted(SOURCES)), number, how)
            if chance.random() < 0.25:  # others come one on the heels of another
                settled(program, modules)
            if number == arguments.rebuilds // 10 + 1:
                early = settled(program, modules)
                print(f"after {number - 1} rebuilds: {early}", flush=True)
            program.check_alive()
            watch.check_alive()
        late = settled(program, modules, early)
        print(f"after {arguments.rebuilds} rebuilds: {late}")
        check(late["mixed"] == 0 and late["missing"] == 0, "an epoch was mixed, or a call failed")
        check(late["resident_kib"] <= early["resident_kib"] + SLACK_KIB, "memory grew")
        check(not watch.of("aborted") and not watch.of("rejected"), "a rebuild was refused")
        program.process.stdin.close()
        wait_for(lambda: not program.running(), "the program ends")
        check(program.process.returncode == 0, f"the program ended with {program.process.returncode}")
        print(f"{len(watch.of('committed'))} epochs committed")


main(test, add_arguments)
