"""A moddev fleet of real processes for the tests of this folder: `moddev watch` and `moddev executor`, what they
print as JSON lines, and modules that are rebuilt. Everything is in a temporary directory and ends with the test.

Nothing here waits for luck: each wait has a condition and a deadline, and says what was there when it passed.
"""
import argparse
import contextlib
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time

PATIENCE = 30.0  # a loaded machine with two processors
MARKER = (0x6D6F646465765F61).to_bytes(8, "little")
SOURCE = """
static const volatile long long kAnswer = %s;
__attribute__((visibility("default"))) long long answer(void) { return kAnswer; }
"""
LINK = ["-shared", "-fPIC", "-fvisibility=hidden", "-Wl,--build-id=sha1", "-Wl,-z,defs", "-nostartfiles"]


class Failed(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failed(text)


def wait_for(condition, what, patience=PATIENCE, state=None):
    """Until condition() is true; returns its value."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {patience:.0f} s" + (f"; {state()}" if state else ""))
        time.sleep(0.005)


class Process:
    """One program; its JSON lines as they come, and its diagnostics."""

    def __init__(self, fleet, command, name, extra_environment=None, stdin=None, preexec=None):
        self.name = name
        self.lines = []
        self.stderr_path = fleet.root / f"{name}.{len(fleet.processes)}.stderr"
        environment = dict(fleet.environment, **(extra_environment or {}))
        with open(self.stderr_path, "wb") as stderr:
            self.process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr,
                                            env=environment, cwd=fleet.root, preexec_fn=preexec)
        self._waiting = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        fleet.processes.append(self)

    def _read(self):
        for line in self.process.stdout:
            self._waiting.put(line)

    def events(self):
        """All lines so far, decoded."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.lines.append(json.loads(self._waiting.get_nowait()))
        return self.lines

    def of(self, kind):
        return [event for event in self.events() if event["event"] == kind]

    def last(self, kind):
        found = self.of(kind)
        return found[-1] if found else None

    def wait_event(self, kind, condition=lambda event: True, patience=PATIENCE):
        def found():
            return next((event for event in reversed(self.of(kind)) if condition(event)), None)
        return wait_for(found, f"{self.name}: event '{kind}'", patience,
                        lambda: f"the last lines are {self.events()[-3:]}, diagnostics: {self.diagnostics()[-500:]}")

    def diagnostics(self):
        return self.stderr_path.read_text(errors="replace")

    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """kill -9, and the end is waited for."""
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)
        self.events()

    def check_alive(self):
        check(self.running(), f"{self.name} ended with {self.process.returncode}: {self.diagnostics()[-1000:]}")


class Fleet:
    def __init__(self, moddev, compiler, root=None):
        self.moddev = moddev
        self.compiler = compiler
        self.root = pathlib.Path(root or tempfile.mkdtemp(prefix="moddev-world-"))
        self.directory = self.root / "build"
        self.processes = []
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("MODDEV_")}
        for variable, name in (("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state"), ("XDG_CACHE_HOME", "cache"),
                               ("HOME", "home")):
            (self.root / name).mkdir(mode=0o700)
            self.environment[variable] = str(self.root / name)
        self.directory.mkdir()
        self._template = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for process in self.processes:
            if process.running():
                process.process.send_signal(signal.SIGCONT)
                process.process.kill()
                process.process.wait()
        if kind is not None:
            for process in self.processes:
                text = process.diagnostics()
                if text:
                    print(f"--- {process.name} says:\n{text[-2000:]}")
        shutil.rmtree(self.root, ignore_errors=True)

    # -- processes

    def watch(self, *flags, preexec=None):
        """`preexec` is called in the new process before it becomes moddev."""
        return Process(self, [self.moddev, "watch", str(self.directory), "--json", *flags], "watch", preexec=preexec)

    def processes_named(self, name):
        return [process for process in self.processes if process.name == name]

    def executor(self, name, call="m:answer", every=1000, environment=None):
        flags = ["--call", call, "--every", str(every)] if call else []
        return Process(self, [self.moddev, "executor", "--name", name, "--json", *flags], name, environment)

    def run(self, *arguments):
        return subprocess.run([self.moddev, *arguments], env=self.environment, cwd=self.root, text=True,
                              capture_output=True, timeout=PATIENCE * 2)

    def status(self, *flags):
        """None while there is no daemon."""
        done = self.run("status", "--json", *flags)
        return json.loads(done.stdout) if done.returncode == 0 else None

    # -- modules

    def compile(self, name, answer, into=None):
        """With the real compiler and its linker, straight into the watched directory, as a build does."""
        source = self.root / f"{name}.c"
        source.write_text(SOURCE % answer)
        target = (into or self.directory) / f"lib{name}.so"
        self.build(source, target, f"-Wl,-soname,lib{name}.so")
        return target

    def build(self, source, target, *more):
        subprocess.run([self.compiler, *LINK, "-o", str(target), str(source), *more], check=True)

    def patched(self, answer):
        """The bytes of module m with another answer: a rebuild without the price of a compiler."""
        if self._template is None:
            stage = self.root / "template"
            stage.mkdir()
            path = self.compile("m", str(int.from_bytes(MARKER, "little")) + "LL", stage)
            self._template = path.read_bytes()
            check(self._template.count(MARKER) == 1, "the answer is in the module exactly once")
        return self._template.replace(MARKER, answer.to_bytes(8, "little"))

    def rename_into_place(self, answer):
        """Like lld and mold."""
        temporary = self.root / "m.new"
        temporary.write_bytes(self.patched(answer))
        temporary.chmod(0o755)
        temporary.rename(self.directory / "libm.so")

    def write_in_place(self, answer, pieces=3):
        """Like cp, in a few pieces."""
        data = self.patched(answer)
        with open(self.directory / "libm.so", "wb", buffering=0) as file:
            step = len(data) // pieces + 1
            for at in range(0, len(data), step):
                file.write(data[at:at + step])


def never_back(values, what):
    for before, after in zip(values, values[1:]):
        check(after >= before, f"{what} went back from {before} to {after}")


def epochs_of(executor):
    return [event["epoch"] for event in executor.of("applied")]


def results_of(executor):
    return [event["result"] for event in executor.of("called")]


def main(test, add_arguments=lambda parser: None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--moddev", required=True)
    parser.add_argument("--compiler", default="cc")
    add_arguments(parser)
    arguments = parser.parse_args()
    begin = time.monotonic()
    try:
        test(arguments)
    except Failed as failed:
        print(f"FAILED: {failed}")
        raise SystemExit(1) from failed
    print(f"ok, {time.monotonic() - begin:.1f} s")
