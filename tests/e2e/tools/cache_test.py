#!/usr/bin/python3
"""`moddev cache` beside real executors: fifty of them fetch a module once; what is in use is never collected, however
often somebody collects while versions come and go; damage is named and moved away; what ran last stays."""
import json
import os
import pathlib
import re
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "world"))
from fleet import Fleet, check, main, results_of, wait_for  # noqa: E402

EXECUTORS = 50
BLOB_BYTES = 4 * 1024 * 1024


class CountingProxy:
    """A Unix socket before the daemon's; counts what the daemon sends through it."""

    def __init__(self, path, target):
        self.bytes = 0
        self._lock = threading.Lock()
        self._target = target
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(200)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self._listening.accept()
            daemon = socket.socket(socket.AF_UNIX)
            daemon.connect(str(self._target))
            threading.Thread(target=self._pump, args=(client, daemon, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(daemon, client, True), daemon=True).start()

    def _pump(self, source, sink, count):
        try:
            while data := source.recv(1 << 20):
                sink.sendall(data)
                if count:
                    with self._lock:
                        self.bytes += len(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def cache(fleet, *arguments, code=0):
    done = fleet.run("cache", *arguments, "--json")
    check(done.returncode == code, f"cache {arguments} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def of_module(files, name):
    return [file for file in files if name in [module["name"] for module in file["modules"]]]


def fifty_fetch_once(fleet):
    (fleet.directory / "weights.bin").write_bytes(os.urandom(BLOB_BYTES))
    fleet.rename_into_place(1)
    watch = fleet.watch()
    listening = watch.wait_event("listening")
    watch.wait_event("committed")
    daemon = listening["endpoint"].removeprefix("ipc://")
    private = fleet.root / "proxy"
    private.mkdir(mode=0o700)
    proxy = CountingProxy(private / "p.sock", daemon)
    endpoint = {"MODDEV_ENDPOINT": f"ipc://{private}/p.sock"}
    executors = [fleet.executor(f"e{i}", call=None, environment=endpoint) for i in range(EXECUTORS)]
    for executor in executors:
        executor.wait_event("applied", patience=120)
    print(f"{EXECUTORS} executors, a blob of {BLOB_BYTES} bytes: the daemon sent {proxy.bytes} bytes in all")
    check(BLOB_BYTES < proxy.bytes < 1.5 * BLOB_BYTES, f"the daemon sent {proxy.bytes} bytes")

    blob = of_module(cache(fleet), "weights.bin")
    check(len(blob) == 1 and blob[0]["in_use"] and blob[0]["size"] == BLOB_BYTES, blob)
    pids = sorted(executor.process.pid for executor in executors)
    check(blob[0]["pids"] == pids, f"in use by {blob[0]['pids']}, not {pids}")
    text = fleet.run("cache").stdout
    check(re.search(rf"^weights\.bin 1 +4\.2 MB +pid {pids[0]}, .* and 46 more ", text, re.MULTILINE), text)
    for executor in executors:
        executor.kill()
    return watch


def collect_beside_reloads(fleet):
    """Nothing goes wrong when somebody collects all the time: each version runs, from a cache that holds it."""
    executor = fleet.executor("worker", every=5)
    executor.wait_event("called")
    stop = threading.Event()
    collected = []

    def collect():
        while not stop.is_set():
            collected.append(cache(fleet, "collect", "--keep", "0")[0])

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        for answer in range(2, 42):
            fleet.rename_into_place(answer)
            executor.wait_event("called", lambda event, wanted=answer: event["result"] == wanted)
    finally:
        stop.set()
        collector.join()
    check(not executor.of("failed"), executor.of("failed"))
    # Bytes are written to the cache behind the switch: the live version is there at the end.
    def live():
        return [file for file in of_module(cache(fleet), "m") if executor.process.pid in file["pids"]]
    wait_for(live, "the live version is in the cache")
    cache(fleet, "collect", "--keep", "0")
    check(len(live()) >= 1, "the live version was collected")
    check(sum(one["removed"] for one in collected) > 0, "nothing was ever collected")
    return executor


def test(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        missing = fleet.run("cache")
        check(missing.returncode == 1 and "No executor has fetched anything yet" in missing.stderr, missing)
        watch = fifty_fetch_once(fleet)
        executor = collect_beside_reloads(fleet)

        # Bits flip in the blob: named and moved away, and the executor has it again when it starts anew.
        blob = of_module(cache(fleet), "weights.bin")[0]
        digest = blob["digest"].removeprefix("sha256:")
        path = fleet.root / "cache" / "moddev" / "blobs" / digest[:2] / digest
        data = bytearray(path.read_bytes())
        data[1000] ^= 4
        path.chmod(0o600)
        path.write_bytes(data)
        damaged = cache(fleet, "verify", code=1)[0]["damaged"]
        check([one["digest"] for one in damaged] == [blob["digest"]], damaged)
        check(damaged[0]["modules"] == [{"name": "weights.bin", "version": 1}], damaged)
        check(cache(fleet, "verify")[0]["damaged"] == [], "it is named once")
        check(not path.exists(), "a damaged file stays in its place")
        executor.kill()
        second = fleet.executor("second", every=20)
        second.wait_event("called", lambda event: event["result"] == 41)
        wait_for(path.exists, "it was fetched anew")

        # Without a daemon and without executors, what ran last is kept, and runs.
        watch.kill()
        second.kill()
        kept = cache(fleet, "collect", "--keep", "0")[0]
        # The data file, and version 1 and 41 of the module: the fifty had another endpoint than these.
        check(kept["kept"] == kept["in_use"] == 3, kept)
        left = cache(fleet)
        check(all(file["ran_last"] and not file["pids"] for file in left) and len(left) == 3, left)
        offline = fleet.executor("offline", every=20)
        offline.wait_event("stale")
        offline.wait_event("called", lambda event: event["result"] == 41)
        check(results_of(offline)[-1] == 41, "another version ran")
        offline.kill()

        # By age: nothing is younger than the flag says.
        (fleet.root / "cache" / "moddev" / "last").rename(fleet.root / "last")
        check(cache(fleet, "collect")[0]["removed"] == 0, "what is new was collected")
        old = time.time() - 31 * 24 * 3600
        os.utime(path, (old, old))
        check(cache(fleet, "collect")[0]["removed"] == 1, "what is old stays")
        check(not path.exists(), "what is old stays")


if __name__ == "__main__":
    main(test)
