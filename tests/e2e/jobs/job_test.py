#!/usr/bin/python3
"""Jobs over several executors during constant rebuilds: all answers of one job are from its epoch, although the
executors have gone on since; an epoch that is not there is refused with the reason.
"""
import argparse
import pathlib
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "world"))
from fleet import PATIENCE, Failed, Fleet, check, wait_for  # noqa: E402


class Worker:
    def __init__(self, fleet, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
                                        env=fleet.environment, cwd=fleet.root)

    def send(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        check(line, "an executor ended")
        return line.split(maxsplit=2) if line.startswith("refused") else line.split()

    def end(self):
        self.process.stdin.close()
        check(self.process.wait(PATIENCE) == 0, f"an executor ended with {self.process.returncode}")


def run(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        fleet.rename_into_place(1)  # epoch E answers E
        watch = fleet.watch()
        watch.wait_event("committed")
        workers = [Worker(fleet, arguments.executor) for _ in range(arguments.executors)]
        try:
            newest = 1
            for job in range(arguments.jobs):
                workers[0].send("now")
                epoch = int(workers[0].answer()[0])
                # Two rebuilds while the job runs, so that the later tasks find their epoch gone by.
                def rebuild(first=newest):
                    for answer in (first + 1, first + 2):
                        fleet.rename_into_place(answer)
                        watch.wait_event("committed", lambda e, n=answer: e["epoch"] >= n)
                rebuilding = threading.Thread(target=rebuild)
                rebuilding.start()
                half = len(workers) // 2
                for worker in workers[:half]:
                    worker.send(f"{epoch} 1000")
                early = [worker.answer() for worker in workers[:half]]
                rebuilding.join()
                newest += 2
                for worker in workers[half:]:
                    worker.send(f"{epoch} 1000")
                for answer in early + [worker.answer() for worker in workers[half:]]:
                    check(answer == [str(epoch)] * 3 + ["same"], f"job {job} of epoch {epoch} was answered {answer}")
            for worker in workers:
                worker.send(f"{newest + 1000} 1" if worker is workers[0] else "1 5")
            for worker in workers[1:]:
                answer = worker.answer()
                check(answer == ["1", "1", "1", "same"], f"the first epoch can still be had: {answer}")
            # What a pin was dropped of is unloaded: the daemon hears of no old epoch any more.
            wait_for(lambda: all(not e["pins"] for e in fleet.status()["executors"]), "old epochs are let go")
            refused = workers[0].answer()
            check(refused[:2] == ["refused", "timeout"], f"an epoch that never comes is refused: {refused}")
        finally:
            for worker in workers:
                if worker.process.poll() is not None:
                    print(f"an executor had ended with {worker.process.returncode}")
        for worker in workers:
            worker.end()
        print(f"{arguments.jobs} jobs over {len(workers)} executors through {newest - 1} rebuilds: every answer from "
              f"the job's epoch")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moddev", required=True)
    parser.add_argument("--compiler", default="cc")
    parser.add_argument("--executor", required=True)
    parser.add_argument("--executors", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=10)
    arguments = parser.parse_args()
    try:
        run(arguments)
    except Failed as problem:
        print(f"FAILED: {problem}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
