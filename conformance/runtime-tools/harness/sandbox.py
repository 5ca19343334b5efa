"""Runs one program in namespaces of its own (mount, pid, cgroup), which take with them all that it leaves behind.

The runtime under test sees the machine's cgroup hierarchies with a cgroup of the sandbox as their root, an empty
/run, and temporary files in memory.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

CGROUPS = pathlib.Path("/sys/fs/cgroup")
UNIFIED = "cgroup2"
_RUNNER = "runner"


def run(command, directory, environment, hide_unified=False, timeout=120):
    """The exit code (None when the time was over), the standard output and the standard error of the command."""
    hierarchies = _hierarchies(hide_unified)
    with tempfile.TemporaryDirectory(prefix="bareboat-runtime-tools-") as temporary:
        name = pathlib.Path(temporary).name
        settings = {
            "command": [str(word) for word in command],
            "directory": str(directory),
            "environment": {"TMPDIR": temporary, "PATH": os.environ["PATH"], **environment},
            "hierarchies": hierarchies,
            "cgroups": [str(pathlib.Path(hierarchy["mounted"], name)) for hierarchy in hierarchies],
        }
        try:
            _make_cgroups(settings["cgroups"])
            return _wait([sys.executable, sys.argv[0], "--inside", json.dumps(settings)], timeout)
        finally:
            for cgroup in settings["cgroups"]:
                _remove_cgroups(cgroup)


def _hierarchies(hide_unified):
    mounts = (line.split() for line in pathlib.Path("/proc/self/mounts").read_text().splitlines())
    found = [
        {"mounted": mounted, "type": kind, "options": options}
        for _, mounted, kind, options, *_ in mounts
        if kind in ("cgroup", UNIFIED) and pathlib.Path(mounted).is_relative_to(CGROUPS)
    ]
    return [hierarchy for hierarchy in found if not (hide_unified and hierarchy["type"] == UNIFIED)]


def _make_cgroups(paths):
    for path in map(pathlib.Path, paths):
        path.mkdir()
        for name in ["cpuset.cpus", "cpuset.mems"]:  # nobody may join a cpuset of version 1 before it has these
            if (path.parent / name).exists() and (path / name).exists():
                (path / name).write_text((path.parent / name).read_text())


def _remove_cgroups(top):
    for directory, _, _ in os.walk(top, topdown=False):
        _remove_cgroup(directory)


def _remove_cgroup(directory):
    """A cgroup stays busy for a moment after its last process was killed."""
    for _ in range(100):
        try:
            return os.rmdir(directory)
        except FileNotFoundError:
            return None
        except OSError:
            time.sleep(0.02)
    print(f"left behind: {directory}", file=sys.stderr)
    return None


def _wait(command, timeout):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(timeout=timeout)
        code = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        code = None
    finally:
        process.kill()
    return code, out.decode(errors="replace"), err.decode(errors="replace")


def inside(text):
    """The part that runs in the child: joins the cgroups, unshares, and is init of the new pid namespace."""
    settings = json.loads(text)
    if os.getpid() != 1:
        for cgroup in settings["cgroups"]:
            pathlib.Path(cgroup, "cgroup.procs").write_text("0")
        unshare = "unshare --mount --cgroup --pid --fork --kill-child --mount-proc --".split()
        os.execvp(unshare[0], [*unshare, sys.executable, sys.argv[0], "--inside", text])
    _prepare_mounts(settings)
    child = os.fork()
    if child == 0:
        os.chdir(settings["directory"])
        os.execvpe(settings["command"][0], settings["command"], settings["environment"])
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status) % 256


def _prepare_mounts(settings):
    _mount_cgroups(settings["hierarchies"])
    _mount("tmpfs", "/run")
    _mount("tmpfs", settings["environment"]["TMPDIR"])
    subprocess.run(["mount", "--make-rshared", "/"], check=True)  # as systemd leaves it on most machines


def _mount_cgroups(hierarchies):
    links = {link: os.readlink(link) for link in CGROUPS.iterdir() if link.is_symlink()}
    subprocess.run(["umount", "--recursive", "--lazy", CGROUPS], check=True)
    if [hierarchy["mounted"] for hierarchy in hierarchies] == [str(CGROUPS)]:
        _mount(UNIFIED, CGROUPS)
        runner = CGROUPS / _RUNNER  # a cgroup with processes in it cannot give controllers to those below
        runner.mkdir()
        (runner / "cgroup.procs").write_text("0")
        return
    _mount("tmpfs", CGROUPS)
    for hierarchy in hierarchies:
        pathlib.Path(hierarchy["mounted"]).mkdir()
        _mount(hierarchy["type"], hierarchy["mounted"], _subsystems(hierarchy))
    for link, target in links.items():
        link.symlink_to(target)


def _subsystems(hierarchy):
    """The options that choose the hierarchy of version 1: `cpu,cpuacct`, `none,name=systemd`."""
    if hierarchy["type"] == UNIFIED:
        return None
    general = re.compile(r"rw|ro|nosuid|nodev|noexec|relatime|noatime|xattr|clone_children|noprefix|release_agent=.*")
    chosen = [option for option in hierarchy["options"].split(",") if not general.fullmatch(option)]
    return ",".join(["none", *chosen] if chosen[0].startswith("name=") else chosen)


def _mount(kind, target, options=None):
    command = ["mount", "-t", kind, *(["-o", options] if options else []), kind, target]
    subprocess.run(command, check=True)
