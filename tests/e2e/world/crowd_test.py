#!/usr/bin/python3
"""A hundred executors on one machine through rebuilds of two modules that belong together, with calls all the time:
no call ever mixes two epochs, whoever makes it, and each rebuild goes live in all of them at once."""
import subprocess
import sys

sys.dont_write_bytecode = True
from fleet import MARKER, Fleet, check, main, never_back, results_of, wait_for  # noqa: E402

BASE = """
static const volatile long long kAnswer = %s;
__attribute__((visibility("default"))) long long base(void) { return kAnswer; }
"""
# Mixed epochs show in the sum.
TOP = """
long long base(void);
static const volatile long long kAnswer = %s;
__attribute__((visibility("default"))) long long answer(void) { return 1000000 * base() + kAnswer; }
"""


def add_arguments(parser):
    parser.add_argument("--executors", type=int, default=100)
    parser.add_argument("--rebuilds", type=int, default=10)


class Pair:
    """libbase.so and libtop.so, which needs it; rebuilt by patching, put there by one held build."""

    def __init__(self, fleet):
        self.fleet = fleet
        stage = fleet.root / "stage"
        stage.mkdir()
        self.bytes = {}
        for name, source, more in (("base", BASE, []), ("top", TOP, [f"-L{stage}", "-lbase"])):
            path = fleet.root / f"{name}.c"
            path.write_text(source % (str(int.from_bytes(MARKER, "little")) + "LL"))
            fleet.build(path, stage / f"lib{name}.so", f"-Wl,-soname,lib{name}.so", *more)
            self.bytes[name] = (stage / f"lib{name}.so").read_bytes()
            check(self.bytes[name].count(MARKER) == 1, "the answer is in the module exactly once")
        self.stage = stage

    def write(self, number, held=True):
        moves = []
        for name, data in self.bytes.items():
            made = self.stage / f"{name}.new"
            made.write_bytes(data.replace(MARKER, number.to_bytes(8, "little")))
            made.chmod(0o755)
            moves.append(f"mv {made} {self.fleet.directory}/lib{name}.so")
        command = ["sh", "-c", " && ".join(moves)]
        if held:
            done = self.fleet.run("build", "--", *command)
            check(done.returncode == 0, f"moddev build: {done.stderr}")
        else:
            subprocess.run(command, check=True)


def test(arguments):
    count = arguments.executors
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        pair = Pair(fleet)
        pair.write(1, held=False)
        watch = fleet.watch()
        watch.wait_event("listening")
        executors = [fleet.executor(f"worker-{i}", call="top:answer", every=250) for i in range(count)]
        for executor in executors:
            executor.wait_event("called", lambda event: event["result"] == 1000001, patience=90)
        took = []
        for number in range(2, arguments.rebuilds + 2):
            before = (watch.last("committed") or {"epoch": 0})["epoch"]
            pair.write(number)
            settled = watch.wait_event("committed", lambda event, e=before: event["epoch"] > e)
            check(settled["applied"] == count and settled["excluded"] == 0, f"settled: {settled}")
            took.append(settled["elapsed_ms"])
        last = (arguments.rebuilds + 1) * 1000001
        for executor in executors:
            executor.wait_event("called", lambda event: event["result"] == last)
            executor.check_alive()
        calls = 0
        for executor in executors:
            results = results_of(executor)
            calls += len(results)
            never_back(results, f"the result of {executor.name}")
            mixed = [result for result in results if result % 1000001 != 0]
            check(not mixed, f"{executor.name} mixed epochs: {mixed[:3]}")
            check(executor.diagnostics() == "", f"{executor.name}: {executor.diagnostics()}")
        check(len(watch.of("aborted")) == 0, "nothing was refused")
        wait_for(lambda: all(e["epoch"] == watch.last("committed")["epoch"] for e in fleet.status()["executors"]),
                 "everyone tells the last epoch")
        took.sort()
        print(f"{count} executors, {arguments.rebuilds} rebuilds of two modules, {calls} calls, none mixed; live in all "
              f"after {took[len(took) // 2]:.1f} ms (median)")


main(test, add_arguments)
