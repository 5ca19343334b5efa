"""Podman and Buildah of an ordinary user: the runtime is root of a user namespace, and has no cgroup of its own.

Without systemd, or with cgroups of version 1, such a container has no limits, and is neither paused nor measured.
"""

import os

from harness.docker import call
from harness.flow import find, flow, holds, same
from harness.podman import needs, on_podman, with_podman
from harness.user import FIRST, ID, rootless_podman

from . import a_run, b_exec, d_files, e_security, f_namespaces, g_build, j_podman, q_images

AS_DOCKER = [
    *[a_run.hello, a_run.exit_codes, a_run.not_found, a_run.not_executable, a_run.stdin, a_run.terminal],
    *[a_run.interrupt, a_run.detached, a_run.stubborn, a_run.kill, a_run.wait, a_run.restart, a_run.attached_start],
    *[b_exec.plain, b_exec.terminal, b_exec.cannot_execute, b_exec.detached, b_exec.shares, b_exec.top],
    *[d_files.bind_file, d_files.named, d_files.copied_up, d_files.tmpfs, d_files.read_only],
    *[d_files.masked, d_files.added_device],
    *[e_security.capabilities, e_security.unprivileged_user, e_security.unconfined, e_security.own_profile],
    *[e_security.no_new_privileges, e_security.added_group, e_security.streams, e_security.sysctl],
    *[f_namespaces.own_processes, f_namespaces.shared_pid, f_namespaces.shared_ipc, f_namespaces.shared_net],
    *[f_namespaces.host_namespaces, f_namespaces.no_network, f_namespaces.by_name],
    *[g_build.failing],
    *[q_images.differences, q_images.commit, q_images.export_import, q_images.save_load],
]

AS_ROOT = [
    *[j_podman.remove_running, j_podman.attach_terminal, j_podman.user_directory_environment, j_podman.health],
    *[j_podman.process_limits, j_podman.user, j_podman.init],
    *[j_podman.shared_uts, j_podman.published, j_podman.build, j_podman.life],
]

for function in AS_DOCKER:
    flow(f"rootless podman: {find(function).name}", group="more")(with_podman(function, rootless_podman))

for function in AS_ROOT:
    name = find(function).name.removeprefix("podman: ")
    flow(f"rootless podman: {name}", group="more")(on_podman(function.__wrapped__, rootless_podman))


def _rootless(name):
    def register(function):
        return flow(f"rootless podman: {name}", group="more")(on_podman(function, rootless_podman))

    return register


def _ids(pid):
    lines = call(["grep", "-E", "^[UG]id:", f"/proc/{pid}/status"]).succeeds().split()
    return int(lines[1]), int(lines[6])


@_rootless("the container's root is the user outside, its users are of the user's range")
def identity(podman, _lab):
    for options, outside in [([], (ID, ID)), (["--user", "1000:50"], (FIRST + 999, FIRST + 49))]:
        container = podman.sleeper(*options)
        same(_ids(podman.inspect(container, "State.Pid")), outside, f"the ids outside with {options}")


@_rootless("--userns keep-id gives the user the same id inside")
def keep_id(podman, _lab):
    container = podman.sleeper("--userns", "keep-id")
    same(podman("exec", container, "id", "-u").succeeds(), str(ID), "the id inside")
    same(_ids(podman.inspect(container, "State.Pid")), (ID, ID), "the ids outside")
    same(podman("exec", "--user", "0", container, "id", "-u").succeeds(), "0", "root inside")


@_rootless("a directory of the user's is written by the container's root and, with chown, by others")
def volume(podman, _lab):
    directory = podman.directory / "shared"
    directory.mkdir()
    os.chown(directory, ID, ID)
    mount = ["-v", f"{directory}:/data"]
    podman.shell("echo root >/data/roots; echo >/data/guests; chown 1000:1000 /data/guests", mount)
    owners = [(directory / name).stat().st_uid for name in ["roots", "guests"]]
    same(owners, [ID, FIRST + 999], "the files' owners outside")
    result = podman.run("touch", "/data/refused", options=["-v", f"{directory}:/data:ro"])
    holds(result.err, "Read-only file system", "the error")


@_rootless("nothing of the system's root is in reach")
def confined(podman, lab):
    secret = lab.work / "roots-secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    result = podman.run("cat", "/secret", options=["-v", f"{secret}:/secret"])
    result.fails_with(1)
    holds(result.err, "Permission denied", "the error of reading a file of root's")
    result = podman.run("mknod", "/tmp/kmsg", "c", "1", "11", options=["--cap-add", "MKNOD"])
    result.fails_with(1)
    holds(result.err, "Operation not permitted", "the error of making a device")


@_rootless("a pod's containers share namespaces")
def pod(podman, _lab):
    needs("/usr/libexec/podman/catatonit")
    name = podman("pod", "create", "--hostname", "dinghy").succeeds()
    first, second = (podman.sleeper("--pod", name) for _ in range(2))
    script = "for name in ipc net uts; do readlink /proc/self/ns/$name; done; hostname"
    seen = [podman("exec", each, "sh", "-c", script).succeeds() for each in [first, second]]
    same(seen[0], seen[1], "namespaces and name")
    holds(seen[0], "dinghy", "what the first one sees")


@_rootless("fuse-overlayfs and vfs hold the containers' files as well")
def storage(podman, _lab):
    needs("/usr/bin/fuse-overlayfs")
    fuse = ["--storage-driver", "overlay", "--storage-opt", "overlay.mount_program=/usr/bin/fuse-overlayfs"]
    for name, driver in [("fuse", fuse), ("vfs", ["--storage-driver", "vfs"])]:
        root = podman.directory / f"storage-{name}"
        place = [*driver, "--root", root, "--runroot", podman.directory / f"run-{name}"]
        podman.bare(*place, "load", "--quiet", "--input", podman.directory / "image.tar").succeeds()
        script = "touch /new; rm /bin/wget; ls /new /bin/wget; grep ' / ' /proc/mounts"
        seen = podman.bare(*place, "run", "--rm", "busybox", "sh", "-c", script)
        same(seen.out.splitlines()[0], "/new", f"what {name} shows of the files: {seen.err}")
        same("fuse-overlayfs / " in seen.out, name == "fuse", "that the root is of fuse-overlayfs")
        podman.bare(*place, "system", "reset", "--force").succeeds()


@_rootless("nothing is left in the user's directory at run time")
def leftovers(podman, lab):
    name = call([lab.runtime, "--version"]).succeeds().split()[0]
    states = f"/run/user/{ID}/{name}"
    container = podman.sleeper()
    same(os.listdir(states), [container], "the states while a container runs")
    podman("rm", "--force", "--time", "0", container).succeeds()
    podman.run("true").succeeds()
    podman.run("nosuch").fails_with(127)
    same(os.listdir(states), [], "the states when all have ended")


@_rootless("buildah runs steps, and Podman what they made")
def buildah(podman, _lab):
    container = podman.as_user("buildah", "from", "--pull-never", "localhost/busybox").succeeds()
    run = ["buildah", "run", container]
    same(podman.as_user(*run, "id", "-u").succeeds(), "0", "the user inside")
    podman.as_user(*run, "sh", "-c", "echo made >/made; chown 1000 /made; exit 3").fails_with(3)
    podman.as_user("buildah", "commit", "--quiet", "--rm", container, "localhost/made").succeeds()
    seen = podman("run", "--rm", "localhost/made", "sh", "-c", "cat /made; stat -c %u /made").succeeds()
    same(seen, "made\n1000", "the file in the image")
