#!/usr/bin/python3
"""What the daemon and the executors keep on disk is damaged or removed behind their backs, with everything running:
blobs, whole directories, the history. What the watched directory still has comes back from there, the rest is told."""
import os
import pathlib
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "world"))
from fleet import Fleet, check, main, results_of, wait_for  # noqa: E402

LARGE = 3 * 1024 * 1024 + 17


def state(fleet):
    return next((fleet.root / "state" / "moddev").iterdir())


def blob(fleet, module):
    digest = next(m["digest"] for m in fleet.status()["modules"] if m["name"] == module).removeprefix("sha256:")
    return state(fleet) / "blobs" / digest[:2] / digest


def damage(path):
    path.chmod(0o600)
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def remove(directory):
    """While others make files in it."""
    directory = directory.rename(directory.parent / "removed")
    shutil.rmtree(directory)


def answers(executor, expected):
    wait_for(lambda: results_of(executor)[-1:] == [expected], f"{executor.name} answers {expected}",
             state=lambda: f"{executor.events()[-3:]}")


def run(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        fleet.rename_into_place(1)
        data = fleet.directory / "data.bin"
        data.write_bytes(os.urandom(LARGE))
        watch = fleet.watch()
        watch.wait_event("committed")

        # Blobs that are live: both come back when somebody wants them, in one piece and in several.
        damage(blob(fleet, "m"))
        damage(blob(fleet, "data.bin"))
        first = fleet.executor("first", every=20)
        answers(first, 1)
        told = [event["message"] for event in watch.of("warning") if event["code"] == "stored_bytes_read_again"]
        check(sorted(message.split("'")[1] for message in told) == ["data.bin", "libm.so"], f"told: {told}")
        check("were damaged" in told[0], told[0])

        # Removed, and nobody asks: a refresh finds out.
        blob(fleet, "m").unlink()
        done = fleet.run("refresh")
        check(done.returncode == 0, done.stderr)
        wait_for(lambda: blob(fleet, "m").exists(), "the removed blob is there again")

        # Everything that was kept, under the running daemon and under the running executor.
        remove(state(fleet) / "blobs")
        remove(fleet.root / "cache" / "moddev")
        data.write_bytes(os.urandom(LARGE))
        fleet.rename_into_place(2)
        answers(first, 2)
        epoch = fleet.status()["committed_epoch"]
        wait_for(lambda: (first.last("applied") or {}).get("epoch") == epoch, "the executor has all of it")
        check(not watch.of("aborted"), f"{watch.of('aborted')}")

        # An old version is in no directory any more.
        fleet.rename_into_place(3)
        answers(first, 3)
        old = blob(fleet, "m")
        fleet.rename_into_place(4)
        answers(first, 4)
        damage(old)
        done = fleet.run("rollback", "m")
        check(done.returncode == 1, f"rc {done.returncode}: {done.stdout}{done.stderr}")
        check("rollback of m to version 3 is not possible" in done.stderr and "damaged" in done.stderr, done.stderr)
        done = fleet.run("fetch", "m", "--version", "3", "-o", str(fleet.root / "old"))
        check(done.returncode == 1 and not (fleet.root / "old").exists(), done.stderr)
        answers(first, 4)

        # The history under the running daemon, and then all that could tell of it.
        journal = state(fleet) / "journal.sqlite"
        journal.rename(fleet.root / "taken away")
        fleet.rename_into_place(5)
        answers(first, 5)
        watch.wait_event("warning", lambda event: event["code"] == "history_gone")
        watch.kill()
        for path in state(fleet).glob("journal.sqlite*"):
            path.unlink()
        again = fleet.watch()
        again.wait_event("warning", lambda event: event["code"] == "journal_repaired" and "missing" in event["message"])
        fleet.rename_into_place(6)
        answers(first, 6)


if __name__ == "__main__":
    main(run)
