"""Podman with its cgroup manager for systemd: its containers are scopes."""

import functools
import os

from harness.docker import call
from harness.flow import flow, holds, same, until
from harness.here import cgroup_of, exists, file_of, property_of
from harness.images import LOCAL_BUSYBOX

CONTAINERS = """
[containers]
log_driver = "k8s-file"
[engine]
cgroup_manager = "systemd"
events_logger = "file"
runtime_supports_json = ["{name}"]
"""

USER = "user"
BECOME_USER = (
    "setpriv --reuid user --regid user --init-groups --reset-env "
    "env -C / XDG_RUNTIME_DIR=/run/user/1000 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus"
).split()


@functools.cache
def _directory(lab, user):
    """The user's own, with Podman's configuration in it."""
    directory = lab.work / user
    directory.mkdir()
    call(["chown", user, directory]).succeeds()
    name = os.path.basename(lab.runtime)
    (directory / "containers.conf").write_text(CONTAINERS.format(name=name))
    return directory


def _podman(lab, *arguments, user="root"):
    """As another user in a service of that user's systemd, which gives it a cgroup of its own to divide."""
    directory = _directory(lab, user)
    setting = f"CONTAINERS_CONF={directory}/containers.conf"
    before = ["env", setting]
    if user != "root":
        service = ["systemd-run", "--user", "--quiet", "--collect", "--pipe", "--wait", f"--setenv={setting}"]
        # What Podman leaves running is to outlive the service.
        before = [*BECOME_USER, *service, "--property=KillMode=process"]
    storage = ["--root", directory / "storage", "--runroot", directory / "run", "--storage-driver", "overlay"]
    return call([*before, "podman", "--runtime", lab.runtime, *storage, *arguments], timeout=120)


@functools.cache
def _load_image(lab, user):
    _podman(lab, "load", "--quiet", "--input", lab.image, user=user).succeeds()


def _start(lab, *options, user="root"):
    """A container's ID and its cgroup."""
    _load_image(lab, user)
    script = "trap 'exit 5' TERM; while :; do sleep 0.1; done"
    chosen = ["--detach", "--network", "none", *options]
    container = _podman(lab, "run", *chosen, LOCAL_BUSYBOX, "sh", "-c", script, user=user).succeeds()
    pid = _podman(lab, "inspect", "--format", "{{.State.Pid}}", container, user=user).succeeds()
    return container, cgroup_of(pid)


def _limits(cgroup):
    return file_of(cgroup, "memory.max"), file_of(cgroup, "cpu.max").split()[0], file_of(cgroup, "pids.max")


def _properties(scope):
    return tuple(property_of(scope, name) for name in ["MemoryMax", "CPUQuotaPerSecUSec", "TasksMax"])


@flow("podman: limits are in the scope's files and in systemd's properties, and update changes both", group="systemd")
def limits(lab):
    container, cgroup = _start(lab, "-m", "64m", "--cpus", "0.5", "--pids-limit", "50")
    scope = f"libpod-{container}.scope"
    same(cgroup.split("/")[:3], ["", "machine.slice", scope], "the cgroup")
    same(_limits(cgroup), (str(64 << 20), "50000", "50"), "the files")
    same(_properties(scope), (str(64 << 20), "500ms", "50"), "the properties")
    _podman(lab, "update", "--memory", "32m", "--memory-swap", "32m", "--cpus", "0.25", container).succeeds()
    same(_limits(cgroup), (str(32 << 20), "25000", "50"), "the files after the update")
    same(_properties(scope), (str(32 << 20), "250ms", "50"), "the properties after the update")
    call(["systemctl", "daemon-reload"]).succeeds()
    same(_limits(cgroup), (str(32 << 20), "25000", "50"), "the files after systemd was reloaded")
    _podman(lab, "rm", "--force", "--time", "0", container).succeeds()


@flow("podman: exec, stats, pause, unpause, stop and rm of a scope", group="systemd")
def lifetime(lab):
    container, cgroup = _start(lab, "-m", "64m")
    inside = _podman(lab, "exec", container, "sh", "-c", "cat /proc/self/cgroup; echo inside").succeeds()
    holds(inside, "inside", "the output of exec")
    stats = _podman(lab, "stats", "--no-stream", "--format", "{{.MemUsage}}", container).succeeds()
    holds(stats, "67.11MB", "the statistics")
    _podman(lab, "pause", container).succeeds()
    same(file_of(cgroup, "cgroup.freeze"), "1", "whether it is frozen")
    _podman(lab, "unpause", container).succeeds()
    same(file_of(cgroup, "cgroup.freeze"), "0", "whether it is frozen after unpause")
    _podman(lab, "stop", container).succeeds()
    same(_podman(lab, "wait", container).succeeds(), "5", "the exit code")
    _podman(lab, "rm", container).succeeds()
    until(lambda: not exists(cgroup), "the cgroup is gone")
    same(property_of(f"libpod-{container}.scope", "LoadState"), "not-found", "the scope's state")


@flow("podman: a user's container is a scope of that user's systemd", group="systemd")
def rootless(lab):
    container, cgroup = _start(lab, "-m", "64m", "--pids-limit", "50", user=USER)
    scope = f"libpod-{container}.scope"
    holds(cgroup, "/user@1000.service/", "the cgroup")
    holds(cgroup, f"/{scope}", "the cgroup")
    same((file_of(cgroup, "memory.max"), file_of(cgroup, "pids.max")), (str(64 << 20), "50"), "the files")
    same(property_of(scope, "MemoryMax", [*BECOME_USER, "systemctl", "--user"]), str(64 << 20), "the property")
    same(_podman(lab, "exec", container, "id", "-u", user=USER).succeeds(), "0", "the user inside")
    _podman(lab, "pause", container, user=USER).succeeds()
    same(file_of(cgroup, "cgroup.freeze"), "1", "whether it is frozen")
    _podman(lab, "unpause", container, user=USER).succeeds()
    _podman(lab, "stop", container, user=USER).succeeds()
    _podman(lab, "rm", container, user=USER).succeeds()
    until(lambda: not exists(cgroup), "the cgroup is gone")
