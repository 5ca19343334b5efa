"""The docker client, as flows use it."""

import dataclasses
import os
import pty
import select
import subprocess
import termios
import time

from .flow import Failure, need_all_capabilities
from .images import BUSYBOX

CLIENT = "/usr/bin/docker"


@dataclasses.dataclass(frozen=True)
class Result:
    command: list
    code: int
    out: str
    err: str

    def succeeds(self):
        """The standard output, without the last newline."""
        return self.fails_with(0)

    def fails_with(self, code):
        if self.code != code:
            tail = (self.err.strip() or self.out.strip())[-400:]
            raise Failure(f"`{self._short()}` exits with {self.code} instead of {code}: {tail}")
        return self.out.removesuffix("\n")

    def _short(self):
        words = [str(word) for word in self.command if not str(word).startswith("--host=")]
        return " ".join(words)[:160]


def call(command, stdin="", timeout=60, env=None):
    """Runs a command to its end."""
    done = subprocess.run(command, input=stdin.encode(), capture_output=True, timeout=timeout, env=env, check=False)
    return Result(command, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


class Docker:
    def __init__(self, socket, config):
        self.socket = socket
        self.env = os.environ | {
            "DOCKER_CONFIG": str(config),
            "DOCKER_BUILDKIT": "0",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }
        self.env.pop("DOCKER_HOST", None)
        self.env.pop("DOCKER_CONTEXT", None)

    def __call__(self, *arguments, stdin="", timeout=60, **env):
        return call(self._command(arguments), stdin, timeout, self.env | env)

    def run(self, *arguments, options=(), stdin=""):
        """`docker run --rm` of a command in busybox."""
        return self("run", "--rm", *options, BUSYBOX, *arguments, stdin=stdin)

    def shell(self, script, options=(), stdin=""):
        """What a shell script prints that is run in busybox, and has to succeed."""
        return self.run("sh", "-c", script, options=options, stdin=stdin).succeeds()

    def need_privileged(self):
        """Docker before version 25 asks for every capability that the kernel has, also for those that root lacks."""
        if self.run("true", options=["--privileged"]).code != 0:
            need_all_capabilities()

    def start(self, *arguments, options=(), image=BUSYBOX):
        """`docker run --detach`: the new container's id."""
        return self("run", "--detach", *options, image, *arguments).succeeds()

    def sleeper(self, *options):
        """A container that does nothing, and ends at once when it is told to."""
        return self.start("sh", "-c", "trap exit TERM; while :; do sleep 1 & wait $!; done", options=options)

    def inspect(self, container, field):
        return self("inspect", "--format", "{{." + field + "}}", container).succeeds()

    def remove_all(self):
        containers = self("ps", "--all", "--quiet").succeeds().split()
        if containers:
            self("rm", "--force", "--volumes", *containers)

    def terminal(self, *arguments, **situation):
        """Runs a docker command as on_terminal does."""
        return on_terminal(self._command(arguments), env=self.env, **situation)

    def _command(self, arguments):
        return [CLIENT, f"--host=unix://{self.socket}", *map(str, arguments)]


def on_terminal(command, env, talk=(), rows=24, columns=80, timeout=20):
    """Runs a command on a terminal.

    `talk` holds pairs: a text to wait for, and what is typed then (a str) or the size that the terminal gets (a tuple).
    Returns the exit code and all that was shown.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        termios.tcsetwinsize(0, (rows, columns))
        os.execve(command[0], command, env | {"TERM": "dumb"})
    try:
        shown = _converse(terminal, list(talk), time.monotonic() + timeout)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown
    finally:
        os.close(terminal)


def _converse(terminal, talk, deadline):
    shown, seen = "", 0
    while True:
        while talk and talk[0][0] in shown[seen:]:
            wait_for, answer = talk.pop(0)
            seen = shown.index(wait_for, seen) + len(wait_for)
            if isinstance(answer, tuple):
                termios.tcsetwinsize(terminal, answer)
            else:
                os.write(terminal, answer.encode())
        chunk = _read(terminal, deadline)
        if chunk is None:
            raise Failure(f"the terminal waits for {talk[0][0] if talk else 'the end'!r} and shows {shown[-300:]!r}")
        if not chunk:
            return shown
        shown += chunk.decode(errors="replace")


def _read(terminal, deadline):
    """What the terminal shows next: nothing at its end, None when the time is over."""
    if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
        return None
    try:
        return os.read(terminal, 4096)
    except OSError:  # EIO: the other side is closed
        return b""
