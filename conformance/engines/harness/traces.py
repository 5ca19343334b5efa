"""What containers may leave behind in the lab, which is alone in its namespaces, and in the daemons."""

import collections
import os
import pathlib
import re

from .flow import Failure, same, until

PROC = pathlib.Path("/proc")
CGROUPS = pathlib.Path("/sys/fs/cgroup")
DAEMONS = ["dockerd", "containerd"]


def everything(lab):
    """By kind: all that is there now, and was not, or should not be, before or after a container."""
    return {
        "processes": _processes(),
        "cgroups": _cgroups(lab),
        "mounts": _mounts(),
        "states": _states(lab),
        "network namespaces": _network_namespaces(),
    }


def assert_same(lab, before, seconds=5):
    """That nothing is there but what was."""
    try:
        until(lambda: everything(lab) == before, "nothing is left", seconds)
    finally:
        for what, after in everything(lab).items():
            same(sorted(set(after) - set(before[what])), [], f"what is left of {what}")


def assert_no_keyrings(containers, seconds=20):
    """The kernel frees a session keyring, which is named after its container, when it finds the time."""
    marks = [f"_ses.{container}" for container in containers]

    def left():
        return [line for line in (PROC / "keys").read_text().splitlines() if any(mark in line for mark in marks)]

    until(lambda: not left(), "no session keyring is left", seconds)


def descriptors():
    """How many the daemons have open."""
    return collections.Counter({name: len(_links(PROC / f"{pid}/fd")) for pid, name in _processes() if name in DAEMONS})


def assert_no_more_descriptors(before, slack, seconds=10):
    """The daemons keep a few for reuse."""
    until(
        lambda: all(count <= before[name] + slack for name, count in descriptors().items()),
        f"the daemons have no more than {slack} descriptors more than {dict(before)}: {dict(descriptors())}",
        seconds,
    )


def _processes():
    """Pids and names, without zombies and without this harness itself."""
    found = set()
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            pid, rest = stat.read_text().split(" (", 1)
        except (FileNotFoundError, ProcessLookupError):
            continue
        name, state = rest.rsplit(")", 1)[0], rest.rsplit(")", 1)[1].split()[0]
        if state != "Z":
            found.add((int(pid), name))
    return found


def _cgroups(lab):
    return {
        path for start in [CGROUPS / lab.cgroup, *CGROUPS.glob(f"*/{lab.cgroup}")] for path in start.glob("**/*/")
    }


def _mounts():
    return sorted(line.split()[1] for line in (PROC / "self/mounts").read_text().splitlines())


def _states(lab):
    """What the engine, the shim and the runtime keep per container.

    But for the files on which network namespaces were mounted: dockerd removes them once a minute.
    """
    places = [lab.work / "docker/exec", lab.work / "containerd/state", pathlib.Path("/run")]
    paths = {path for place in places for path in place.rglob("*")}
    return {path for path in paths if path.parent != lab.work / "docker/exec/netns"}


def _network_namespaces():
    """Those that a process is in or has open, or that are mounted somewhere."""
    found = {line.split()[3] for line in (PROC / "self/mountinfo").read_text().splitlines() if " - nsfs " in line}
    for process in PROC.glob("[0-9]*"):
        found |= set(_links(process / "fd")) | set(_links(process / "ns"))
    return {name for name in found if re.fullmatch(r"net:\[\d+\]", name)}


def _links(directory):
    """What the directory's links lead to; nothing when the process is gone."""
    found = []
    try:
        for link in list(directory.iterdir()):
            try:
                found.append(os.readlink(link))
            except OSError:
                continue
    except OSError:
        return []
    return found


def fail_with_all(failures):
    """One failure of the first few."""
    if failures:
        raise Failure(f"{len(failures)} fail, among them: " + "; ".join(map(str, failures[:3])))
