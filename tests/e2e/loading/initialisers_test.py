#!/usr/bin/python3
"""A module whose static initialisers throw, crash, exit or hang: both executors keep the last good version, the
terminal names the module and the reason, one that starts anew is not killed either, and the mended version goes live
on all. What does not come back (an initialiser, a hook) does not keep `moddev executor` from ending when it is told
to."""
import pathlib
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "world"))
from fleet import Fleet, check, main, results_of, wait_for  # noqa: E402

LINK = ["-std=c++20", "-shared", "-fPIC", "-Wl,--build-id=sha1", "-Wl,-soname,libm.so"]
SOURCE = """
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <unistd.h>
extern "C" long long answer() { return %d; }
%s
"""
BAD = (
    ('static int q = []() -> int { throw std::runtime_error("boom in init"); }();',
     "its static initialisers threw: boom in init (std::runtime_error)"),
    ("static int q = *(volatile int*)8;", "its static initialisers ended the process: signal 11 (SIGSEGV)"),
    ("static int q = [] { _exit(3); return 0; }();", "its static initialisers ended the process: exit code 3"),
    ("static int q = [] { for (;;) pause(); return 0; }();", "its static initialisers did not end within 5 s"),
    ("struct Q { ~Q() { std::abort(); } } q;", "its static destructors ended the process: signal 6 (SIGABRT)"),
)
GOOD = "static long *p = new long[getpid() > 0];"
SLOW_HOOK = 'extern "C" const char* moddev_on_start_1() { for (;;) pause(); return nullptr; }'
LONGEST_END = 6.0  # two seconds of patience with what hangs, and a loaded machine


def build(fleet, answer, rest):
    source = fleet.root / "m.cc"
    source.write_text(SOURCE % (answer, rest))
    done = fleet.root / "libm.so"
    subprocess.run([fleet.compiler, *LINK, "-o", str(done), str(source)], check=True)
    done.rename(fleet.directory / "libm.so")


def ends_when_told(executor, number):
    begin = time.monotonic()
    executor.signal(number)
    wait_for(lambda: not executor.running(), f"{executor.name} ends after signal {number}")
    took = time.monotonic() - begin
    check(executor.process.returncode == 0, f"{executor.name} ended with {executor.process.returncode}")
    check(took < LONGEST_END, f"{executor.name} took {took:.1f} s to end")


def test(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        build(fleet, 1, GOOD)
        watch = fleet.watch()
        executors = [fleet.executor(name, every=100) for name in ("one", "two")]
        for executor in executors:
            executor.wait_event("called", lambda event: event["result"] == 1)

        for number, (statements, reason) in enumerate(BAD):
            build(fleet, 100 + number, statements)
            aborted = watch.wait_event("aborted", lambda event, r=reason: any(r in f["error"] for f in event["failures"]))
            failures = aborted["failures"]
            check(all(f["module"] == "m" and reason in f["error"] for f in failures), f"failures: {failures}")
            check("trial in a child process" in failures[0]["error"], f"the terminal says {failures[0]}")
            for executor in executors:
                before = len(results_of(executor))
                wait_for(lambda e=executor, n=before: len(results_of(e)) > n + 1, f"{executor.name} goes on")
                executor.check_alive()
                check(set(results_of(executor)) == {1}, f"{executor.name} answers {set(results_of(executor))}")

        # One that starts now is offered the bad version, too, or the last good one; it lives in any case.
        late = fleet.executor("late", every=100)
        late.wait_event("called", lambda event: event["result"] == 1)
        late.check_alive()

        build(fleet, 2, GOOD + "  // mended")
        for executor in [*executors, late]:
            executor.wait_event("called", lambda event: event["result"] == 2)

        # In the middle of a trial that hangs, and with a hook that hangs in the executor itself.
        build(fleet, 3, "static int q = [] { for (;;) pause(); return 1; }();")
        watch.wait_event("published", lambda event: event["epoch"] == aborted["epoch"] + 2)
        ends_when_told(late, signal.SIGINT)
        watch.wait_event("aborted", lambda event: event["epoch"] == aborted["epoch"] + 2)
        build(fleet, 4, SLOW_HOOK)
        watch.wait_event("published", lambda event: event["epoch"] == aborted["epoch"] + 3)
        told = watch.wait_event("warning", lambda event: "initialiser or a hook" in event["message"])
        check("of module 'm' has not returned within 2 s" in told["message"], f"the terminal says {told}")
        time_of_call = len(results_of(executors[0]))
        wait_for(lambda: len(results_of(executors[0])) > time_of_call + 2, "one goes on beside the hook")
        ends_when_told(executors[0], signal.SIGTERM)
        check("did not return" in executors[0].diagnostics(), f"one says: {executors[0].diagnostics()}")
        ends_when_told(executors[1], signal.SIGINT)
        watch.check_alive()


main(test)
