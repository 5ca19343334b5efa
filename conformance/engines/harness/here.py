"""The flows of the group systemd, on the machine as it is: a virtual one that ends with them, so nothing is put away."""

import pathlib
import tempfile

from . import daemons, images, inside, report
from .docker import call
from .flow import Failure

CGROUPS = pathlib.Path("/sys/fs/cgroup")


class Lab:
    """What a flow may use."""

    def __init__(self, runtime):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="bareboat-engines-"))
        self.work.chmod(0o755)
        self.runtime = runtime
        self.containerd_socket = self.work / "containerd.sock"
        self.image = images.make_busybox_image(self.work)

    def clear(self):
        """Each flow has containers of its own."""


def main(runtime, flows):
    lab = Lab(runtime)
    with daemons.containerd(lab, daemons.CONTAINERD_CRI):
        results = {flow.name: inside.run(flow, lab) for flow in flows}
    return report.summarise(flows, [runtime], [results])


def property_of(unit, name, systemctl=("systemctl",)):
    """What systemd says of a unit."""
    return call([*systemctl, "show", "--property", name, "--value", unit]).succeeds()


def file_of(cgroup, name):
    """The content of a cgroup's file."""
    try:
        return (CGROUPS / cgroup.strip("/") / name).read_text().strip()
    except OSError as error:
        raise Failure(str(error)) from error


def cgroup_of(pid):
    """The path of the process's cgroup."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError as error:
        raise Failure(f"the container does not run: {error}") from error
    return next(line for line in lines if line.startswith("0::")).split(":")[2]


def exists(cgroup):
    return (CGROUPS / cgroup.strip("/")).exists()
