"""Nothing is left behind."""

import pathlib

from harness.flow import flow, same, until


def _processes():
    """Pids and names, without zombies and without this harness itself."""
    found = set()
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = stat.read_text().split(" (", 1)
        except FileNotFoundError:
            continue
        name, state = rest.rsplit(")", 1)[0], rest.rsplit(")", 1)[1].split()[0]
        if state != "Z":
            found.add((int(pid), name))
    return found


def _cgroups(lab):
    top = pathlib.Path("/sys/fs/cgroup")
    return {path for start in [top / lab.cgroup, *top.glob(f"*/{lab.cgroup}")] for path in start.glob("**/*/")}


def _mounts():
    return sorted(line.split()[1] for line in pathlib.Path("/proc/self/mounts").read_text().splitlines())


def _states(lab):
    """Directories that the shim and the runtime keep per container."""
    places = [lab.work / "docker/exec", lab.work / "containerd/state", pathlib.Path("/run")]
    return {path for place in places for path in place.rglob("*") if path.is_dir()}


def _everything(lab):
    return {"processes": _processes(), "cgroups": _cgroups(lab), "mounts": _mounts(), "states": _states(lab)}


def _assert_same(lab, before):
    def unchanged():
        return _everything(lab) == before

    try:
        until(unchanged, "nothing is left", seconds=5)
    finally:
        for what, after in _everything(lab).items():
            same(sorted(set(after) - set(before[what])), [], f"what is left of {what}")


@flow("leftovers: none after ten runs")
def ten_runs(lab):
    lab.docker.run("true").succeeds()
    before = _everything(lab)
    for _ in range(10):
        lab.docker.run("true").succeeds()
    _assert_same(lab, before)


@flow("leftovers: none after a start that fails, and after exec")
def failures(lab):
    lab.docker.run("true").succeeds()
    before = _everything(lab)
    lab.docker.run("nosuch").fails_with(127)
    mount = lab.docker.run("true", options=["-v", "/dev/null:/etc/passwd/below"])
    same(mount.code != 0, True, "that a mount below a file fails")
    container = lab.docker.sleeper()
    same(lab.docker("exec", container, "nosuch").code != 0, True, "that exec of no program fails")
    lab.docker("exec", container, "true").succeeds()
    lab.docker.remove_all()
    _assert_same(lab, before)
