#!/usr/bin/python3
"""An executor started before `moddev watch`, one after it, and both across kill -9 and restart of watch: they always
end on the newest epoch, keep answering meanwhile, never go back, and do not load again what did not change."""
import sys

sys.dont_write_bytecode = True
from fleet import Fleet, check, epochs_of, main, never_back, results_of, wait_for  # noqa: E402


def answers(executor, wanted):
    executor.wait_event("called", lambda event: event["result"] == wanted)


def test(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        early = fleet.executor("early", every=20)
        fleet.rename_into_place(1)
        watch = fleet.watch()
        answers(early, 1)
        late = fleet.executor("late", every=20)
        answers(late, 1)
        for answer in (2, 3, 4):
            fleet.rename_into_place(answer)
        for executor in (early, late):
            answers(executor, 4)

        # Nobody is told, and both go on.
        watch.kill()
        count = [len(results_of(e)) for e in (early, late)]
        wait_for(lambda: all(len(results_of(e)) > n + 10 for e, n in zip((early, late), count)),
                 "calls while there is no daemon")
        while_down = [epochs_of(e) for e in (early, late)]

        # Back over an unchanged directory: no epoch, no reload.
        watch = fleet.watch()
        wait_for(lambda: len((fleet.status() or {"executors": []})["executors"]) == 2, "both joined again")
        check([epochs_of(e) for e in (early, late)] == while_down, "a restart caused a reload")
        check(not watch.of("published"), "a restart over an unchanged directory published something")

        # Down again, and changed meanwhile: one more epoch, and everyone has it.
        watch.kill()
        fleet.rename_into_place(5)
        fleet.rename_into_place(6)
        watch = fleet.watch()
        for executor in (early, late):
            answers(executor, 6)
        check(len(watch.of("published")) == 1, f"published were {watch.of('published')}")
        fresh = fleet.executor("fresh", every=20)
        answers(fresh, 6)

        status = fleet.status()
        wait_for(lambda: watch.last("committed") is not None, "the switch is settled")
        for executor in (early, late, fresh):
            executor.check_alive()
            never_back(results_of(executor), f"the result of {executor.name}")
            never_back(epochs_of(executor), f"the epoch of {executor.name}")
            check(executor.diagnostics() == "", executor.diagnostics())
            check(results_of(executor)[-1] == 6, f"{executor.name} does not answer with the newest version")
        check(status["epoch"] == status["committed_epoch"], f"undecided: {status}")


main(test)
