#!/usr/bin/python3
"""What lies on the disk, seen by another user of the machine: key files, lists, sockets, runtime directory, journal with
its audit, blobs and caches. He reads none of them, puts nothing beside them, and connects to nothing. And what he has
laid for us (a directory where a socket will be, files of the wrong owner) is not used.
Needs root and setpriv; is skipped (77) without."""
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "world"))
from fleet import Fleet, check, main  # noqa: E402

NOBODY = 65534
# A public key of RFC 8032, 7.1.
STRANGER = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
# What he tries with each path that he is told: to read, list, write, make, remove, connect.
TRIES = """
import os, socket, sys
done = []
def attempt(what, action):
    try:
        action()
    except OSError:
        return
    done.append(what)
for path in sys.argv[1:]:
    attempt(f"read {path}", lambda: open(path, "rb").read(1))
    attempt(f"list {path}", lambda: os.listdir(path))
    attempt(f"write {path}", lambda: open(path, "ab"))
    attempt(f"make in {path}", lambda: open(os.path.join(path, "evil"), "wb"))
    attempt(f"make beside {path}", lambda: open(path + ".evil", "wb"))
    attempt(f"rename {path}", lambda: os.rename(path, path + ".moved"))
    attempt(f"remove {path}", lambda: os.unlink(path))
    stream = socket.socket(socket.AF_UNIX)
    attempt(f"connect to {path}", lambda: stream.connect(path))
print("\\n".join(done))
"""


def as_nobody(*words, environment=None):
    return subprocess.run(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *words], text=True,
                          capture_output=True, env=environment, cwd="/", timeout=60, check=False)


def mode_of(path):
    return stat.S_IMODE(path.lstat().st_mode)


def nothing_is_open(fleet):
    """The directories above are open to all here, so that each thing's own mode is what counts."""
    for path in (fleet.root, *(fleet.root / name for name in ("run", "state", "cache", "home"))):
        path.chmod(0o755)
    config = fleet.root / "home/.config"
    config.chmod(0o755)
    private = [config / "moddev", fleet.root / "run/moddev", fleet.root / "state/moddev", fleet.root / "cache/moddev"]
    paths = []
    for top in private:
        check(mode_of(top) == 0o700, f"{top} has mode {mode_of(top):o}")
        paths += [top, *top.rglob("*")]
    names = {path.name for path in paths}
    for name in ("transport.key_secret", "signing.pem", "trusted", "default.sock", "default.sock-events",
                 "journal.sqlite"):
        check(name in names, f"{name} is not among {sorted(names)}")
    for name in ("transport.key_secret", "signing.pem", "trusted", "default.sock", "default.sock-events"):
        path = next(path for path in paths if path.name == name)
        check(mode_of(path) == 0o600, f"{path} has mode {mode_of(path):o}")
    tried = as_nobody("/usr/bin/python3", "-c", TRIES, *map(str, paths))
    check(tried.returncode == 0 and tried.stdout.strip() == "", f"another user could: {tried.stdout}{tried.stderr}")
    return len(paths)


def without_the_directories(fleet):
    """The same where somebody has opened the directories: files and sockets are closed by themselves."""
    opened = []
    for top in ("home/.config/moddev", "run/moddev", "state/moddev"):
        for path in (fleet.root / top, *(fleet.root / top).rglob("*")):
            if path.is_dir() and not path.is_symlink():
                opened.append((path, mode_of(path)))
                path.chmod(0o755)
    secret = [path for top in ("home/.config/moddev", "run/moddev") for path in (fleet.root / top).rglob("*")
              if not path.is_dir() and not path.name.endswith((".key", ".pub.pem", ".lock"))]
    try:
        tried = as_nobody("/usr/bin/python3", "-c", TRIES, *map(str, secret))
    finally:
        for path, mode in opened:
            path.chmod(mode)
    check(tried.returncode == 0 and tried.stdout.strip() == "", f"another user could: {tried.stdout}{tried.stderr}")


def what_he_has_laid(fleet):
    """Things of his where ours should be."""
    program = [fleet.moddev]

    def told(*words, **environment):
        done = subprocess.run([*program, *words], env=dict(fleet.environment, **environment), cwd=fleet.root, text=True,
                              capture_output=True, timeout=60, check=False)
        check(done.returncode == 1, f"{words}: {done}")
        return done.stderr

    his = fleet.root / "his"
    his.mkdir(mode=0o755)
    os.chown(his, NOBODY, NOBODY)
    for words in (("watch", str(fleet.directory), "--bind", f"ipc://{his}/d.sock"), ("status", "--endpoint",
                                                                                     f"ipc://{his}/d.sock")):
        text = told(*words)
        check(str(his) in text, f"{words}: {text}")
    check(list(his.iterdir()) == [], "nothing is left there")
    config = fleet.root / "home/.config/moddev"
    for name in ("signing.pem", "trusted", "transport.key_secret"):
        path = config / name
        os.chown(path, NOBODY, NOBODY)
        text = told("watch", str(fleet.directory), "--bind", "tcp://0.0.0.0:*") if name != "trusted" else \
            told("trust", "list")
        os.chown(path, 0, 0)
        check(name in text, f"{name} of another user: {text}")
    for owner, mode, what in ((NOBODY, 0o644, "belongs to user"), (0, 0o646, "has mode 0646")):
        lies = fleet.directory / "moddev.toml"
        lies.write_text('[[access]]\nwho = ["*"]\nmay = ["publish", "rollback"]\n')
        os.chown(lies, owner, owner)
        lies.chmod(mode)
        for words in (("watch", str(fleet.directory)), ("watch", str(fleet.directory), "--config", str(lies)),
                      ("doctor", str(fleet.directory))):
            text = told(*words)
            check(f"{lies} {what}" in text and "moddev.toml of your own" in text, f"{words}: {text}")
        lies.rename(fleet.root / "moddev.toml")
        for words in (("status",), ("executor", "--name", "e"), ("supervise", "--", "true")):
            text = told(*words)
            check(f"{fleet.root}/moddev.toml {what}" in text, f"{words}: {text}")
        (fleet.root / "moddev.toml").unlink()


def test(arguments):
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        print("skipped: needs root and setpriv to be another user")
        raise SystemExit(77)
    with tempfile.TemporaryDirectory(prefix="moddev-other-user-") as place, Fleet(arguments.moddev, arguments.compiler,
                                                                                   place) as fleet:
        for words in (("keygen",), ("trust", "add", "laptop", "ed25519:" + STRANGER)):
            done = fleet.run(*words)
            check(done.returncode == 0, done.stderr)
        fleet.rename_into_place(1)
        watch = fleet.watch()
        executor = fleet.executor("worker", every=20)
        executor.wait_event("stale")  # it believes another signer
        check(fleet.run("trust", "remove", "laptop").returncode == 0, "trust remove")
        friend = fleet.executor("friend", every=20)
        friend.wait_event("called")
        count = nothing_is_open(fleet)
        without_the_directories(fleet)
        watch.check_alive()
        watch.kill()
        what_he_has_laid(fleet)
        print(f"{count} files, directories and sockets: another user can neither read, change, replace nor connect to any")


if __name__ == "__main__":
    main(test)
