"""Podman and Buildah, which start the runtime through conmon and by themselves."""

import functools
import os

from harness.docker import call
from harness.flow import flow, same, until

# Their storage is here, their cgroups are made without systemd, and the limits are ones that root may set everywhere.
CONTAINERS = """
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
pids_limit = 100
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime_supports_json = ["{name}"]
"""

STORAGE = """
[storage]
driver = "overlay"
graphroot = "{work}/storage"
runroot = "/run/containers/storage"
"""

POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'


@functools.cache
def _environment(lab):
    files = {
        "CONTAINERS_CONF": CONTAINERS.format(name=os.path.basename(lab.runtime)),
        "CONTAINERS_STORAGE_CONF": STORAGE.format(work=lab.work),
    }
    environment = dict(os.environ)
    for variable, content in files.items():
        file = lab.work / f"{variable.lower()}.toml"
        file.write_text(content)
        environment[variable] = str(file)
    return environment


def _podman(lab, *arguments, stdin=""):
    options = ["--runtime", lab.runtime]
    return call(["podman", *options, *arguments], stdin=stdin, env=_environment(lab))


def _buildah(lab, *arguments):
    return call(["buildah", *arguments], env=_environment(lab) | {"BUILDAH_RUNTIME": lab.runtime})


@functools.cache
def _import_image(lab):
    """The image's name."""
    archive = lab.work / "root.tar"
    container = lab.docker("create", "busybox", "true").succeeds()
    lab.docker("export", "--output", archive, container).succeeds()
    _podman(lab, "import", archive, "localhost/busybox").succeeds()
    return "localhost/busybox"


def _run(lab, *command, options=(), stdin=""):
    chosen = ["--network", "none", "--cgroup-parent", f"/{lab.cgroup}"]
    return _podman(lab, "run", *chosen, *options, _import_image(lab), *command, stdin=stdin)


@flow("podman: run prints, passes input, returns exit codes", group="more")
def run(lab):
    same(_run(lab, "echo", "Hello World", options=["--rm"]).succeeds(), "Hello World", "the output")
    same(_run(lab, "cat", options=["--rm", "-i"], stdin="through").succeeds(), "through", "the output of cat")
    _run(lab, "sh", "-c", "exit 3", options=["--rm"]).fails_with(3)
    _run(lab, "nosuch", options=["--rm"]).fails_with(127)
    _run(lab, "/etc/passwd", options=["--rm"]).fails_with(126)


@flow("podman: run -d, exec, logs, stop, rm", group="more")
def detached(lab):
    script = "trap 'echo told; exit 5' TERM; echo ready; while :; do sleep 1 & wait $!; done"
    container = _run(lab, "sh", "-c", script, options=["--detach"]).succeeds()
    until(lambda: "ready" in _podman(lab, "logs", container).out, "it is ready")
    same(_podman(lab, "exec", container, "echo", "inside").succeeds(), "inside", "the output")
    _podman(lab, "stop", container).succeeds()
    same(_podman(lab, "wait", container).succeeds(), "5", "the exit code")
    _podman(lab, "rm", container).succeeds()


@flow("podman: a pod shares its network", group="more")
def pod(lab):
    _podman(lab, "pod", "create", "--infra=false", "--name", "fleet", "--cgroup-parent", f"/{lab.cgroup}").succeeds()
    out = _podman(lab, "run", "--rm", "--pod", "fleet", _import_image(lab), "echo", "Hello World").succeeds()
    same(out, "Hello World", "the output")
    _podman(lab, "pod", "rm", "--force", "fleet").succeeds()


@flow("buildah: run in a working container", group="more")
def buildah(lab):
    container = _buildah(lab, "from", "--pull-never", _import_image(lab)).succeeds()
    options = ["--isolation", "oci", "--network", "none"]
    same(_buildah(lab, "run", *options, container, "echo", "Hello World").succeeds(), "Hello World", "the output")
    _buildah(lab, "run", *options, container, "sh", "-c", "exit 3").fails_with(3)
    _buildah(lab, "rm", container).succeeds()
