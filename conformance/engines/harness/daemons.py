"""containerd, dockerd and a registry, with all that they write below the lab's directory."""

import contextlib
import json
import os
import shutil
import socket
import subprocess

from .flow import Failure, until
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


REGISTRY = """
version: 0.1
storage:
  filesystem:
    rootdirectory: {work}/registry
  delete:
    enabled: true
http:
  addr: {address}
"""
REGISTRY_ADDRESS = "127.0.0.1:5000"


def _dockerd_settings(lab, client, directory):
    return {
        "hosts": [f"unix://{client.socket}"],
        "containerd": str(lab.containerd_socket),
        "data-root": str(directory / "data"),
        "exec-root": str(directory / "exec"),
        "pidfile": str(directory / "pid"),
        "cgroup-parent": f"/{lab.cgroup}",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "experimental": True,
        "runtimes": {"tested": {"path": lab.runtime}},
        "default-runtime": "tested",
    }


@contextlib.contextmanager
def containerd(lab, template=CONTAINERD):
    """containerd, up and answering."""
    config = lab.work / "containerd.toml"
    values = {"work": lab.work, "socket": lab.containerd_socket, "image": LOCAL_BUSYBOX, "runtime": lab.runtime}
    config.write_text(template.format(**values))
    with _daemon(lab, ["containerd", "--config", config], lab.containerd_socket.exists):
        yield


@contextlib.contextmanager
def dockerd(lab, client, directory, **settings):
    """A dockerd for this client, up and answering, with its files in the directory, and further settings."""
    directory.mkdir(exist_ok=True)
    file = directory / "daemon.json"
    file.write_text(json.dumps(_dockerd_settings(lab, client, directory) | settings, indent=2))
    log = directory / "dockerd.log"
    with _daemon(lab, ["dockerd", "--config-file", file], lambda: client("version").code == 0, log):
        yield


@contextlib.contextmanager
def running(lab):
    """containerd and the dockerd that most flows use, up and answering."""
    with containerd(lab), dockerd(lab, lab.docker, lab.work / "docker"):
        yield


@contextlib.contextmanager
def registry(lab):
    """The address of an empty registry that listens on the lab's loopback interface, for as long as the flow runs."""
    shutil.rmtree(lab.work / "registry", ignore_errors=True)
    config = lab.work / "registry.yml"
    config.write_text(REGISTRY.format(work=lab.work, address=REGISTRY_ADDRESS))
    with _daemon(lab, ["docker-registry", "serve", config], lambda: _listens(REGISTRY_ADDRESS)):
        yield REGISTRY_ADDRESS


def _listens(address):
    host, port = address.split(":")
    with socket.socket() as connection:
        return connection.connect_ex((host, int(port))) == 0


@contextlib.contextmanager
def _daemon(lab, command, ready, log=None):
    log = log or lab.work / f"{command[0]}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"PATH": _path_with_runtime(lab)},
            start_new_session=True,
        )
    try:
        _wait_until(process, ready, log)
        yield
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


def _wait_until(daemon, ready, log):
    try:
        until(lambda: daemon.poll() is not None or ready(), "it answers", seconds=30)
    except Failure:
        daemon.kill()
        daemon.wait()
    if daemon.poll() is not None:
        end = log.read_text(errors="replace")[-2000:]
        raise Failure(f"{daemon.args[0]} does not come up; its log ends with:\n{end}")
