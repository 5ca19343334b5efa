"""containerd with systemd's cgroups: by `ctr`, and as Kubernetes calls it."""

import functools

from harness.docker import call
from harness.flow import flow, holds, same, until
from harness.here import exists, file_of, property_of
from harness.images import LOCAL_BUSYBOX

IMAGE = f"{LOCAL_BUSYBOX}:latest"


def _ctr(lab, *arguments):
    return call(["ctr", "--address", lab.containerd_socket, *arguments], timeout=120)


@functools.cache
def _import_image(lab, namespace):
    _ctr(lab, "--namespace", namespace, "images", "import", lab.image).succeeds()


def _run(lab, name, *command, options=()):
    _import_image(lab, "default")
    chosen = ["--runc-binary", lab.runtime, "--runc-systemd-cgroup", "--cgroup", f"system.slice:ctr:{name}"]
    return _ctr(lab, "run", *chosen, *options, IMAGE, name, *command)


@flow("ctr: run with --runc-systemd-cgroup prints and returns the exit code", group="systemd")
def run(lab):
    out = _run(lab, "code", "sh", "-c", "cat /proc/self/cgroup; exit 3", options=["--rm"]).fails_with(3)
    holds(out, "0::/", "the cgroup")
    until(lambda: not exists("system.slice/ctr-code.scope"), "the cgroup is gone")


@flow("ctr: a container is a scope with its limits; pause, exec, kill, delete", group="systemd")
def detached(lab):
    _run(lab, "limited", "sleep", "600", options=["--detach", "--memory-limit", str(64 << 20)]).succeeds()
    cgroup, scope = "system.slice/ctr-limited.scope", "ctr-limited.scope"
    same(file_of(cgroup, "memory.max"), str(64 << 20), "the file")
    same(property_of(scope, "MemoryMax"), str(64 << 20), "the property")
    same(_ctr(lab, "tasks", "exec", "--exec-id", "one", "limited", "echo", "inside").succeeds(), "inside", "the output")
    _ctr(lab, "tasks", "pause", "limited").succeeds()
    same(file_of(cgroup, "cgroup.freeze"), "1", "whether it is frozen")
    _ctr(lab, "tasks", "resume", "limited").succeeds()
    _ctr(lab, "tasks", "kill", "--signal", "KILL", "limited").succeeds()
    until(lambda: "exit code 137" in _ctr(lab, "tasks", "delete", "limited").err, "it ended with 137")
    _ctr(lab, "containers", "delete", "limited").succeeds()
    until(lambda: not exists(cgroup), "the cgroup is gone")


# Numbers of fields in runtime.v1's messages.
POD = {1: {1: "pod", 2: "pod-uid", 3: "default"}, 8: {1: "kubepods.slice", 2: {1: {1: 2}}}}
RESOURCES = {1: 100_000, 2: 50_000, 4: 64 << 20}
CONFINED = {9: "runtime/default"}


@flow("CRI: a pod with SystemdCgroup; limits, update, exec, stop, remove", group="systemd")
def cri(lab):
    from harness.cri import Service

    _import_image(lab, "k8s.io")
    service = Service(lab.containerd_socket)
    pod = service("RunPodSandbox", {1: POD})[1].decode()
    config = {1: {1: "one"}, 2: {1: IMAGE}, 3: ["sleep", "600"], 15: {1: RESOURCES, 2: CONFINED}}
    container = service("CreateContainer", {1: pod, 2: config, 3: POD})[1].decode()
    service("StartContainer", {1: container})
    answer = service("ExecSync", {1: container, 2: ["sh", "-c", "echo inside; cat /proc/self/attr/current"], 3: 60})
    same(answer.get(3, 0), 0, "the exit code")
    same(answer[1].decode().split(), ["inside", "cri-containerd.apparmor.d", "(enforce)"], "the output and the profile")
    scope = f"cri-containerd-{container}.scope"
    cgroup = f"kubepods.slice/{scope}"
    same((file_of(cgroup, "memory.max"), file_of(cgroup, "cpu.max")), (str(64 << 20), "50000 100000"), "the limits")
    service("UpdateContainerResources", {1: container, 2: {4: 32 << 20}})
    same((file_of(cgroup, "memory.max"), property_of(scope, "MemoryMax")), (str(32 << 20),) * 2, "file and property")
    service("StopContainer", {1: container})
    service("RemoveContainer", {1: container})
    service("StopPodSandbox", {1: pod})
    service("RemovePodSandbox", {1: pod})
    until(lambda: not exists(cgroup), "the cgroup is gone")
