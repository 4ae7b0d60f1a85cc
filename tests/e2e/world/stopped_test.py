#!/usr/bin/python3
"""An executor that is stopped (SIGSTOP, a debugger) holds nobody up for long: it is excluded after its lease, the
others go on, and it comes back by itself, onto the newest epoch and without having run the old one."""
import signal
import sys

sys.dont_write_bytecode = True
from fleet import Fleet, check, main, never_back, results_of, wait_for  # noqa: E402


def states(fleet):
    return {e["name"]: e for e in (fleet.status() or {"executors": []})["executors"]}


def test(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        fleet.rename_into_place(1)
        watch = fleet.watch()
        executors = [fleet.executor(f"worker-{i}", every=20) for i in range(3)]
        for executor in executors:
            executor.wait_event("called", lambda event: event["result"] == 1)
        stopped = executors[1]
        stopped.signal(signal.SIGSTOP)
        fleet.rename_into_place(2)
        committed = watch.wait_event("committed", lambda event: event["epoch"] == 2)
        check(committed["applied"] == 2 and committed["excluded"] == 1, f"settled: {committed}")
        for executor in (executors[0], executors[2]):
            executor.wait_event("called", lambda event: event["result"] == 2)
        fleet.rename_into_place(3)
        committed = watch.wait_event("committed", lambda event: event["epoch"] == 3)
        check(committed["applied"] == 2 and committed["elapsed_ms"] < 3000,
              f"the next switch waited for the excluded one: {committed}")
        shown = states(fleet)["worker-1"]
        check(shown["state"] == "fenced" and f"process {stopped.process.pid} is there" in shown["detail"],
              f"status shows {shown}")

        stopped.signal(signal.SIGCONT)
        stopped.wait_event("called", lambda event: event["result"] == 3)
        wait_for(lambda: states(fleet)["worker-1"]["epoch"] == 3, "it is a member again")
        fleet.rename_into_place(4)
        for executor in executors:
            executor.wait_event("called", lambda event: event["result"] == 4)
            executor.check_alive()
            never_back(results_of(executor), executor.name)
        committed = watch.wait_event("committed", lambda event: event["epoch"] == 4)
        check(committed["applied"] == 3 and committed["excluded"] == 0, f"settled: {committed}")


main(test)
