#!/usr/bin/python3
"""Two machines, each a network namespace, set up with the commands of README.md ("Two machines") and nothing else.

Then everybody who should not get in tries: a stranger's key, no key, another user of the daemon's own machine, by the
socket and by loopback. Each is told why, loads nothing, and the daemon answers others within a second meanwhile.
Needs root, iproute2 and setpriv; is skipped (77) without."""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
PATIENCE = 50


def wait_for(what, condition):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)  # between two looks
    raise SystemExit(f"in vain waited for: {what}")


class Machine:
    """A network namespace, and a home in it."""

    def __init__(self, name, moddev, root, address):
        self.name, self.moddev, self.namespace = name, moddev, f"moddev-{name}-{os.getpid()}"
        self.home = root / name
        for part in ("build", "run"):
            (self.home / part).mkdir(parents=True, mode=0o700)
        self.address, self.processes = address, []

    def command(self, words, user=None):
        words = [self.moddev, *words[1:]] if words[0] == "moddev" else words
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        return ["ip", "netns", "exec", self.namespace, *as_user, *words]

    def environment(self, **more):
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.home / "run"), **more}

    def run(self, *words, user=None, cwd=None, **more):
        began = time.monotonic()
        done = subprocess.run(self.command(list(words), user), cwd=cwd or self.home, env=self.environment(**more),
                              capture_output=True, text=True, timeout=PATIENCE, check=False)
        done.seconds = time.monotonic() - began
        return done

    def start(self, *words):
        output = self.home / f"output-{len(self.processes)}"
        with open(output, "w") as file:
            self.processes.append(subprocess.Popen(self.command(list(words)), cwd=self.home, stdout=file,
                                                   stderr=subprocess.STDOUT, env=self.environment()))
        return output

    def end(self):
        for process in self.processes:
            process.terminate()
            process.wait()


def quiet(*words):
    subprocess.run(words, check=True, capture_output=True)


def connect(there, here):
    cable = [f"mdv{os.getpid() % 100000}{end}" for end in "ab"]
    for machine in (there, here):
        quiet("ip", "netns", "add", machine.namespace)
    quiet("ip", "link", "add", cable[0], "type", "veth", "peer", "name", cable[1])
    for machine, end in zip((there, here), cable):
        quiet("ip", "link", "set", end, "netns", machine.namespace)
        inside = ("ip", "-n", machine.namespace)
        quiet(*inside, "addr", "add", f"{machine.address}/24", "dev", end)
        quiet(*inside, "link", "set", end, "up")
        quiet(*inside, "link", "set", "lo", "up")


def commands_of_readme():
    """[(machine, words)] of the block behind the heading."""
    text = (ROOT / "README.md").read_text().split("## Two machines", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"^ *(there|here)\$ +(.+?)(?: +#.*)?$", text, re.MULTILINE)
    assert 0 < len(found) < 10, f"{len(found)} commands"
    return [(machine, re.findall(r"'[^']*'|\S+", line)) for machine, line in found]


def build_module(compiler, machine, value):
    source = machine.home / "scorer.c"
    source.write_text(f"long long answer(void) {{ return {value}; }}\n")
    subprocess.run([compiler, "-shared", "-fPIC", "-Wl,--build-id", "-o", machine.home / "scorer.new", source],
                   check=True)
    (machine.home / "scorer.new").rename(machine.home / "build/libscorer.so")


def set_up(machines, compiler):
    """Types the README's commands."""
    keys, executor = {}, None
    build_module(compiler, machines["there"], 41)
    for name, words in commands_of_readme():
        machine = machines[name]
        words = [{"HERE_KEY": keys.get("here"), "THERE_KEY": keys.get("there")}.get(word.strip("'"), word) for word in words]
        print(f"{name}$ {' '.join(words)}")
        if words[1] == "keygen":
            printed = machine.run(*words)
            assert printed.returncode == 0, printed.stderr
            keys[name] = re.search(r"transport key\s+\S+(?: \S+)?\s+(\S{40})\s", printed.stdout)[1]
        elif words[1] == "watch":
            log = machine.start(*words)
            wait_for("the daemon to listen", lambda: "listening" in log.read_text())
        elif words[1] == "executor":
            executor = machine.start(*words, "--json", "--name", "far")
        else:
            done = machine.run(*words)
            assert done.returncode == 0, done.stderr
    return executor, log


def expect_refused(what, done, *texts):
    assert done.returncode == 1, f"{what} got in: {done.stdout}{done.stderr}"
    for text in texts:
        assert text in done.stderr, f"{what} was told '{done.stderr}', not '{text}'"
    print(f"{what}: {done.stderr.strip()}")


def expect_served(there):
    """The daemon answers its owner within a second; a loaded machine starts programs slowly, so the best of some."""
    best = min(there.run("moddev", "status").seconds for _ in range(3))
    assert best < 1, f"status took {best:.2f} s"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--moddev", required=True)
    parser.add_argument("--compiler", default="cc")
    options = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("setpriv"):
        return 77
    root = pathlib.Path(tempfile.mkdtemp(prefix="moddev-two-"))
    root.chmod(0o755)
    there, here = (Machine("there", options.moddev, root, "10.0.0.1"), Machine("here", options.moddev, root, "10.0.0.2"))
    stranger = Machine("stranger", options.moddev, root, "")
    stranger.namespace = here.namespace
    try:
        try:
            connect(there, here)
        except subprocess.CalledProcessError as error:
            print(f"no network namespaces here: {error.stderr.decode()}")
            return 77
        executor, log = set_up({"there": there, "here": here}, options.compiler)
        wait_for("the far executor's call", lambda: '"result":41' in executor.read_text())
        build_module(options.compiler, there, 42)
        wait_for("the new version there", lambda: '"result":42' in executor.read_text())

        where = "tcp://10.0.0.1:7070"
        expect_refused("no key", stranger.run("moddev", "status", "--endpoint", where),
                       "moddev keygen", f"moddev trust add {where}")
        stranger.run("moddev", "keygen")
        trusted = [line for line in (here.home / ".config/moddev/trusted").read_text().splitlines()
                   if line.startswith("daemon ")][0].split()
        assert stranger.run("moddev", "trust", "add", *trusted[1:]).returncode == 0
        expect_refused("a stranger's key", stranger.run("moddev", "status", "--endpoint", where),
                       "does not trust the key", "moddev trust add")
        loading = stranger.start("moddev", "executor", "--json", "--endpoint", where)
        expect_served(there)
        wait_for("the owner to be told", lambda: "10.0.0.2 was not let in" in log.read_text())

        # Another user of the daemon's own machine: by its socket, and by loopback.
        local = f"ipc://{there.home}/run/moddev/default.sock"
        other = {"HOME": "/", "XDG_RUNTIME_DIR": "/nowhere", "XDG_CACHE_HOME": "/tmp"}
        (there.home / "other").mkdir(exist_ok=True)
        second = there.start("moddev", "watch", "other", "--bind", "tcp://127.0.0.1:7071", "--bind", local)
        wait_for("the second daemon", lambda: "7071" in second.read_text())
        expect_refused("another user, by the socket",
                       there.run("moddev", "status", "--endpoint", local, user=65534, cwd="/", **other), "moddev: ")
        expect_refused("another user, by loopback",
                       there.run("moddev", "status", "--endpoint", "tcp://127.0.0.1:7071", user=65534, cwd="/", **other),
                       "serves processes of user 0 only")
        assert there.run("moddev", "status", "--endpoint", "tcp://127.0.0.1:7071").returncode == 0, "the owner may"
        assert loading.read_text().count('"applied"') == 0, "the stranger loaded something"
        expect_served(there)
    finally:
        for machine in (stranger, here, there):
            machine.end()
        for machine in (here, there):
            subprocess.run(["ip", "netns", "delete", machine.namespace], capture_output=True, check=False)
        shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
