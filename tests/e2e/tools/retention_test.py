#!/usr/bin/python3
"""`[retention]` in moddev.toml: no more of the past is kept than it says, and what is live is."""
import json
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "world"))
from fleet import Fleet, check, main, wait_for  # noqa: E402

KEPT = 3
CHANGES = 8


def epochs(fleet):
    lines = fleet.run("history", "--json").stdout.splitlines()
    return [event["epoch"] for event in map(json.loads, lines) if "epoch" in event]


def test(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        (fleet.directory / "moddev.toml").write_text(f"[retention]\nepochs = {KEPT}\n")
        watch = fleet.watch()
        for answer in range(1, CHANGES + 1):
            fleet.rename_into_place(answer)
            watch.wait_event("committed", lambda event, number=answer: event["epoch"] == number)
        wait_for(lambda: len(epochs(fleet)) <= KEPT, "the past is forgotten")
        check(CHANGES in epochs(fleet), f"the live epoch is not in {epochs(fleet)}")
        check(fleet.run("fetch", "m", "--output", "m.so").returncode == 0, "what is live cannot be fetched")
        check((fleet.root / "m.so").read_bytes() == fleet.patched(CHANGES), "other bytes than the live ones")


if __name__ == "__main__":
    main(test)
