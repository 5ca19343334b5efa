"""Podman's and Buildah's clients, with configuration and storage of their own."""

import copy
import functools
import os
import pathlib
import shutil

from . import images
from .docker import Docker, call
from .flow import Skip

# Their storage is here, their cgroups are made without systemd, and the limits are ones that root may set everywhere.
CONTAINERS = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
[network]
network_backend = "netavark"
network_config_dir = "{work}/networks"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "{name}"
runtime_supports_json = ["{name}"]
[engine.runtimes]
{name} = ["{runtime}"]
"""

STORAGE = """
[storage]
driver = "overlay"
graphroot = "{work}/storage"
runroot = "{work}/run"
"""

CLIENT = "/usr/bin/podman"

# Podman is told the parent of a container's cgroup by an option.
PLACED = ["run", "create"]


def environment(directory, runtime):
    """What makes the clients use the configuration that this writes to the directory."""
    values = {"work": directory, "runtime": runtime, "name": os.path.basename(runtime)}
    found = os.environ | {"BUILDAH_RUNTIME": runtime, "BUILDAH_ISOLATION": "oci", "TMPDIR": str(directory)}
    found["PODMAN_IGNORE_CGROUPSV1_WARNING"] = "1"  # from version 5 on, with every command
    for variable, content in [("CONTAINERS_CONF", CONTAINERS), ("CONTAINERS_STORAGE_CONF", STORAGE)]:
        file = directory / f"{variable.lower()}.toml"
        file.write_text(content.format(**values))
        found[variable] = str(file)
    return found


class Podman(Docker):
    """Podman, which takes the commands that Docker takes."""

    user = "root"

    def __init__(self, directory, runtime, cgroup):
        self.directory = directory
        self.runtime_name = os.path.basename(runtime)
        self.env = environment(directory, runtime)
        self._cgroup = cgroup

    def bare(self, *arguments):
        """Without the parent of its cgroup, for what belongs to a pod."""
        return call([CLIENT, *arguments], env=self.env)

    def new_directory(self, name):
        """One that the client's user may write to."""
        directory = self.directory / name
        directory.mkdir()
        shutil.chown(directory, self.user)
        return directory

    def remove_all(self):
        self("pod", "rm", "--force", "--all", "--time", "0").succeeds()
        self("rm", "--force", "--all", "--volumes", "--time", "0").succeeds()

    def _command(self, arguments):
        first, *others = map(str, arguments)
        given = "--cgroup-parent" in others
        placed = [f"--cgroup-parent=/{self._cgroup}"] if first in PLACED and not given else []
        return [CLIENT, first, *placed, *others]


@functools.cache
def podman(lab):
    """Root's Podman, with the image of busybox."""
    directory = lab.work / "podman"
    directory.mkdir()
    # Caches of the host's own Podman are not touched.
    pathlib.Path("/var/lib/containers").mkdir(exist_ok=True)
    call(["mount", "-t", "tmpfs", "tmpfs", "/var/lib/containers"]).succeeds()
    # Its conmon leaves a file named oom where it was started.
    os.chdir(directory)
    client = Podman(directory, lab.runtime, lab.cgroup)
    client("load", "--quiet", "--input", images.make_busybox_image(directory)).succeeds()
    return client


def on_podman(function, client_of=podman):
    """A flow that takes Podman's client and the lab."""

    @functools.wraps(function)
    def flow(lab):
        client = client_of(lab)
        try:
            function(client, lab)
        finally:
            client.remove_all()

    return flow


def with_podman(function, client_of=podman):
    """A flow of Docker's, with Podman in its place, and with a directory of its own to leave files in."""

    @functools.wraps(function)
    def with_client(client, lab):
        view = copy.copy(lab)
        view.docker = client
        view.work = client.new_directory(f"{function.__module__}-{function.__name__}")
        function(view)

    return on_podman(with_client, client_of)


def needs(program):
    if not os.access(program, os.X_OK):
        raise Skip(f"{program} is not there")
