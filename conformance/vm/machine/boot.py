"""Boots the guest with a job, and takes its output and exit code."""

import contextlib
import pathlib
import re
import secrets
import subprocess
import sys
import tarfile
import tempfile
import threading

MEGABYTES = 2048
CPUS = 2
SCRATCH_MEGABYTES = 1024
# It takes ten, and on a busy machine a minute.
BOOT_SECONDS = 120
ATTEMPTS = 2
COMMAND_LINE = (
    "systemd.show_status=0 mitigations=off audit=0 panic=-1 reboot=t console=ttyS0 quiet "
    "lsm=landlock,lockdown,yama,apparmor,bpf"
)
# What systemd mounts, by its own parameters.
CGROUPS = {
    "v2": "systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all",
    "hybrid": "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0",
    "v1": "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1",
}


class DidNotBootError(Exception):
    """The machine ended, or was ended, before the job began."""


def _clock():
    """The frequency of the processor's counter, which is this machine's.

    The only other timer that such a guest could compare it with is one that emulation is too slow for while the machine is
    busy; and without a clock the kernel waits forever for a tick that would set up the next one.
    """
    text = pathlib.Path("/proc/cpuinfo").read_text()
    found = re.search(r"^cpu MHz\s*: (\d+)", text, re.MULTILINE)
    return f"tsc_early_khz={found[1]}000" if found else ""


def run(guest, job, cgroups, timeout, with_log):
    """Runs the job to its end, in a machine that gets a second chance to boot, and returns its exit code."""
    for _ in range(ATTEMPTS):
        try:
            return _run_once(guest, job, cgroups, timeout, with_log)
        except DidNotBootError:
            print(f"the machine did not boot in {BOOT_SECONDS} s", file=sys.stderr)
    sys.exit("the machine does not boot")


def _run_once(guest, job, cgroups, timeout, with_log):
    with tempfile.TemporaryDirectory(prefix="bareboat-vm-") as directory:
        work = pathlib.Path(directory)
        marker = secrets.token_hex(16)
        (job / "marker").write_text(marker)
        _pack(job, work / "job.tar")
        _make_scratch(work / "scratch")
        log = work / "log"
        with log.open("wb") as log_file:
            machine = subprocess.Popen(
                _command(guest, work / "job.tar", work / "scratch", cgroups),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log_file,
            )
            began = _begins(machine, marker)
            code = _to_the_end(machine, marker, timeout) if began else None
            ended = machine.wait()
        if with_log or code is None:
            sys.stderr.write(log.read_text(errors="replace")[-6000:])
        if not began:
            raise DidNotBootError
        if code is None:
            reason = f"it was killed after {timeout} s" if ended < 0 else "it ended early"
            sys.exit(f"the job did not come to its end: {reason}")
        return code


def _pack(job, archive):
    with tarfile.open(archive, "w") as tar:
        tar.add(job, ".")
    # A virtio disk is made of whole sectors.
    size = -archive.stat().st_size % 4096
    with archive.open("ab") as file:
        file.write(bytes(size))


def _make_scratch(image):
    """An empty file system for /tmp: the guest's root is an overlay, which can do less (id-mapped mounts, for one)."""
    options = ["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0"]
    size = f"{SCRATCH_MEGABYTES}M"
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    subprocess.run(["mke2fs", *options, image, size], **quiet, check=True)


def _command(guest, disk, scratch, cgroups):
    drives = []
    for name, path in [("root", guest.disk), ("job", disk), ("scratch", scratch)]:
        drives += ["-drive", f"id={name},file={path},format=raw,if=none,snapshot=on"]
        drives += ["-device", f"virtio-blk-device,drive={name}"]
    return [
        "qemu-system-x86_64",
        *["-M", "microvm,rtc=on", "-cpu", "qemu64", "-accel", "tcg,thread=multi"],
        *["-smp", str(CPUS), "-m", str(MEGABYTES), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
        *["-kernel", guest.kernel, "-initrd", guest.initramfs, "-append", f"{CGROUPS[cgroups]} {COMMAND_LINE} {_clock()}"],
        *drives,
        *["-chardev", "stdio,id=out,signal=off", "-device", "virtio-serial-device", "-device", "virtconsole,chardev=out"],
        *["-serial", "file:/dev/stderr"],
    ]


def _begins(machine, marker):
    """Waits for the job to begin."""
    with _killed_after(machine, BOOT_SECONDS):
        # Not all lines are taken: the rest is the job's.
        return any(f"{marker} begins" in line.decode(errors="replace") for line in machine.stdout)


def _to_the_end(machine, marker, timeout):
    with _killed_after(machine, timeout):
        return _relay(machine.stdout, marker)


@contextlib.contextmanager
def _killed_after(machine, seconds):
    guard = threading.Timer(seconds, machine.kill)
    guard.start()
    try:
        yield
    finally:
        guard.cancel()


def _relay(output, marker):
    """Prints what the job says, up to the line with the marker and the exit code."""
    for line in output:
        text = line.decode(errors="replace").rstrip("\r\n")
        said, found, code = text.partition(f"{marker} ")
        if found:
            print(said, end="")
            return int(code)
        print(text, flush=True)
    return None
