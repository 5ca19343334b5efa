"""An ordinary user, who is there in the lab only, with a range of ids and the devices that rootless engines need."""

import functools
import os
import pathlib
import shutil
import stat

from . import images
from .docker import call
from .flow import Skip
from .podman import Podman

NAME, ID = "sailor", 4321
FIRST, COUNT = 500_000, 65_536

# What is added to these files of the system.
LINES = {
    "passwd": f"{NAME}:x:{ID}:{ID}::{{home}}:/bin/sh",
    "group": f"{NAME}:x:{ID}:",
    "subuid": f"{NAME}:{FIRST}:{COUNT}",
    "subgid": f"{NAME}:{FIRST}:{COUNT}",
}
DEVICES = ["/dev/net/tun", "/dev/fuse"]
BECOME = ["/usr/bin/setpriv", "--reuid", NAME, "--regid", NAME, "--init-groups", "env", "-C", "/"]


class RootlessPodman(Podman):
    """Podman of the user, without any right to a cgroup."""

    user = NAME

    def __init__(self, home, runtime):
        super().__init__(home, runtime, cgroup=None)
        runtime_directory = pathlib.Path("/run/user") / str(ID)
        runtime_directory.mkdir(parents=True, exist_ok=True)
        os.chown(runtime_directory, ID, ID)
        self.env["BUILDAH_ISOLATION"] = "rootless"
        kept = {name: self.env[name] for name in self.env if name.startswith(("CONTAINERS_", "BUILDAH_"))}
        path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        self.env = kept | {"HOME": str(home), "USER": NAME, "XDG_RUNTIME_DIR": str(runtime_directory), "PATH": path}
        self.env["TMPDIR"] = str(home)

    def bare(self, *arguments):
        return call([*BECOME, "podman", *arguments], env=self.env)

    def as_user(self, *command):
        """Any command of the user's."""
        return call([*BECOME, *command], env=self.env)

    def _command(self, arguments):
        return [*BECOME, "podman", *map(str, arguments)]


@functools.cache
def rootless_podman(lab):
    """The user's Podman, with the image of busybox."""
    home = lab.work / NAME
    home.mkdir()
    _add_user(home)
    for device in DEVICES:
        _let_everybody_use(device, home)
    # The user need not be allowed to read the place of the original.
    runtime = home / os.path.basename(lab.runtime)
    shutil.copy(lab.runtime, runtime)
    images.make_busybox_image(home)
    client = RootlessPodman(home, str(runtime))
    call(["chown", "-R", f"{ID}:{ID}", home]).succeeds()
    client("load", "--quiet", "--input", home / "image.tar").succeeds()
    return client


def _add_user(home):
    """Copies of the system's files, with the user in them, cover these in the lab."""
    for name, line in LINES.items():
        original = pathlib.Path("/etc") / name
        if not original.exists():
            raise Skip(f"there is no {original} to put a copy over")
        copy = home / f"etc-{name}"
        copy.write_text(f"{original.read_text().rstrip()}\n{line.format(home=home)}\n".lstrip())
        call(["mount", "--bind", copy, original]).succeeds()


def _let_everybody_use(device, home):
    """A second node of the device covers the one that may be root's alone."""
    if not os.path.exists(device):
        raise Skip(f"{device} is not there")
    place = home / "devices"
    if not place.exists():
        place.mkdir()
        call(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", place]).succeeds()
    node = place / os.path.basename(device)
    os.mknod(node, stat.S_IFCHR | 0o666, os.stat(device).st_rdev)
    node.chmod(0o666)
    call(["mount", "--bind", node, device]).succeeds()
