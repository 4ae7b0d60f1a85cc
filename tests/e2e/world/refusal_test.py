#!/usr/bin/python3
"""One of 20 executors cannot load a new version, because a library that it needs is only on the others'
LD_LIBRARY_PATH: all 20 keep the old version, the terminal says who, what and why, and the fix goes live on all. The
same when the version comes while there is no daemon: those that ran the old one are asked when they are back."""
import sys

sys.dont_write_bytecode = True
from fleet import Fleet, check, main, never_back, results_of, wait_for  # noqa: E402

COUNT = 20
NEEDS_HELPER = """
long long helper(void);
__attribute__((visibility("default"))) long long answer(void) { return helper(); }
"""


def expect_refusal(watch, executors):
    """worker-7 refuses, and everyone goes on as before."""
    aborted = watch.wait_event("aborted")
    check(len(aborted["failures"]) == 1, f"failures: {aborted['failures']}")
    failure = aborted["failures"][0]
    check(failure["executor"] == "worker-7" and failure["module"] == "m" and
          "libworldhelper.so" in failure["error"], f"the terminal says {failure}")
    count = [len(results_of(e)) for e in executors]
    for executor, n in zip(executors, count):
        wait_for(lambda e=executor, n=n: len(results_of(e)) > n + 1, f"{executor.name} goes on")
    return aborted


def test(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        helpers = fleet.root / "helpers"
        helpers.mkdir()
        source = fleet.root / "helper.c"
        source.write_text('__attribute__((visibility("default"))) long long helper(void) { return 2; }\n')
        helper = helpers / "libworldhelper.so"
        fleet.build(source, helper, "-Wl,-soname,libworldhelper.so")
        fleet.compile("m", 1)
        watch = fleet.watch()
        executors = [fleet.executor(f"worker-{i}", every=250,
                                    environment={"LD_LIBRARY_PATH": str(helpers)} if i != 7 else None)
                     for i in range(COUNT)]
        for executor in executors:
            executor.wait_event("called", lambda event: event["result"] == 1)

        source = fleet.root / "m.c"
        source.write_text(NEEDS_HELPER)
        fleet.build(source, fleet.directory / "libm.so", "-Wl,-soname,libm.so", str(helper))
        aborted = expect_refusal(watch, executors)
        for executor in executors:
            check(set(results_of(executor)) == {1}, f"{executor.name} answers {set(results_of(executor))}")
        told = executors[7].wait_event("failed")
        check("libworldhelper.so" in told["error"], f"worker-7 says {told}")
        status = fleet.status()
        check(status["committed_epoch"] < status["epoch"], f"status shows no refused epoch: {status}")

        fleet.compile("m", 3)
        for executor in executors:
            executor.wait_event("called", lambda event: event["result"] == 3)
            executor.check_alive()
            never_back(results_of(executor), executor.name)
            check(set(results_of(executor)) == {1, 3}, f"{executor.name} answered {set(results_of(executor))}")
        settled = watch.wait_event("committed", lambda event: event["epoch"] == aborted["epoch"] + 1)
        check(settled["applied"] == COUNT and settled["excluded"] == 0, f"settled: {settled}")

        watch.kill()
        source.write_text(NEEDS_HELPER)
        fleet.build(source, fleet.directory / "libm.so", "-Wl,-soname,libm.so", str(helper))
        watch = fleet.watch()
        expect_refusal(watch, executors)
        for executor in executors:
            check(set(results_of(executor)) == {1, 3}, f"{executor.name} answered {set(results_of(executor))}")
        check(not watch.of("committed"), f"it went live: {watch.of('committed')}")


main(test)
