"""Docker in Docker: a dockerd in a container, whose containers have the same runtime."""

import contextlib
import pathlib

from harness.docker import call
from harness.flow import Skip, flow, same, until
from harness.images import BUSYBOX, SERVICES

# Of /sys/fs/cgroup Docker makes read-only mounts, but for --privileged.
START = """
for mount in $(grep -o ' /sys/fs/cgroup[^ ]* ' /proc/self/mounts); do mount -o remount,bind,rw $mount; done
exec dockerd --host unix:///run/docker.sock --add-runtime tested=/runtime --default-runtime tested \\
    --exec-opt native.cgroupdriver=cgroupfs
"""

SLEEP = "while :; do sleep 1 & wait $!; done"


def _privileges(lab):
    """`--privileged`, or where root has not all capabilities itself, as much of it as it may give."""
    try:
        lab.docker.need_privileged()
    except Skip:
        unconfined = [f"--security-opt={what}=unconfined" for what in ["seccomp", "apparmor", "systempaths"]]
        return ["--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE", "--device-cgroup-rule", "a *:* rwm", *unconfined]
    return ["--privileged"]


class _Inner:
    """The Docker in the container. Its programs are the machine's own."""

    def __init__(self, lab, *options):
        volumes = [f"{path}:{path}:ro" for path in ["/usr", "/etc/alternatives"]]
        volumes += [f"{lab.runtime}:/runtime:ro", f"{lab.archives[BUSYBOX]}:/busybox.tar:ro", "/var/lib/docker"]
        chosen = [*_privileges(lab), *options, *(f"--volume={volume}" for volume in volumes), "--tmpfs", "/run"]
        self._docker = lab.docker
        self.container = lab.docker.start("sh", "-c", START, options=chosen, image=SERVICES)
        until(lambda: self("version").code == 0, "the Docker in the container answers", seconds=30)
        self("import", "/busybox.tar", BUSYBOX).succeeds()

    def __call__(self, *arguments, stdin=""):
        options = ["-i"] if stdin else []
        return self._docker("exec", *options, self.container, "docker", *arguments, stdin=stdin)

    def run(self, *arguments, options=(), stdin=""):
        return self("run", "--rm", *options, BUSYBOX, *arguments, stdin=stdin)

    def shell(self, script, *options):
        return self.run("sh", "-c", script, options=options).succeeds()


@flow("docker in docker: run, exec, stop, a failing program, a build", group="more")
def life(lab):
    inner = _Inner(lab)
    same(inner.run("echo", "Hello World").succeeds(), "Hello World", "the output")
    same(inner.run("cat", options=["-i"], stdin="through").succeeds(), "through", "the output of cat")
    inner.run("sh", "-c", "exit 3").fails_with(3)
    inner.run("nosuch").fails_with(127)
    container = inner("run", "--detach", BUSYBOX, "sh", "-c", f"trap 'exit 5' TERM; {SLEEP}").succeeds()
    script = "for who in 1 self; do readlink /proc/$who/ns/pid; done | uniq | wc -l"
    same(inner("exec", container, "sh", "-c", script).succeeds(), "1", "the number of pid namespaces that exec sees")
    inner("stop", container).succeeds()
    same(inner("inspect", "--format", "{{.State.ExitCode}}", container).succeeds(), "5", "the exit code")
    inner("build", "--tag", "made", "-", stdin=f"FROM {BUSYBOX}\nRUN echo built >/made\n").succeeds()
    same(inner("run", "--rm", "made", "cat", "/made").succeeds(), "built", "the file of the image")


@flow("docker in docker: the inner container's cgroup is below the outer one's, and its limits hold", group="more")
def cgroups(lab):
    for namespace in ["host", "private"]:
        inner = _Inner(lab, "--cgroupns", namespace, "-m", "256m")
        limits = ["-m", "16m", "--memory-swap", "16m", "--pids-limit", "20"]
        container = inner("run", "--detach", *limits, BUSYBOX, "sleep", "1007").succeeds()
        cgroup = _cgroup_of("sleep\0001007\000")
        same(inner.container in cgroup, True, f"that {cgroup} is below that of {inner.container}")
        same(container in cgroup, True, f"that {cgroup} is that of {container}")
        script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
        same(inner("exec", container, "sh", "-c", script).succeeds(), str(16 << 20), "the limit")
        inner("update", "-m", "24m", "--memory-swap", "24m", container).succeeds()
        same(inner("exec", container, "sh", "-c", script).succeeds(), str(24 << 20), "the limit after the update")
        inner("pause", container).succeeds()
        inner("unpause", container).succeeds()
        big = inner("run", "--detach", *limits, BUSYBOX, "tail", "/dev/zero").succeeds()
        same(inner("wait", big).succeeds(), "137", "the exit code of one that outgrows its memory")
        lab.docker.remove_all()
        same(_processes("sleep\0001007\000"), [], "the inner container's processes after the outer one's end")


@flow("docker in docker: network and volumes", group="more")
def network(lab):
    inner = _Inner(lab)
    script = "echo page >/www/index.html; exec httpd -f -h /www"
    options = ["--detach", "-v", "pages:/www", "-p", "8083:80"]
    inner("run", *options, BUSYBOX, "sh", "-c", script).succeeds()
    until(lambda: _page(lab, inner) == "page\n", "the published port answers")
    same(inner.shell("cat /www/index.html", "-v", "pages:/www:ro"), "page", "the content of the volume")
    inner.run("touch", "/www/new", options=["-v", "pages:/www:ro"]).fails_with(1)


def _page(lab, inner):
    """What the outer container's address has on the inner one's port."""
    address = lab.docker.inspect(inner.container, "NetworkSettings.IPAddress")
    curl = ["curl", "--silent", "--noproxy", "*", "--max-time", "5", f"http://{address}:8083/"]
    return call(curl).out


def _processes(command_line):
    found = []
    for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if file.read_text(errors="replace") == command_line:
                found.append(file.parent)
    return found


def _cgroup_of(command_line):
    """Where the process with this command line is, in the hierarchy that limits memory."""
    (process,) = _processes(command_line)
    lines = [line.split(":", 2) for line in (process / "cgroup").read_text().splitlines()]
    of_controllers = {controllers: path for _, controllers, path in lines}
    return of_controllers.get("memory", of_controllers.get(""))
