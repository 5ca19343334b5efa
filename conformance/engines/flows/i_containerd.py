"""containerd without Docker: `ctr run`."""

import json
import os
import pathlib

from harness.docker import call, on_terminal
from harness.flow import Skip, flow, holds, same, until

IMAGE = "docker.io/library/busybox:latest"


def _command(lab, *arguments):
    return ["/usr/bin/ctr", "--address", str(lab.containerd_socket), *map(str, arguments)]


def _ctr(lab, *arguments, stdin=""):
    return call(_command(lab, *arguments), stdin)


def _import_image(lab):
    archive = lab.work / "saved.tar"
    if not archive.exists():
        lab.docker("save", "--output", archive, "busybox").succeeds()
        _ctr(lab, "images", "import", archive).succeeds()


def _arguments(lab, name, command, options):
    """Of `ctr run`."""
    _import_image(lab)
    chosen = ["--runc-binary", lab.runtime, "--cgroup", f"/{lab.cgroup}/{name}"]
    return ["run", *chosen, *options, IMAGE, name, *command]


def _run(lab, name, *command, options=(), stdin=""):
    return _ctr(lab, *_arguments(lab, name, command, options), stdin=stdin)


def _shell(lab, name, script, *options):
    """What a shell script prints."""
    return _run(lab, name, "sh", "-c", script, options=["--rm", *options]).succeeds()


def _exec(lab, name, *command, options=()):
    return _ctr(lab, "tasks", "exec", "--exec-id", f"{name}-other", *options, name, *command)


def _start(lab, name, *command, options=()):
    _run(lab, name, *(command or ["sleep", "600"]), options=["--detach", *options]).succeeds()


def _end(lab, name, code=137):
    _ctr(lab, "tasks", "kill", "--signal", "KILL", name).succeeds()
    until(lambda: f"exit code {code}" in _ctr(lab, "tasks", "delete", name).err, f"it ended with {code}")
    _ctr(lab, "containers", "delete", name).succeeds()


@flow("ctr: run prints and returns the exit code")
def run(lab):
    same(_run(lab, "ctr-hello", "echo", "Hello World", options=["--rm"]).succeeds(), "Hello World", "the output")
    _run(lab, "ctr-code", "sh", "-c", "exit 3", options=["--rm"]).fails_with(3)


@flow("ctr: run -d, exec, kill, delete")
def detached(lab):
    _start(lab, "ctr-detached", "sleep", "1004")
    script = ["sh", "-c", "ps | grep -c 'sleep [1]004'"]
    same(_exec(lab, "ctr-detached", *script).succeeds(), "1", "the processes")
    _exec(lab, "ctr-detached", "sh", "-c", "exit 4").fails_with(4)
    same(_exec(lab, "ctr-detached", "id", "-u", options=["--user", "1000"]).succeeds(), "1000", "the user of exec")
    same(_exec(lab, "ctr-detached", "pwd", options=["--cwd", "/tmp"]).succeeds(), "/tmp", "the directory of exec")
    _end(lab, "ctr-detached")


@flow("ctr: a program that is not there is named in the error")
def cannot_execute(lab):
    result = _run(lab, "ctr-nosuch", "nosuch", options=["--rm"])
    result.fails_with(1)
    holds(result.err, 'exec: "nosuch": executable file not found in $PATH', "the error")
    _start(lab, "ctr-reason")
    result = _exec(lab, "ctr-reason", "/etc/passwd")
    same(result.code != 0, True, "that exec of a file that is no program fails")
    holds(result.err, "permission denied", "the error of exec")
    _end(lab, "ctr-reason")


@flow("ctr: --memory-limit, --cpus and --cpu-shares, and metrics")
def limits(lab):
    options = ["--memory-limit", 64 << 20, "--cpus", "0.5", "--cpu-shares", "512"]
    _start(lab, "ctr-limits", options=options)
    script = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.shares 2>/dev/null"
    script += " || { cat memory.max; cut -d' ' -f1 cpu.max; echo 512; }"
    mount = ["--mount", "type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro"]
    seen = _shell(lab, "ctr-limited", script, *options, *mount)
    same(seen.split(), [str(64 << 20), "50000", "512"], "the limits")
    holds(_ctr(lab, "tasks", "metrics", "ctr-limits").succeeds(), str(64 << 20), "the metrics")
    _end(lab, "ctr-limits")


@flow("ctr: pause stops the processes, resume lets them go on")
def pause(lab):
    shared = lab.work / "ctr-pause"
    shared.mkdir()
    mount = ["--mount", f"type=bind,src={shared},dst=/data,options=rbind:rw"]
    _start(lab, "ctr-pause", "sh", "-c", "while :; do echo >>/data/turns; sleep 0.02; done", options=mount)

    def turns():
        return os.path.getsize(shared / "turns") if (shared / "turns").exists() else 0

    until(lambda: turns() > 0, "it runs")
    _ctr(lab, "tasks", "pause", "ctr-pause").succeeds()
    holds(_ctr(lab, "tasks", "list").succeeds(), "PAUSED", "the list of tasks")
    before = turns()
    call(["sleep", "0.2"])
    same(turns(), before, "the turns after a while")
    _ctr(lab, "tasks", "resume", "ctr-pause").succeeds()
    until(lambda: turns() > before, "it goes on")
    _end(lab, "ctr-pause")


@flow("ctr: environment, directory, mounts, a read-only root")
def options(lab):
    file = lab.work / "ctr-file"
    file.write_text("given")
    mount = f"type=bind,src={file},dst=/given,options=rbind:ro"
    script = "echo $COLOUR; pwd; cat /given; echo; touch /x; echo x >/given"
    chosen = ["--env", "COLOUR=blue", "--cwd", "/tmp", "--read-only", "--mount", mount]
    result = _run(lab, "ctr-options", "sh", "-c", script, options=["--rm", *chosen])
    same(result.fails_with(1).splitlines(), ["blue", "/tmp", "given"], "what it sees")
    same(result.err.count("Read-only file system"), 2, "the number of refusals")


@flow("ctr: capabilities, no_new_privileges and seccomp")
def restrictions(lab):
    script = "grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | tr -d '\\n'"
    dropped = _shell(lab, "ctr-drop", script, "--cap-drop", "CAP_CHOWN", "--cap-add", "CAP_SYS_ADMIN")
    same(dropped, "CapBnd:\t00000000a82425faNoNewPrivs:\t1Seccomp:\t0", "the restrictions")
    lifted = _shell(lab, "ctr-lift", script, "--allow-new-privs", "--seccomp")
    same(lifted, "CapBnd:\t00000000a80425fbNoNewPrivs:\t0Seccomp:\t2", "the other restrictions")
    profile = lab.work / "ctr-seccomp.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    chosen = ["--rm", "--seccomp", "--seccomp-profile", profile]
    holds(_run(lab, "ctr-profile", "mkdir", "/tmp/x", options=chosen).err, "Operation not supported", "the error")


@flow("ctr: run -t has a terminal", group="more")
def terminal(lab):
    arguments = _arguments(lab, "ctr-terminal", ["sh"], ["--rm", "--tty"])
    talk = [("# ", "tty; stty size\n"), ("/dev/pts/0", ""), ("33 101", "exit 7\n")]
    code, _ = on_terminal(_command(lab, *arguments), dict(os.environ), talk, rows=33, columns=101)
    same(code, 7, "the exit code")


@flow("ctr: --net-host and --with-ns join namespaces that exist", group="more")
def namespaces(lab):
    script = "readlink /proc/self/ns/net"
    outside = os.readlink("/proc/self/ns/net")
    same(_shell(lab, "ctr-host", script, "--net-host"), outside, "the network")
    _start(lab, "ctr-first")
    pid = _ctr(lab, "tasks", "list").succeeds().split("ctr-first")[1].split()[0]
    chosen = [f"--with-ns={kind}:/proc/{pid}/ns/{name}" for kind, name in [("network", "net"), ("uts", "uts")]]
    inside = os.readlink(f"/proc/{pid}/ns/net")
    same(_shell(lab, "ctr-second", script, *chosen), inside, "the network of the other")
    _end(lab, "ctr-first")


@flow("ctr: --uidmap and --gidmap run a container in a user namespace", group="more")
def user_namespace(lab):
    # As /run/containerd is: root of the namespace has to get through to the root filesystem.
    (lab.work / "containerd").chmod(0o711)
    maps = ["--uidmap", "0:100000:65536", "--gidmap", "0:200000:65536"]
    _start(lab, "ctr-mapped", options=maps)
    pid = _ctr(lab, "tasks", "list").succeeds().split("ctr-mapped")[1].split()[0]
    ids = call(["grep", "-E", "^[UG]id:", f"/proc/{pid}/status"]).succeeds().split()
    same((ids[1], ids[6]), ("100000", "200000"), "the ids outside")
    same(_exec(lab, "ctr-mapped", "id", "-u").succeeds(), "0", "the user inside")
    _end(lab, "ctr-mapped")


@flow("ctr: --rootfs, --no-pivot and --pid-file", group="more")
def bare_root(lab):
    root = lab.work / "ctr-rootfs"
    root.mkdir()
    call(["tar", "-xf", lab.archives["busybox"], "-C", root]).succeeds()
    (root / "given").write_text("given")
    pid_file = lab.work / "ctr-pid"
    places = ["--runc-binary", lab.runtime, "--cgroup", f"/{lab.cgroup}/ctr-bare"]
    chosen = ["--detach", "--no-pivot", "--pid-file", pid_file, "--rootfs", root]
    _ctr(lab, "run", *places, *chosen, "ctr-bare", "/bin/sleep", "600").succeeds()
    same(pathlib.Path(f"/proc/{pid_file.read_text()}/comm").read_text(), "sleep\n", "the name of the process")
    same(_exec(lab, "ctr-bare", "/bin/cat", "/given").succeeds(), "given", "a file of the root")
    same(_exec(lab, "ctr-bare", "/bin/ls", str(root)).code, 1, "that the host's files are seen")
    _end(lab, "ctr-bare")


@flow("ctr: ps, attach and kill with a signal that the program takes", group="more")
def signals(lab):
    _start(lab, "ctr-signals", "sh", "-c", "trap 'exit 5' USR1; while :; do sleep 0.1; done")
    pid = _ctr(lab, "tasks", "list").succeeds().split("ctr-signals")[1].split()[0]
    holds(_ctr(lab, "tasks", "ps", "ctr-signals").succeeds(), pid, "the list of processes")
    _ctr(lab, "tasks", "kill", "--signal", "USR1", "ctr-signals").succeeds()
    until(lambda: "exit code 5" in _ctr(lab, "tasks", "delete", "ctr-signals").err, "it ended with 5")
    _ctr(lab, "containers", "delete", "ctr-signals").succeeds()


@flow("ctr: kill --all reaches every process of a container that shares the host's", group="more")
def kill_all(lab):
    shared_pid = ["--with-ns", "pid:/proc/1/ns/pid"]
    _start(lab, "ctr-all", "sh", "-c", "sleep 1007 & sleep 1007", options=shared_pid)

    def count():
        return call(["pgrep", "-c", "-f", "^sleep 1007$"]).out.strip()

    until(lambda: count() == "2", "both run")
    _ctr(lab, "tasks", "kill", "--all", "--signal", "KILL", "ctr-all").succeeds()
    until(lambda: count() == "0", "both are gone")
    until(lambda: "exit code 137" in _ctr(lab, "tasks", "delete", "ctr-all").err, "it ended with 137")
    _ctr(lab, "containers", "delete", "ctr-all").succeeds()


@flow("ctr: checkpoint is refused with a clear word, and the container runs on", group="more")
def checkpoint(lab):
    if not call([lab.runtime, "--version"]).succeeds().startswith("bareboat"):
        raise Skip("this is about bareboat's words, which it has no checkpoints behind yet")
    _start(lab, "ctr-checkpoint")
    result = _ctr(lab, "tasks", "checkpoint", "--image-path", lab.work / "ctr-image", "ctr-checkpoint")
    result.fails_with(1)
    holds(result.err, "has no checkpoints", "the error")
    _exec(lab, "ctr-checkpoint", "true").succeeds()
    _end(lab, "ctr-checkpoint")
