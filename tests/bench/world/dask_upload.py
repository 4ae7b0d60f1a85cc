#!/usr/bin/python3
"""Dask's Client.upload_file beside edit_to_live: one edited Python module to every worker process of a local cluster.

usage: dask_upload.py WORKERS ROUNDS BYTES; prints "p50 p99 max" in microseconds, from the end of the write to the last
worker's answer with the new version. Needs python3-distributed (Debian).
"""
import logging
import pathlib
import sys
import tempfile
import time

from distributed import Client, LocalCluster


def answer():
    import dask_subject
    return dask_subject.ANSWER


def main():
    workers, rounds, size = (int(argument) for argument in sys.argv[1:])
    logging.disable(logging.CRITICAL)
    times = []
    with tempfile.TemporaryDirectory() as work, \
            LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, processes=True) as cluster, \
            Client(cluster, timeout=120) as client:
        client.wait_for_workers(workers, timeout=120)
        module = pathlib.Path(work) / "dask_subject.py"
        for number in range(rounds + 1):
            module.write_text(f"ANSWER = {number}\nBALLAST = '{'b' * size}'\n")
            begin = time.perf_counter()
            client.upload_file(str(module))
            answers = client.run(answer)
            end = time.perf_counter()
            if len(answers) != workers or set(answers.values()) != {number}:
                sys.exit(f"round {number} was answered {answers}")
            if number > 0:  # the first one imports much else
                times.append((end - begin) * 1e6)
            time.sleep(0.05)
    times.sort()
    at = [times[min(rounds - 1, int(rounds * part))] for part in (0.5, 0.99, 1.0)]
    print(*(f"{value:.0f}" for value in at))


if __name__ == "__main__":
    main()
