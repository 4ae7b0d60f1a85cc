#!/usr/bin/python3
"""A full disk under the daemon's history, and one under the executors' cache: the last good version goes on, the
terminal says what is wrong, and with space again the newest goes live without anyone's help. Needs the right to
mount a small tmpfs; ends with 77 (skipped) without it."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
from fleet import Fleet, check, main, results_of, wait_for  # noqa: E402


class SmallDisk:
    def __init__(self, path, size):
        self.path = path
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(path)],
                              capture_output=True, text=True)
        if done.returncode != 0:
            print(f"skipped: cannot mount a tmpfs: {done.stderr.strip()}")
            raise SystemExit(77)

    def fill(self):
        with open(self.path / "ballast", "wb", buffering=0) as file:
            for piece in (65536, 4096, 1):
                try:
                    while True:
                        file.write(b"x" * piece)
                except OSError:
                    pass

    def free(self):
        os.unlink(self.path / "ballast")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", str(self.path)], check=False)


def test(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet, \
            SmallDisk(fleet.root / "state", "4m") as state, SmallDisk(fleet.root / "cache", "4m") as cache:
        fleet.rename_into_place(1)
        watch = fleet.watch()
        executor = fleet.executor("worker", every=20)
        executor.wait_event("called", lambda event: event["result"] == 1)

        state.fill()
        fleet.rename_into_place(2)
        told = wait_for(lambda: watch.last("warning") or watch.last("rejected"), "the terminal tells of the disk")
        text = told.get("message") or told.get("reason")
        check("space" in text.lower(), f"the terminal says: {text}")
        count = len(results_of(executor))
        wait_for(lambda: len(results_of(executor)) > count + 5, "the executor goes on")
        check(results_of(executor)[-1] == 1, "an unrecorded version went live")
        watch.check_alive()
        state.free()
        executor.wait_event("called", lambda event: event["result"] == 2)

        cache.fill()
        fleet.rename_into_place(3)
        wait_for(lambda: watch.last("aborted") or results_of(executor)[-1] == 3,
                 "a full cache is refused with a reason, or does without")
        executor.check_alive()
        refused = watch.last("aborted")
        if refused and results_of(executor)[-1] != 3:
            check("space" in refused["failures"][0]["error"].lower(), f"refused: {refused}")
            check(results_of(executor)[-1] == 2, "the last good version does not go on")
        cache.free()
        fleet.rename_into_place(4)
        executor.wait_event("called", lambda event: event["result"] == 4)
        for process in (watch, executor):
            process.check_alive()
        print(f"the daemon's disk: {text}")
        print(f"the executor's: {refused['failures'][0]['error'] if refused else 'it did without its cache'}")


main(test)
