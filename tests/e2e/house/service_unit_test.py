#!/usr/bin/python3
"""The service unit: systemd finds nothing wrong with it, and the daemon does its work under its restrictions, as far as
they can be had without systemd as process 1: another user without any privilege or way to get one, everything
read-only but state and sockets, its own /tmp and /dev, limits of memory and tasks, no memory that becomes executable.
Of every system call that it makes, the unit's filter lets it.

Needs root, systemd-analyze, unshare, setpriv and strace; is skipped (77) without."""
import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "world"))
from fleet import Failed, Fleet, Process, check  # noqa: E402

USER = "24681"  # nobody's
TOOLS = ("systemd-analyze", "unshare", "setpriv", "prlimit", "strace")

# Mounts as ProtectSystem=strict, ReadWritePaths, PrivateTmp, PrivateDevices and ProtectKernelTunables make them, then the
# limits of the process. $1: the watched directory's parent; the rest: the program.
SANDBOX = r"""
set -e
root=$1; shift
mount --bind / /
mount -o remount,bind,ro /
for place in /run /sys /proc/sys; do mount --bind $place $place; mount -o remount,bind,ro $place; done
for place in state run; do mount --bind $root/$place $root/$place; mount -o remount,bind,rw $root/$place; done
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=755 tmpfs /dev
mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/zero c 1 5; mknod -m 666 /dev/urandom c 1 9
umask 0077
exec strace -f -qq -o $root/run/calls setpriv --reuid=USER --regid=USER --clear-groups --inh-caps=-all \
  --bounding-set=-all --no-new-privs prlimit --core=0 --nproc=64 --data=2147483648 \
  /usr/bin/python3 -c 'import ctypes, os, sys
if ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0): print("no PR_SET_MDWE", file=sys.stderr)
os.execv(sys.argv[1], sys.argv[1:])' "$@"
""".replace("USER", USER)


def allowed_calls(unit):
    """What SystemCallFilter= of the unit comes to."""
    groups = {}
    for line in subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True,
                               check=True).stdout.splitlines():
        if line.startswith("@"):
            group = groups.setdefault(line.strip(), set())
        elif line.startswith(" ") and not line.strip().startswith("#"):
            group.add(line.strip())

    def calls(name):
        if not name.startswith("@"):
            return {name}
        return set().union(*(calls(inner) for inner in groups[name])) if name in groups else set()
    allowed = set()
    for words in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        names = set().union(*(calls(word) for word in words.lstrip("~").split()))
        allowed = allowed - names if words.startswith("~") else allowed | names
    return allowed


def made_calls(log, program):
    """The system calls of the program itself, and of its threads."""
    after = log.split(f'execve("{program}"', 1)
    check(len(after) == 2, "the program was not started")
    return set(re.findall(r"^\d+ +(?:<\.\.\. )?([a-z0-9_]+)(?:\(| resumed)", after[1], re.MULTILINE))


def verify(unit, moddev, root):
    file = root / "moddev@build.service"
    file.write_text(re.sub(r"@CMAKE_INSTALL_FULL_BINDIR@/moddev", str(moddev), unit))
    for flags in ([], ["--user"]):
        done = subprocess.run(["systemd-analyze", "verify", *flags, str(file)], capture_output=True, text=True,
                              env={**os.environ, "XDG_RUNTIME_DIR": str(root / "run")})
        check(done.returncode == 0 and not done.stderr, f"systemd-analyze verify {flags}: {done.stderr}")
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager", str(file)],
                          capture_output=True, text=True)
    check(done.returncode == 0, f"systemd-analyze security: {done.stdout.splitlines()[-1:]} {done.stderr}")
    print(done.stdout.splitlines()[-1])


def serve(fleet, moddev, unit):
    for path in (fleet.root, *fleet.root.iterdir()):
        shutil.chown(path, int(USER), int(USER))
    fleet.compile("m", 1)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", str(fleet.directory)], check=True)  # leases are the owner's
    daemon = Process(fleet, ["unshare", "--mount", "--propagation", "private", "sh", "-c", SANDBOX, "sandbox",
                             str(fleet.root), str(moddev), "watch", "--json", str(fleet.directory)], "watch")
    daemon.wait_event("listening")
    executor = Process(fleet, ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", str(moddev),
                               "executor", "--json", "--call", "m:answer"], "executor")
    executor.wait_event("called", lambda event: event["result"] == 1)
    fleet.rename_into_place(2)
    shutil.chown(fleet.directory / "libm.so", int(USER), int(USER))
    executor.wait_event("called", lambda event: event["result"] == 2)
    check("PR_SET_MDWE" not in daemon.diagnostics(), "the kernel does not refuse executable memory")
    log = fleet.root / "run/calls"
    program = subprocess.run(["pgrep", "-P", str(daemon.process.pid)], capture_output=True, text=True).stdout.split()
    check(len(program) == 1, "the daemon runs below strace")
    os.kill(int(program[0]), signal.SIGTERM)
    check(daemon.process.wait(30) == 0, f"the daemon ended badly: {daemon.diagnostics()}")
    made = made_calls(log.read_text(errors="replace"), moddev)
    forbidden = made - allowed_calls(unit)
    check(not forbidden, f"the unit's filter would refuse {sorted(forbidden)}")
    print(f"{len(made)} different system calls, all of them allowed")


def main():
    parser = argparse.ArgumentParser()
    for name in ("--moddev", "--compiler", "--unit"):
        parser.add_argument(name, required=True)
    arguments = parser.parse_args()
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        print(f"skipped: needs root and {', '.join(missing or TOOLS)}")
        return 77
    unit = pathlib.Path(arguments.unit).read_text()
    # Not below /tmp, which the unit hides; and a program that the other user can reach.
    root = pathlib.Path(tempfile.mkdtemp(prefix="moddev-unit-", dir="/run"))
    root.chmod(0o755)
    moddev = root / "bin-moddev"
    shutil.copy2(arguments.moddev, moddev)
    moddev.chmod(0o755)
    try:
        with Fleet(str(moddev), arguments.compiler, root) as fleet:
            verify(unit, moddev, root)
            serve(fleet, moddev, unit)
    except Failed as failed:
        print(f"FAILED: {failed}")
        return 1
    print("ok")
    return 0


sys.exit(main())
