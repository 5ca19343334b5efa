"""docker run: output, exit codes, terminals, and a container's life in the background."""

import shutil
import subprocess
import threading
import time

from harness.docker import call
from harness.flow import flow, holds, same, until

TRAP = "trap 'echo told; exit 5' TERM USR1; echo ready; while :; do sleep 1 & wait $!; done"


def _ready(docker, container):
    until(lambda: "ready" in docker("logs", container).out, "the container says that it is ready")


@flow("run: prints Hello World")
def hello(lab):
    same(lab.docker.run("echo", "Hello World").succeeds(), "Hello World", "the output")


@flow("run: an image that is one file and nothing else", group="more")
def one_file(lab):
    directory = lab.work / "one-file"
    directory.mkdir()
    shutil.copy("/bin/busybox", directory)
    dockerfile = 'FROM scratch\nCOPY busybox /\nENTRYPOINT ["/busybox", "echo", "Hello"]\nCMD ["World"]\n'
    (directory / "Dockerfile").write_text(dockerfile)
    lab.docker("build", "--tag", "one-file", directory).succeeds()
    same(lab.docker("run", "--rm", "one-file").succeeds(), "Hello World", "the output")
    same(lab.docker("run", "--rm", "one-file", "there").succeeds(), "Hello there", "the output with an argument")


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


@flow("run: a signal that the client gets is the program's", group="more")
def proxied_signal(lab):
    command = ["docker", f"--host=unix://{lab.docker.socket}", "run", "--rm", "--name", "told", "busybox"]
    with subprocess.Popen([*command, "sh", "-c", TRAP], stdout=subprocess.PIPE, env=lab.docker.env) as client:
        _ready(lab.docker, "told")
        client.terminate()
        out, _ = client.communicate(timeout=20)
    same((client.returncode, out), (5, b"ready\ntold\n"), "exit code and output")


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


@flow("wait: returns when the program ends, and not before")
def wait(lab):
    container = lab.docker.start("sh", "-c", TRAP)
    _ready(lab.docker, container)
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(lab.docker("wait", container).out))
    waiter.start()
    time.sleep(0.5)
    same(answers, [], "what wait says while the program runs")
    lab.docker("kill", "--signal", "TERM", container).succeeds()
    waiter.join(10)
    same(answers, ["5\n"], "what wait says at the end")


@flow("ps: names, states, exit codes and ports")
def listing(lab):
    lab.docker.sleeper("--name", "up", "-p", "127.0.0.1:8081:80")
    lab.docker.sleeper("--name", "held")
    lab.docker("pause", "held").succeeds()
    lab.docker("run", "--name", "over", "busybox", "sh", "-c", "exit 3").fails_with(3)
    lab.docker("create", "--name", "new", "busybox", "true").succeeds()
    lines = lab.docker("ps", "--all", "--format", "{{.Names}} {{.State}} {{.Ports}}").succeeds().splitlines()
    wanted = ["new created ", "over exited ", "held paused ", "up running 127.0.0.1:8081->80/tcp"]
    same(lines, wanted, "the list")
    exited = lab.docker("ps", "--all", "--filter", "name=over", "--format", "{{.Status}}").succeeds()
    holds(exited, "Exited (3)", "the status")
    same(lab.docker("ps", "--format", "{{.Names}}").succeeds().splitlines(), ["held", "up"], "those that run")


@flow("logs: the last lines, both streams, and -f until the program ends", group="more")
def logs(lab):
    script = "for i in 1 2 3; do echo $i; echo $i >&2; done; sleep 1; echo last; exit 1"
    container = lab.docker.start("sh", "-c", script)
    followed = lab.docker("logs", "--follow", container)
    same((followed.out, followed.err), ("1\n2\n3\nlast\n", "1\n2\n3\n"), "what is followed")
    same(lab.docker("logs", "--tail", "1", container).succeeds(), "last", "the last line")


@flow("attach: passes input, shows the output, returns the exit code", group="more")
def attach(lab):
    script = "read line; echo got $line; read line; exit 6"
    container = lab.docker("run", "-d", "-i", "busybox", "sh", "-c", script).succeeds()
    typed = f"{{ echo a line; sleep 1; echo; sleep 1; }} | docker --host=unix://{lab.docker.socket} attach {container}"
    result = call(["sh", "-c", typed], env=lab.docker.env)
    same((result.code, result.out), (6, "got a line\n"), "exit code and output")


@flow("attach: a terminal is left with the escape keys and the program stays")
def attach_terminal(lab):
    container = lab.docker("run", "-dit", "busybox", "sh").succeeds()
    talk = [("", "\n"), ("# ", "echo $((6*7)); stty size\n"), ("42", ""), ("33 101", "\x10\x11")]
    _, shown = lab.docker.terminal("attach", container, talk=talk, rows=33, columns=101)
    holds(shown, "read escape sequence", "what the client says that left")
    same(lab.docker.inspect(container, "State.Status"), "running", "the state")
    code, _ = lab.docker.terminal("attach", container, talk=[("", "\n"), ("# ", "exit 4\n")])
    same(code, 4, "the exit code of the client that stayed")


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
