"""The filesystem: volumes, tmpfs, a read-only root, devices."""

import os
import stat

from harness.docker import call
from harness.flow import flow, holds, same


@flow("volumes: a directory, writable and read-only")
def bind(lab):
    directory = lab.work / "shared"
    directory.mkdir()
    (directory / "given").write_text("from outside")
    lab.docker.shell("cat /data/given >/data/copied", options=["-v", f"{directory}:/data"])
    same((directory / "copied").read_text(), "from outside", "the copy")
    result = lab.docker.run("touch", "/data/refused", options=["-v", f"{directory}:/data:ro"])
    result.fails_with(1)
    holds(result.err, "Read-only file system", "the error")


@flow("volumes: a single file")
def bind_file(lab):
    file = lab.work / "single"
    file.write_text("one file")
    same(lab.docker.shell("cat /etc/single", options=["-v", f"{file}:/etc/single:ro"]), "one file", "the content")


@flow("volumes: a named one outlives its container")
def named(lab):
    lab.docker("volume", "create", "kept").succeeds()
    lab.docker.shell("echo kept >/data/file", options=["-v", "kept:/data"])
    same(lab.docker.shell("cat /data/file", options=["-v", "kept:/data"]), "kept", "the content")
    lab.docker("volume", "rm", "kept").succeeds()


@flow("volumes: mounts reach an rshared one, and leave it")
def shared(lab):
    directory = lab.work / "propagated"
    (directory / "below").mkdir(parents=True)
    options = ["-v", f"{directory}:/data:rshared", "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"]
    lab.docker.shell("mount -t tmpfs none /data/below && touch /data/below/seen", options=options)
    same((directory / "below/seen").exists(), True, "that the mount made inside is there outside")
    lab.docker.shell("umount /data/below", options=options)
    same((directory / "below/seen").exists(), False, "that it is still there")


@flow("volumes: mounts reach an rslave one, and do not leave it", group="more")
def slave(lab):
    directory = lab.work / "one-way"
    for name in ["in", "out"]:
        (directory / name).mkdir(parents=True)
    options = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"]
    container = lab.docker.sleeper("-v", f"{directory}:/data:rslave", *options)
    call(["mount", "-t", "tmpfs", "none", directory / "in"]).succeeds()
    try:
        (directory / "in/seen").touch()
        lab.docker("exec", container, "test", "-e", "/data/in/seen").succeeds()
        lab.docker("exec", container, "mount", "-t", "tmpfs", "none", "/data/out").succeeds()
        lab.docker("exec", container, "touch", "/data/out/hidden").succeeds()
        same((directory / "out/hidden").exists(), False, "that the mount made inside is there outside")
    finally:
        call(["umount", directory / "in"]).succeeds()


@flow("volumes: a new one has the image's files, --volumes-from shares it", group="more")
def copied_up(lab):
    container = lab.docker.sleeper("-v", "/etc")
    same(lab.docker("exec", container, "head", "-c", "4", "/etc/passwd").succeeds(), "root", "the image's file")
    lab.docker("exec", container, "sh", "-c", "echo shared >/etc/new").succeeds()
    same(lab.docker.shell("cat /etc/new", ["--volumes-from", f"{container}:ro"]), "shared", "the content")
    lab.docker.run("touch", "/etc/other", options=["--volumes-from", f"{container}:ro"]).fails_with(1)


@flow("volumes: tmpfs with options, and the size of /dev/shm")
def tmpfs(lab):
    options = ["--tmpfs", "/scratch:size=1m,mode=700,noexec", "--shm-size", "2m"]
    mounts = lab.docker.shell("grep -E ' (/scratch|/dev/shm) ' /proc/mounts", options=options)
    for part in ["size=1024k", "mode=700", "noexec", "size=2048k"]:
        holds(mounts, part, "the list of mounts")


@flow("files: --read-only protects the root, not the volumes")
def read_only(lab):
    result = lab.docker.run("sh", "-c", "touch /tmp/x && ! touch /x", options=["--read-only", "--tmpfs", "/tmp"])
    result.succeeds()
    holds(result.err, "Read-only file system", "the error")


@flow("files: what is masked and what is read-only in /proc")
def masked(lab):
    script = """
        cat /proc/keys /proc/timer_list | wc -c; ls /sys/firmware | wc -l
        true 2>/dev/null >/proc/sysrq-trigger || echo refused"""
    seen = lab.docker.shell(script)
    same(seen.split(), ["0", "0", "refused"], "bytes, files, writing")


@flow("files: the working directory is made")
def working_directory(lab):
    same(lab.docker.run("pwd", options=["-w", "/new/place"]).succeeds(), "/new/place", "the directory")


@flow("devices: the default ones work, others are refused")
def default_devices(lab):
    script = """
        head -c 3 /dev/zero | wc -c; echo x >/dev/null; head -c 4 /dev/urandom | wc -c
        for link in fd stdout ptmx; do readlink /dev/$link; done
        mknod /tmp/kmsg c 1 11; head -c 1 /tmp/kmsg 2>&1 | grep -o 'Operation not permitted'"""
    seen = lab.docker.shell(script).splitlines()
    wanted = ["3", "4", "/proc/self/fd", "/proc/self/fd/1", "pts/ptmx", "Operation not permitted"]
    same(seen, wanted, "what the devices give")


@flow("devices: --device adds one")
def added_device(lab):
    seen = lab.docker.shell(
        "head -c 3 /dev/mine | wc -c; stat -c %F /dev/mine", options=["--device", "/dev/zero:/dev/mine:r"]
    )
    same(seen, "3\ncharacter special file", "what the device gives")


@flow("devices: --device for reading alone refuses writing")
def read_only_device(lab):
    node = lab.work / "kmsg"
    os.mknod(node, 0o600 | stat.S_IFCHR, os.makedev(1, 11))
    options = ["--device", f"{node}:/dev/mine:r", "--cap-add", "SYSLOG"]
    same(lab.docker.shell(": </dev/mine && echo opened", options), "opened", "the answer to reading")
    _is_refused(lab, ": >/dev/mine", options)


def _is_refused(lab, script, options):
    result = lab.docker.run("sh", "-c", script, options=options)
    result.fails_with(1)
    holds(result.err, "Operation not permitted", "the error")


@flow("devices: --device-cgroup-rule allows what a new node may do")
def device_rule(lab):
    options = ["--device-cgroup-rule", "c 1:11 r", "--cap-add", "SYSLOG"]
    node = "mknod /tmp/kmsg c 1 11 && "
    same(lab.docker.shell(f"{node} : </tmp/kmsg && echo opened", options), "opened", "the answer to reading")
    _is_refused(lab, f"{node} : >/tmp/kmsg", options)
    _is_refused(lab, f"{node} : </tmp/kmsg", ["--cap-add", "SYSLOG"])
