"""docker run: output, exit codes, terminals, and a container's life in the background."""

from harness.flow import flow, holds, same, until

TRAP = "trap 'echo told; exit 5' TERM USR1; echo ready; while :; do sleep 1 & wait $!; done"


def _ready(docker, container):
    until(lambda: "ready" in docker("logs", container).out, "the container says that it is ready")


@flow("run: prints Hello World")
def hello(lab):
    same(lab.docker.run("echo", "Hello World").succeeds(), "Hello World", "the output")


@flow("run: the exit code is the program's")
def exit_codes(lab):
    for code in [0, 3, 255]:
        lab.docker.run("sh", "-c", f"exit {code}").fails_with(code)


@flow("run: a program that is not there gives 127")
def not_found(lab):
    holds(_failing(lab, 127, "nosuch"), 'exec: "nosuch": executable file not found in $PATH', "the error")
    holds(_failing(lab, 127, "/bin/nosuch"), "no such file or directory", "the error")


@flow("run: a program that may not be executed gives 126")
def not_executable(lab):
    holds(_failing(lab, 126, "/etc/passwd"), 'exec: "/etc/passwd": permission denied', "the error")
    _failing(lab, 126, "/etc")


def _failing(lab, code, program):
    result = lab.docker.run(program)
    result.fails_with(code)
    return result.err


@flow("run: standard input reaches the program with -i")
def stdin(lab):
    same(lab.docker.run("wc", "-c", options=["-i"], stdin="x" * 100_000).succeeds(), "100000", "the count of bytes")


@flow("run: standard output and standard error stay apart")
def two_streams(lab):
    result = lab.docker.run("sh", "-c", "echo out; echo err >&2")
    same((result.out, result.err), ("out\n", "err\n"), "what was printed")


@flow("run: -it has a terminal of the client's size, which follows a change")
def terminal(lab):
    talk = [
        ("# ", "tty\n"),
        ("/dev/pts/0", "sleep 1; stty size\n"),
        ("33 101", (44, 77)),
        ("# ", "sleep 1; stty size\n"),
        ("44 77", "exit 7\n"),
    ]
    code, _ = lab.docker.terminal("run", "--rm", "-it", "busybox", "sh", talk=talk, rows=33, columns=101)
    same(code, 7, "the exit code")


@flow("run: control-C on the terminal interrupts the program")
def interrupt(lab):
    script = "trap 'exit 9' INT; echo ready; while :; do sleep 1; done"
    code, _ = lab.docker.terminal("run", "--rm", "-it", "busybox", "sh", "-c", script, talk=[("ready", "\x03")])
    same(code, 9, "the exit code")


@flow("run: -d with logs, stop, rm")
def detached(lab):
    container = lab.docker.start("sh", "-c", TRAP)
    _ready(lab.docker, container)
    same(lab.docker.inspect(container, "State.Status"), "running", "the state")
    lab.docker("stop", container).succeeds()
    same(lab.docker.inspect(container, "State.ExitCode"), "5", "the exit code")
    same(lab.docker("logs", container).succeeds(), "ready\ntold", "the log")
    lab.docker("rm", container).succeeds()
    same(lab.docker("ps", "-aq").succeeds(), "", "the list of containers")


@flow("run: stop kills a program that does not listen")
def stubborn(lab):
    container = lab.docker.start("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
    _ready(lab.docker, container)
    lab.docker("stop", "--time", "1", container).succeeds()
    same(lab.docker.inspect(container, "State.ExitCode"), "137", "the exit code")


@flow("kill: SIGKILL and a signal by name, and wait")
def kill(lab):
    for signal, code in [("KILL", "137"), ("USR1", "5")]:
        container = lab.docker.start("sh", "-c", TRAP)
        _ready(lab.docker, container)
        lab.docker("kill", "--signal", signal, container).succeeds()
        same(lab.docker("wait", container).succeeds(), code, f"the exit code after {signal}")


@flow("restart: a new process in the same container")
def restart(lab):
    container = lab.docker.sleeper()
    before = lab.docker.inspect(container, "State.Pid")
    lab.docker("exec", container, "touch", "/kept").succeeds()
    lab.docker("restart", container).succeeds()
    lab.docker("exec", container, "test", "-e", "/kept").succeeds()
    if lab.docker.inspect(container, "State.Pid") == before:
        same(before, "another pid", "the pid after the restart")


@flow("start: a created container, attached, with input")
def attached_start(lab):
    container = lab.docker("create", "-i", "busybox", "cat").succeeds()
    same(lab.docker("start", "-ai", container, stdin="through").succeeds(), "through", "the output")
    same(lab.docker("start", "-ai", container, stdin="again").succeeds(), "again", "the output of the second start")


@flow("restart policy: a failing container is started again")
def restart_policy(lab):
    container = lab.docker.start("sh", "-c", "echo started; exit 1", options=["--restart", "on-failure:2"])
    until(lambda: lab.docker.inspect(container, "RestartCount") == "2", "it was restarted twice")
    until(lambda: lab.docker("logs", container).out == "started\n" * 3, "it printed its line three times")


@flow("rm -f: a running container")
def remove_running(lab):
    container = lab.docker.sleeper()
    lab.docker("rm", "--force", container).succeeds()
    lab.docker("inspect", container).fails_with(1)
