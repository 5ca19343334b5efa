"""The part that runs in namespaces of its own: starts the daemons, loads the images, runs the flows."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

from . import daemons, host, report, root
from .docker import Docker
from .flow import Failure, Skip
from .images import BUSYBOX, NGINX, SERVICES


class Lab:
    """What a flow may use."""

    def __init__(self, settings):
        self.work = pathlib.Path(settings["work"])
        self.runtime = settings["runtime"]
        self.cgroup = settings["cgroup"]
        self.archives = {name: settings[name] for name in [BUSYBOX, SERVICES]}
        self.containerd_socket = self.work / "containerd.sock"
        self.docker = Docker(self.work / "docker.sock", self.work / "client")

    def clear(self):
        """Removes what a flow has left."""
        self.docker.remove_all()

    def load_images(self):
        for name, archive in self.archives.items():
            self.docker("import", archive, name).succeeds()
        self.docker("tag", SERVICES, NGINX).succeeds()


def main(settings_file, flows):
    settings = json.loads(pathlib.Path(settings_file).read_text())
    if os.getpid() == 1:
        if "root" in settings:
            root.enter(settings["root"], settings)
        return _be_init()
    _prepare_namespaces()
    lab = Lab(settings)
    try:
        with daemons.running(lab):
            lab.load_images()
            results = {flow.name: run(flow, lab) for flow in flows}
    except Failure as seen:
        sys.exit(str(seen))
    (lab.work / "results.json").write_text(json.dumps(results))
    return 0


def _be_init():
    """The first process of a pid namespace inherits orphans; it waits for them while its child does the work."""
    child = os.fork()
    if child == 0:
        os.execv("/usr/bin/python3", ["python3", *sys.argv])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def _prepare_namespaces():
    """A loopback interface, and mounts that can be shared.

    /run is empty (the engines keep sockets and locks there), and what is written to /etc is not the machine's. Beside the
    hierarchies of cgroups nothing can be made, as where systemd mounts them: Podman makes directories there for controllers
    without a hierarchy, and fails to remove them.
    """
    for command in [
        "ip link set lo up",
        "mount -t tmpfs -o mode=755 tmpfs /run",
        "mkdir /run/lab-etc /run/lab-etc/upper /run/lab-etc/work",
        "mount -t overlay -o lowerdir=/etc,upperdir=/run/lab-etc/upper,workdir=/run/lab-etc/work overlay /etc",
        "mount -o remount,bind,ro /sys/fs/cgroup" if host.has_several_hierarchies() else "true",
        "mount --make-rshared /",
    ]:
        subprocess.run(command.split(), check=True)


def run(flow, lab):
    """The flow's mark, and the reason for it where it is not ok."""
    start = time.monotonic()
    mark, reason = _try(flow, lab)
    report.print_result(flow, mark, reason, time.monotonic() - start)
    lab.clear()
    return mark, reason


def _try(flow, lab):
    try:
        flow.function(lab)
        return report.OK, ""
    except Skip as lacking:
        return report.SKIP, str(lacking)
    except Failure as seen:
        return report.FAIL, str(seen)
    except subprocess.TimeoutExpired as expired:
        return report.FAIL, f"no end after {expired.timeout} s: {' '.join(map(str, expired.cmd))}"
    except Exception:  # whatever a flow stumbles over, the others still run
        return report.FAIL, traceback.format_exc(limit=-3).strip()
