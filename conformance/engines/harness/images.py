"""Archives of root filesystems, made on this machine, that the engines import as images."""

import hashlib
import io
import json
import platform
import shutil
import subprocess
import sys
import tarfile

BUSYBOX = "busybox"
LOCAL_BUSYBOX = "localhost/busybox"
SERVICES = "services"  # Debian with nginx and Redis
NGINX = "nginx"  # the same image


def prepare(cache):
    """The images' archives in the cache, made where they are not there yet."""
    cache.mkdir(parents=True, exist_ok=True)
    archives = {name: cache / f"{name}.tar" for name in [BUSYBOX, SERVICES]}
    _make_busybox(archives[BUSYBOX])
    if not archives[SERVICES].exists():
        _make_services(archives[SERVICES])
    return {name: str(path.resolve()) for name, path in archives.items()}


def make_busybox_image(directory):
    """An image of busybox as `docker save` writes it, for engines that load these."""
    layer = directory / "layer.tar"
    _make_busybox(layer)
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "config": {"Cmd": ["sleep", "600"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer.read_bytes()).hexdigest()}"]},
        "history": [{"created_by": "busybox"}],
    }
    manifest = [{"Config": "config.json", "RepoTags": [f"{LOCAL_BUSYBOX}:latest"], "Layers": ["layer.tar"]}]
    archive = directory / "image.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(layer, "layer.tar")
        _add(tar, "config.json", content=json.dumps(config))
        _add(tar, "manifest.json", content=json.dumps(manifest))
    return archive


def _make_busybox(archive):
    busybox = shutil.which("busybox")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    with tarfile.open(archive, "w") as tar:
        for directory in ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"]:
            _add(tar, directory, tarfile.DIRTYPE, mode=0o1777 if directory == "tmp" else 0o755)
        tar.add(busybox, "bin/busybox")
        for applet in applets:
            if applet != "busybox":
                _add(tar, f"bin/{applet}", tarfile.SYMTYPE, target="busybox")
        _add(tar, "etc/passwd", content="root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/tmp:/bin/sh\n")
        _add(tar, "etc/group", content="root:x:0:\nguest:x:1000:\nstaff:x:50:guest\n")


def _add(tar, name, kind=tarfile.REGTYPE, mode=0o644, target="", content=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname, entry.size = kind, mode, target, len(content)
    tar.addfile(entry, io.BytesIO(content.encode()))


def _make_services(archive):
    """A small Debian with servers in it, from the mirror that apt uses here."""
    print("making an image with nginx and Redis (once)")
    unfinished = archive.with_suffix(".part.tar")
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=nginx-light,redis-server,redis-tools"]
    command += [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ["doc", "man", "locale", "info"]]
    done = subprocess.run(
        [*command, _codename(), unfinished, *_mirror()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        unfinished.unlink(missing_ok=True)
        sys.exit(f"mmdebstrap fails:\n{done.stderr[-2000:]}")
    unfinished.rename(archive)


def _codename():
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def _mirror():
    form = ["--format", "$(SUITE) $(REPO_URI)", "Created-By: Packages"]
    lines = subprocess.run(
        ["apt-get", "indextargets", *form], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [line.split()[1] for line in lines if line.split()[0] == _codename()][:1]
