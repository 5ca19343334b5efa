"""The lab's own root filesystem, for the engines of another Debian than the machine's."""

import os
import pathlib
import shutil
import subprocess
import sys

from .host import MORE_PACKAGES, PACKAGES

# What newer Debians have apart, and the program that runs the flows.
FURTHER_PACKAGES = "docker-cli docker-buildx python3".split()


def make(cache, suite):
    """A directory with this Debian and all engines, made where it is not there yet."""
    root = cache / suite
    if not root.exists():
        print(f"installing the engines of Debian {suite} into {root} (once)", flush=True)
        unfinished = root.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        packages = ",".join([*PACKAGES, *MORE_PACKAGES, *FURTHER_PACKAGES])
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}"]
        command += ['--aptopt=Acquire::Check-Valid-Until "false"']  # for a mirror that is behind
        command += [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ["doc", "man", "locale", "info"]]
        if subprocess.run([*command, suite, unfinished], stdin=subprocess.DEVNULL, check=False).returncode != 0:
            sys.exit(f"there is no root filesystem of Debian {suite}")
        unfinished.rename(root)
    return str(root.resolve())


def enter(root, settings):
    """Makes it the root of this mount namespace, writable for the lab alone, with what the lab needs of the machine."""
    work = pathlib.Path(settings["work"])
    repository = pathlib.Path(__file__).resolve().parents[3]
    layers = work / "root"
    merged = layers / "merged"
    for directory in [layers / "upper", layers / "work", merged]:
        directory.mkdir(parents=True)
    layer = f"lowerdir={root},upperdir={layers / 'upper'},workdir={layers / 'work'}"
    _mount("-t", "overlay", "-o", layer, "overlay", merged)
    archives = [path for path in settings.values() if path.endswith(".tar")]
    for path in map(pathlib.Path, ["/proc", "/sys", "/dev", work, repository, *archives, settings["runtime"]]):
        _bind(path, merged / path.relative_to("/"))
    os.chdir(merged)
    subprocess.run(["pivot_root", ".", "mnt"], check=True)
    os.chroot(".")
    subprocess.run(["umount", "--lazy", "/mnt"], check=True)


def _bind(path, target):
    """Puts it at its own place; a program that this Debian has itself stays."""
    if path.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif target.exists():
        return
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount("--rbind", path, target)


def _mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)
