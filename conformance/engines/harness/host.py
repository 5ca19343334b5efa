"""The part that runs on the machine itself: packages, namespaces, the temporary directory, what is left behind."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

PACKAGES = "docker.io containerd runc iptables iproute2 procps mount busybox-static curl mmdebstrap".split()
MORE_PACKAGES = "docker-registry docker-compose podman buildah conmon uidmap golang-github-containers-common".split()
MORE_PACKAGES += "netavark aardvark-dns catatonit slirp4netns fuse-overlayfs skopeo umoci".split()
MORE_PACKAGES += "containernetworking-plugins python3-grpcio".split()
CGROUPS = pathlib.Path("/sys/fs/cgroup")


def find_runtime(name):
    path = shutil.which(name)
    if not path:
        sys.exit(f"{name}: no such runtime (build it, or say --runtime PATH)")
    return os.path.abspath(path)


def install(installer, groups):
    if os.geteuid() != 0:
        sys.exit("the engines need root")
    subprocess.run([installer, *PACKAGES, *(MORE_PACKAGES if "more" in groups else [])], check=True)


def run_flows(runtime, lab, keep):
    """Runs the flows with one runtime: a dictionary from a flow's name to its mark and the reason for it."""
    print(f"the flows with {runtime}:", flush=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix="bareboat-engines-"))
    work.chmod(0o711)  # root in a user namespace is somebody else here
    parent = work.name
    podmans = "libpod_parent"  # its pods' conmons are there whatever --cgroup-parent says
    cgroups = [parent] if _cgroups(podmans) else [parent, podmans]
    settings = {"runtime": runtime, "work": str(work), "cgroup": parent} | lab
    (work / "settings.json").write_text(json.dumps(settings))
    try:
        _run_inside(work / "settings.json")
        results = json.loads((work / "results.json").read_text())
    except FileNotFoundError:
        sys.exit("the flows ended early")
    finally:
        for cgroup in cgroups:
            remove_cgroups(cgroup)
        if keep:
            print(f"logs and state are in {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    return results


def _run_inside(settings):
    """This script again, as the first process of new namespaces, which takes all others with it when it ends."""
    unshare = "unshare --mount --net --pid --fork --kill-child --mount-proc --".split()
    script = os.path.abspath(sys.argv[0])
    subprocess.run([*unshare, sys.executable, script, *sys.argv[1:], "--inside", settings], check=False)


def remove_cgroups(name):
    """Removes the cgroup of this name, and those below it, from all hierarchies."""
    for top in _cgroups(name):
        for directory, _, _ in os.walk(top, topdown=False):
            _remove_cgroup(directory)


def has_several_hierarchies():
    """Whether they are directories in a tmpfs, as those of version 1 are."""
    return not (CGROUPS / "cgroup.procs").exists()


def _cgroups(name):
    """In cgroup v2's one hierarchy, or in each one of v1."""
    return [path for path in [CGROUPS / name, *CGROUPS.glob(f"*/{name}")] if path.is_dir()]


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
