"""Podman's pods: containers that share the namespaces of an infra container, and pods described as Kubernetes does."""

import json

from harness.docker import call
from harness.flow import flow, holds, same, until
from harness.podman import needs, on_podman

CATATONIT = "/usr/libexec/podman/catatonit"
SHARED = "for name in ipc net uts; do readlink /proc/self/ns/$name; done"


def _pod(podman, lab, *options):
    """A new pod, whose infra container runs an image that Podman makes of catatonit."""
    needs(CATATONIT)
    return podman("pod", "create", f"--cgroup-parent=/{lab.cgroup}", *options).succeeds()


def _start(podman, pod, *command, options=()):
    """A container's ID. The pod's cgroup is its parent."""
    chosen = ["--detach", "--pod", pod, *options]
    return podman.bare("run", *chosen, "localhost/busybox", *command).succeeds()


@flow("podman pods: containers share network, hostname, IPC and localhost", group="more")
@on_podman
def shared(podman, lab):
    pod = _pod(podman, lab, "--name", "fleet", "--hostname", "flagship")
    first = _start(podman, pod, "sh", "-c", "echo served >/tmp/index.html && httpd -f -h /tmp -p 8080")
    second = _start(podman, pod, "sleep", "600")
    seen = [podman("exec", each, "sh", "-c", SHARED).succeeds() for each in [first, second]]
    same(seen[0], seen[1], "the namespaces")
    same(podman("exec", second, "hostname").succeeds(), "flagship", "the name")
    podman("exec", first, "sh", "-c", "echo shared >/dev/shm/file").succeeds()
    same(podman("exec", second, "cat", "/dev/shm/file").succeeds(), "shared", "what is in /dev/shm")
    fetch = ["sh", "-c", "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 127.0.0.1 8080"]
    until(lambda: podman("exec", second, *fetch).code == 0, "the other container's server answers")
    holds(podman("exec", second, *fetch).succeeds(), "served", "the page")
    same(podman("exec", second, "ls", "/tmp/index.html").code, 1, "that the files are apart")


@flow("podman pods: stop, start, pause, kill and rm of all containers", group="more")
@on_podman
def lifetime(podman, lab):
    pod = _pod(podman, lab)
    script = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
    containers = [_start(podman, pod, "sh", "-c", script) for _ in range(2)]
    for command, state in [("stop", "exited"), ("start", "running"), ("pause", "paused"), ("unpause", "running")]:
        podman("pod", command, pod).succeeds()
        same([podman.inspect(each, "State.Status") for each in containers], [state] * 2, f"the states after {command}")
    podman("pod", "kill", pod).succeeds()
    same([podman("wait", each).succeeds() for each in containers], ["137"] * 2, "the exit codes")
    podman("pod", "rm", pod).succeeds()
    podman("container", "exists", containers[0]).fails_with(1)


@flow("podman pods: --share pid, top and stats, and a pod without an infra container", group="more")
@on_podman
def processes(podman, lab):
    pod = _pod(podman, lab, "--share", "pid,net")
    _start(podman, pod, "sleep", "1005")
    second = _start(podman, pod, "sleep", "1006")
    seen = podman("exec", second, "ps").succeeds()
    holds(seen, "sleep 1005", "the list of processes inside")
    holds(seen, "catatonit", "the list of processes inside")
    holds(podman("pod", "top", pod, "args").succeeds(), "sleep 1006", "the list of the pod's processes")
    lines = podman("pod", "stats", "--no-stream", "--format", "{{.Name}}", pod).succeeds().split()
    same(len(set(lines) - {"NAME"}), 3, f"the number of containers in {lines}")
    bare = podman("pod", "create", "--infra=false", f"--cgroup-parent=/{lab.cgroup}").succeeds()
    seen = podman.bare("run", "--rm", "--pod", bare, "localhost/busybox", "echo", "on board").succeeds()
    same(seen, "on board", "what a container in a pod without infra prints")


@flow("podman pods: a published port reaches a member's server", group="more")
@on_podman
def published(podman, lab):
    pod = _pod(podman, lab, "--publish", "127.0.0.1:8089:80")
    _start(podman, pod, "sh", "-c", "echo ahoy >/tmp/index.html && httpd -f -h /tmp")
    curl = ["curl", "--silent", "--fail", "--noproxy", "*", "--max-time", "5", "http://127.0.0.1:8089/"]
    until(lambda: call(curl).code == 0, "the server answers on the published port")
    same(call(curl).succeeds(), "ahoy", "the page")


def _kube(directory):
    """A pod of two containers with a volume between them, as Kubernetes' YAML, of which JSON is a part."""
    writer = {
        "name": "writer",
        "image": "localhost/busybox:latest",
        "command": ["sh", "-c", "echo from the writer >/shared/file; sleep 600"],
        "volumeMounts": [{"name": "between", "mountPath": "/shared"}],
        "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}},
    }
    reader = {
        "name": "reader",
        "image": "localhost/busybox:latest",
        "command": ["sleep", "600"],
        "workingDir": "/tmp",
        "env": [{"name": "COLOUR", "value": "blue"}],
        "volumeMounts": [{"name": "between", "mountPath": "/shared", "readOnly": True}],
        "securityContext": {
            "runAsUser": 1000,
            "runAsGroup": 50,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    volume = {"name": "between", "hostPath": {"path": str(directory), "type": "Directory"}}
    spec = {"containers": [writer, reader], "volumes": [volume], "restartPolicy": "Never"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "harbour"}, "spec": spec}


@flow("podman kube play: two containers with limits, a volume and a security context", group="more")
@on_podman
def play(podman, _lab):
    needs(CATATONIT)
    directory = podman.directory / "between"
    directory.mkdir()
    file = podman.directory / "harbour.yaml"
    file.write_text(json.dumps(_kube(directory)))
    podman("play", "kube", file).succeeds()
    script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null"
    script += " || { cat /sys/fs/cgroup/memory.max; cut -d' ' -f1 /sys/fs/cgroup/cpu.max; }"
    seen = podman("exec", "harbour-writer", "sh", "-c", script).succeeds()
    same(seen.split(), [str(64 << 20), "50000"], "the writer's limits")
    script = """
        id -u; id -g; pwd; echo $COLOUR; grep -E 'NoNewPrivs|CapBnd' /proc/self/status; cat /shared/file
        touch /x 2>&1 | grep -o Read-only; touch /shared/x 2>&1 | grep -o Read-only"""
    seen = podman("exec", "harbour-reader", "sh", "-c", script).succeeds()
    wanted = ["1000", "50", "/tmp", "blue", "CapBnd:\t" + "0" * 16, "NoNewPrivs:\t1", "from the writer"]
    same(seen.splitlines(), [*wanted, "Read-only", "Read-only"], "what the reader sees")
    generated = podman("generate", "kube", "harbour").succeeds()
    holds(generated, "readOnlyRootFilesystem: true", "the YAML made of the pod")
    podman("play", "kube", "--down", file).succeeds()
    podman("pod", "exists", "harbour").fails_with(1)
