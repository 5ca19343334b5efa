"""The guest: a Debian root file system, a kernel, and an initramfs that mounts the one with the other."""

import dataclasses
import hashlib
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

HOST_PACKAGES = "qemu-system-x86 busybox-static cpio e2fsprogs kmod mmdebstrap".split()
GUEST_PACKAGES = (
    "systemd systemd-sysv dbus dbus-user-session libpam-systemd udev kmod iproute2 procps jq uidmap util-linux passwd "
    "login apparmor runc crun busybox-static python3 podman conmon golang-github-containers-common containerd "
    "python3-grpcio"
).split()
KERNEL = "linux-image-cloud-amd64"

# What the initramfs loads; the rest the guest loads itself.
FIRST_MODULES = ["virtio_mmio", "virtio_blk", "virtio_console", "overlay", "ext4"]

# They have nothing to do in a guest that lives for a minute, and starting them takes seconds of it.
MASKED_UNITS = """
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer
    systemd-tmpfiles-clean.timer getty.target getty-static.service systemd-networkd.service systemd-resolved.service
    systemd-timesyncd.service systemd-journal-flush.service systemd-update-utmp.service systemd-random-seed.service
    systemd-remount-fs.service systemd-rfkill.service systemd-hwdb-update.service ldconfig.service
    systemd-journal-catalog-update.service systemd-update-done.service systemd-pcrphase.service
    systemd-binfmt.service systemd-machine-id-commit.service systemd-sysusers.service
    containerd.service podman.service podman.socket podman-restart.service podman-auto-update.service
    podman-auto-update.timer
""".split()

GUEST_FILES = pathlib.Path(__file__).resolve().parent.parent / "guest"
IMAGE_MEGABYTES = 1600


@dataclasses.dataclass
class Guest:
    """What qemu is given."""

    kernel: pathlib.Path
    initramfs: pathlib.Path
    disk: pathlib.Path


def prepare(cache):
    """The guest in the cache, made unless one of the same recipe is there."""
    package = _kernel_package()
    directory = cache / _recipe(package)
    if not directory.exists():
        print("making the guest (once)", file=sys.stderr)
        _make_in(cache, directory, package)
    return Guest(directory / "vmlinuz", directory / "initramfs", directory / "disk")


def _make_in(cache, directory, package):
    """Another run may make the same at the same time: the first one that is done is taken."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="unfinished-", dir=cache) as unfinished:
        made = pathlib.Path(unfinished) / "guest"
        # apt drops its privileges.
        made.parent.chmod(0o755)
        made.mkdir()
        _make(made, package)
        if not directory.exists():
            made.rename(directory)


def _recipe(package):
    recipe = hashlib.sha256()
    files = [path for path in sorted(GUEST_FILES.rglob("*")) if path.is_file()]
    for part in [pathlib.Path(__file__), *files]:
        recipe.update(part.read_bytes())
    recipe.update(f"{package} {_codename()}".encode())
    return recipe.hexdigest()[:16]


def _make(directory, package):
    root = directory / "root"
    _bootstrap(root)
    version = _add_kernel(directory, root, package)
    _configure(root)
    _make_initramfs(directory, root / "lib/modules" / version)
    _run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", root, directory / "disk", f"{IMAGE_MEGABYTES}M")
    shutil.rmtree(root)


def _bootstrap(root):
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ["doc", "man", "locale", "info"]]
    include = "--include=" + ",".join(GUEST_PACKAGES)
    _run("mmdebstrap", "--quiet", "--variant=apt", include, *excluded, _codename(), root, *_mirror())


def _kernel_package():
    """The package with the kernel that the metapackage stands for, as name and version."""
    lines = _output("apt-cache", "show", "--no-all-versions", KERNEL).splitlines()
    depends = next((line for line in lines if line.startswith("Depends:")), None)
    if depends is None:
        sys.exit(f"apt knows no package {KERNEL}: run apt-get update")
    return depends.split()[1]


def _add_kernel(directory, root, package):
    _run("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package, cwd=directory)
    archive = next(directory.glob(f"{package}_*.deb"))
    unpacked = directory / "kernel"
    _run("dpkg-deb", "-x", archive, unpacked)
    archive.unlink()
    version = next((unpacked / "lib/modules").iterdir()).name
    shutil.move(unpacked / "boot" / f"vmlinuz-{version}", directory / "vmlinuz")
    (root / "usr/lib/modules").mkdir(exist_ok=True)
    shutil.move(unpacked / "lib/modules" / version, root / "usr/lib/modules" / version)
    shutil.rmtree(unpacked)
    _run("depmod", "-b", root, version)
    return version


def _configure(root):
    units = root / "etc/systemd/system"
    for unit in MASKED_UNITS:
        link = units / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    shutil.copy(GUEST_FILES / "job.service", units)
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "job.service").symlink_to("../job.service")
    shutil.copy(GUEST_FILES / "job", root / "usr/local/sbin/job")
    (root / "usr/local/sbin/job").chmod(0o755)
    (root / "etc/hostname").write_text("guest\n")
    (root / "etc/fstab").write_text("")
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    _add_user(root)


def _add_user(root):
    """A user whose systemd may make cgroups: for rootless containers."""
    _run("chroot", root, "useradd", "--create-home", "--shell", "/bin/sh", "user")
    linger = root / "var/lib/systemd/linger"
    linger.mkdir(parents=True, exist_ok=True)
    (linger / "user").touch()
    delegate = root / "etc/systemd/system/user@.service.d/delegate.conf"
    delegate.parent.mkdir(parents=True)
    delegate.write_text("[Service]\nDelegate=cpu cpuset io memory pids\n")


def _make_initramfs(directory, modules):
    root = directory / "initramfs.d"
    for name in ["bin", "dev", "proc", "sys", "modules", "lower", "upper", "new"]:
        (root / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin/busybox")
    order = _load_order(modules)
    for number, module in enumerate(order):
        shutil.copy(modules / module, root / "modules" / f"{number:02}.ko")
    shutil.copy(GUEST_FILES / "init", root / "init")
    (root / "init").chmod(0o755)
    with (directory / "initramfs").open("wb") as archive:
        names = _output("find", ".", cwd=root)
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], cwd=root, input=names.encode(), stdout=archive, check=True)
    shutil.rmtree(root)


def _load_order(modules):
    """The modules and what they need, each after what it needs. What is built into the kernel is not among them."""
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[path] = others.split()
    by_name = {pathlib.Path(path).name.split(".")[0].replace("-", "_"): path for path in needs}
    order = []
    for name in FIRST_MODULES:
        path = by_name.get(name)
        # modules.dep lists what is needed last first.
        for module in [*reversed(needs.get(path, [])), path]:
            if module and module not in order:
                order.append(module)
    return order


def _codename():
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def _mirror():
    form = ["--format", "$(SUITE) $(REPO_URI)", "Created-By: Packages"]
    lines = _output("apt-get", "indextargets", *form).splitlines()
    return [line.split()[1] for line in lines if line.split()[0] == _codename()][:1]


def _output(*command, cwd=None):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout


def _run(*command, cwd=None):
    done = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} fails:\n{done.stdout[-2000:]}")
