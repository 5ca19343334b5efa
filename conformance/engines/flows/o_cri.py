"""containerd as a kubelet drives it, over gRPC: the life of pods and their containers."""

import pathlib
import re
import time

from harness.cri import decode
from harness.flow import Failure, flow, holds, same, until
from harness.host import CGROUPS
from harness.kubelet import on_kubelet, restartable_kubelet

MEBI = 1 << 20
STUBBORN = "trap '' TERM; while :; do sleep 0.1; done"
POLITE = "trap 'echo told; exit 5' TERM; echo ready; while :; do sleep 0.1; done"


@on_kubelet("a sandbox and a container start, run and end as a kubelet sees it")
def life(node, _lab):
    pod = node.pod(handler="tested")
    container = node.create(pod, "sh", "-c", "sleep 0.3; exit 4")
    same(node.status(container)[0], "created", "the state")
    node.service("StartContainer", {1: container})
    same(node.status(container)[0], "running", "the state")
    same(node.wait(container)[:3], ("exited", 4, "Error"), "state, exit code and reason")
    again = node.start(pod, "true", config={1: {1: "one", 2: 1}})
    same(node.wait(again)[:3], ("exited", 0, "Completed"), "state, exit code and reason")
    node.service("RemoveContainer", {1: container})
    code, words = node.service.refused("ContainerStatus", {1: container})
    same(code, "NOT_FOUND", f"the error for a container that was removed ({words})")


@on_kubelet("a runtime handler that is not configured is refused")
def unknown_handler(node, _lab):
    config = {1: {1: "pod", 2: "uid", 3: "default"}}
    _, words = node.service.refused("RunPodSandbox", {1: config, 2: "nosuch"})
    holds(words, "nosuch", "the error")


@on_kubelet("ExecSync gives output, errors and the exit code")
def execute(node, _lab):
    container = node.start(node.pod())
    seen = node.execute(container, "sh", "-c", "echo inside; echo wrong >&2; exit 7")
    same(seen, (7, "inside\n", "wrong\n"), "what it gives")
    same(node.shell(container, "cat /proc/1/cmdline | tr '\\0' ' '"), "sleep 600 ", "process 1")
    _, words = node.service.refused("ExecSync", {1: container, 2: ["nosuch"], 3: 60})
    holds(words, 'exec: "nosuch": executable file not found in $PATH', "the error of a program that is not there")
    same(len(node.shell(container, "head -c 200000 /dev/zero | tr '\\0' x")), 200_000, "the length of much output")


@on_kubelet("ExecSync that takes too long ends with DeadlineExceeded, and its process with it")
def timeout(node, _lab):
    container = node.start(node.pod())
    began = time.monotonic()
    code, _ = node.service.refused("ExecSync", {1: container, 2: ["sleep", "1009"], 3: 1})
    same(code, "DEADLINE_EXCEEDED", "the error")
    same(1 <= time.monotonic() - began < 20, True, "that it took its second, and little more")
    until(lambda: "1009" not in node.shell(container, "ps"), "the process is gone")
    same(node.status(container)[0], "running", "the container's state")


@on_kubelet("a program that is not there is the StartError that the caller reads")
def start_error(node, _lab):
    container = node.create(node.pod(), "nosuch")
    _, words = node.service.refused("StartContainer", {1: container})
    error = 'exec: "nosuch": executable file not found in $PATH'
    holds(words, error, "the error")
    state, code, reason, message = node.status(container)
    same((state, code, reason), ("exited", 128, "StartError"), "state, exit code and reason")
    holds(message, error, "the message")


@on_kubelet("StopContainer gives the grace that is asked for, and then kills")
def stop(node, _lab):
    pod = node.pod()
    polite = node.start(pod, "sh", "-c", POLITE, name="polite")
    stubborn = node.start(pod, "sh", "-c", STUBBORN, name="stubborn")
    log = pathlib.Path(pod.config[3]) / "polite.log"
    until(lambda: "ready" in log.read_text(), "the polite one is ready")
    began = time.monotonic()
    node.stop(polite, grace=30)
    same(time.monotonic() - began < 15, True, "that the polite one ended before its grace")
    same(node.status(polite)[1], 5, "its exit code")
    holds(log.read_text(), "told", "its log")
    began = time.monotonic()
    node.stop(stubborn, grace=1)
    same(time.monotonic() - began >= 1, True, "that the stubborn one had its second")
    same(node.status(stubborn)[1], 137, "its exit code")
    node.stop(stubborn, grace=1)


@on_kubelet("limits are in the cgroup below the pod's, and UpdateContainerResources changes them")
def limits(node, _lab):
    pod = node.pod()
    resources = {1: 100_000, 2: 50_000, 3: 512, 4: 64 * MEBI, 5: 900, 6: "0"}
    container = node.start(pod, resources=resources)

    def seen():
        quota = node.file(container, "cpu/cpu.cfs_quota_us", "cpu.max")
        return node.file(container, "memory/memory.limit_in_bytes", "memory.max"), quota.split()[0]

    same(seen(), (str(64 * MEBI), "50000"), "the limits")
    same(node.file(container, "cpuset/cpuset.cpus", "cpuset.cpus"), "0", "the processors")
    same(node.shell(container, "cat /proc/1/oom_score_adj"), "900", "the score")
    cgroups = pathlib.Path(f"/proc/{node.pid(container)}/cgroup").read_text()
    holds(cgroups, f"/{pod.cgroup}/{container}\n", "the list of cgroups")
    node.service("UpdateContainerResources", {1: container, 2: {1: 100_000, 2: 25_000, 4: 32 * MEBI}})
    same(seen(), (str(32 * MEBI), "25000"), "the limits after the update")
    same(node.status(container)[0], "running", "the state")


@on_kubelet("ContainerStats measures memory and processor time")
def stats(node, _lab):
    script = "head -c 20000000 /dev/zero >/dev/shm/file; while :; do :; done"
    container = node.start(node.pod(), "sh", "-c", script, resources={4: 64 * MEBI})

    def seen():
        stats = decode(node.service("ContainerStats", {1: container})[1])
        used = decode(decode(stats.get(3, b"")).get(2, b"")).get(1, 0)
        return decode(decode(stats.get(2, b"")).get(2, b"")).get(1, 0), used

    until(lambda: seen()[0] > 100_000_000, "a tenth of a second of processor time is counted")
    # /dev/shm is the sandbox's, and its pages are charged to the one who wrote them.
    until(lambda: 18 * MEBI < seen()[1] <= 64 * MEBI, f"its 20 MB are counted: {seen()}")


@on_kubelet("a container that outgrows its memory is OOMKilled")
def out_of_memory(node, _lab):
    container = node.start(node.pod(), "tail", "/dev/zero", resources={4: 16 * MEBI, 10: 16 * MEBI})
    same(node.wait(container)[:3], ("exited", 137, "OOMKilled"), "state, exit code and reason")


@on_kubelet("a pod's own limit, which the kubelet sets, holds its containers")
def pod_limit(node, _lab):
    parent = CGROUPS / "memory" / node.cgroup / "pod"
    if not (CGROUPS / "memory").is_dir():
        parent = _with_memory(CGROUPS / node.cgroup / "pod")
    parent.mkdir(parents=True, exist_ok=True)
    names = ["memory.limit_in_bytes", "memory.max"]
    next(parent / name for name in names if (parent / name).exists()).write_text(str(24 * MEBI))
    container = node.start(node.pod(), "tail", "/dev/zero")
    same(node.wait(container, seconds=30)[1], 137, "the exit code")


def _with_memory(cgroup):
    """In version 2, each cgroup has to let those below it have the controller."""
    cgroup.mkdir(parents=True, exist_ok=True)
    for parent in reversed(list(cgroup.relative_to(CGROUPS).parents)):
        (CGROUPS / parent / "cgroup.subtree_control").write_text("+memory")
    return cgroup


@on_kubelet("the log has a line for each that is printed, by stream")
def log(node, _lab):
    pod = node.pod()
    script = "echo one; sleep 0.2; echo two >&2; sleep 0.2; printf three"
    container = node.start(pod, "sh", "-c", script, name="talker")
    node.wait(container)
    file = pathlib.Path(pod.config[3]) / "talker.log"
    until(lambda: "three" in file.read_text(), "the log is complete")
    lines = [line.split(" ", 1) for line in file.read_text().splitlines()]
    same([words for _, words in lines], ["stdout F one", "stderr F two", "stdout P three"], "the log's lines")
    same(all(re.match(r"\d{4}-\d\d-\d\dT", when) for when, _ in lines), True, "that each has its time")


@on_kubelet("StopPodSandbox ends all containers of the pod")
def stop_sandbox(node, _lab):
    pod = node.pod()
    containers = [node.start(pod, "sh", "-c", STUBBORN, name=name) for name in ["one", "two"]]
    pids = [node.pid(container) for container in containers]
    node.service("StopPodSandbox", {1: pod.id})
    same([node.status(container)[:2] for container in containers], [("exited", 137)] * 2, "states and exit codes")
    same([pathlib.Path(f"/proc/{pid}").exists() for pid in pids], [False] * 2, "which processes are there")
    node.service("StopPodSandbox", {1: pod.id})


@flow("CRI: containers live on while containerd is restarted", group="more")
def restart(lab):
    with restartable_kubelet(lab) as (node, again):
        container = node.start(node.pod(), "sh", "-c", POLITE)
        pid = node.pid(container)
        again()
        until(lambda: _answers(node, container), "containerd knows the container")
        same((node.status(container)[0], node.pid(container)), ("running", pid), "state and pid")
        same(node.shell(container, "echo inside"), "inside", "the output of exec")
        node.stop(container, grace=20)
        same(node.status(container)[1], 5, "the exit code")


def _answers(node, container):
    try:
        return node.status(container)
    except Failure:
        return False
