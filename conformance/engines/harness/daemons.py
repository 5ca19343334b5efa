"""containerd and dockerd, with all that they write below the lab's directory."""

import contextlib
import json
import os
import subprocess
import sys
import time

from .images import LOCAL_BUSYBOX

CONTAINERD = """
version = 2
root = "{work}/containerd/root"
state = "{work}/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{socket}"
"""


# With Kubernetes' interface, and systemd for its cgroups.
CONTAINERD_CRI = """
version = 2
root = "{work}/containerd/root"
state = "{work}/containerd/state"
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{image}:latest"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{runtime}"
SystemdCgroup = true
"""


def _dockerd_settings(lab):
    return {
        "hosts": [f"unix://{lab.docker.socket}"],
        "containerd": str(lab.containerd_socket),
        "data-root": str(lab.work / "docker/data"),
        "exec-root": str(lab.work / "docker/exec"),
        "pidfile": str(lab.work / "docker.pid"),
        "cgroup-parent": f"/{lab.cgroup}",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "runtimes": {"tested": {"path": lab.runtime}},
        "default-runtime": "tested",
    }


@contextlib.contextmanager
def containerd(lab, template=CONTAINERD):
    """containerd, up and answering."""
    config = lab.work / "containerd.toml"
    values = {"work": lab.work, "socket": lab.containerd_socket, "image": LOCAL_BUSYBOX, "runtime": lab.runtime}
    config.write_text(template.format(**values))
    with _daemon(lab, "containerd", "--config", config) as daemon:
        _wait_until(daemon, lab, lab.containerd_socket.exists)
        yield


@contextlib.contextmanager
def running(lab):
    """Both daemons, up and answering."""
    settings = lab.work / "dockerd.json"
    settings.write_text(json.dumps(_dockerd_settings(lab), indent=2))

    with containerd(lab), _daemon(lab, "dockerd", "--config-file", settings) as dockerd:
        _wait_until(dockerd, lab, lambda: lab.docker("version").code == 0)
        yield


@contextlib.contextmanager
def _daemon(lab, name, *arguments):
    log = lab.work / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [name, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"PATH": _path_with_runtime(lab)},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _path_with_runtime(lab):
    """BuildKit inside dockerd takes `runc` from PATH."""
    directory = lab.work / "bin"
    directory.mkdir(exist_ok=True)
    link = directory / "runc"
    if not link.is_symlink():
        link.symlink_to(lab.runtime)
    return f"{directory}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"


def _wait_until(daemon, lab, ready):
    deadline = time.monotonic() + 30
    while not ready():
        if daemon.poll() is not None or time.monotonic() > deadline:
            name = daemon.args[0]
            log = (lab.work / f"{name}.log").read_text(errors="replace")
            sys.exit(f"{name} does not come up; its log ends with:\n{log[-2000:]}")
        time.sleep(0.05)
