#!/usr/bin/python3
"""200 rebuilds in a row while an executor calls the module throughout: no crash, no failed call, the last result is
right, and no version is skipped backwards. Every tenth rebuild is the real compiler's."""
import sys

sys.dont_write_bytecode = True
from fleet import Fleet, check, epochs_of, main, never_back, results_of, wait_for  # noqa: E402


def add_arguments(parser):
    parser.add_argument("--rebuilds", type=int, default=200)


def test(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        fleet.compile("m", 1)
        watch = fleet.watch()
        caller = fleet.executor("caller", every=1)
        caller.wait_event("called", lambda event: event["result"] == 1)
        for answer in range(2, arguments.rebuilds + 2):
            if answer % 10 == 0:
                fleet.compile("m", answer)
            elif answer % 3 == 0:
                fleet.write_in_place(answer)
            else:
                fleet.rename_into_place(answer)
            if answer % 4 == 0:  # some come one on the heels of another
                caller.wait_event("called", lambda event, wanted=answer: event["result"] == wanted)
        last = arguments.rebuilds + 1
        caller.wait_event("called", lambda event: event["result"] == last)
        caller.check_alive()
        watch.check_alive()
        results = results_of(caller)
        never_back(results, "the result")
        never_back(epochs_of(caller), "the epoch")
        check(caller.diagnostics() == "", f"the executor complained: {caller.diagnostics()}")
        check(not caller.of("failed") and not watch.of("aborted") and not watch.of("rejected"),
              "a rebuild was refused")
        # A file that was overwritten before anyone could read it whole needs no version; all others have one.
        live = {event["result"] for event in caller.of("called")}
        check(len(live) >= arguments.rebuilds // 4, f"only {len(live)} of the versions were ever called")
        wait_for(lambda: watch.last("committed")["epoch"] == epochs_of(caller)[-1], "the last epoch is settled")
        print(f"{len(results)} calls, {len(live)} versions called, {len(epochs_of(caller))} epochs")


main(test, add_arguments)
