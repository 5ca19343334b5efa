"""What a kubelet does with containerd: pods and their containers over CRI, with cgroups made through the files."""

import contextlib
import dataclasses
import json
import os
import pathlib
import types

from . import daemons, images
from .cri import Service, decode
from .docker import call
from .flow import Failure, flow, same, until
from .host import CGROUPS

IMAGE = f"{images.LOCAL_BUSYBOX}:latest"
HANDLER = "tested"

# A root without CAP_SYS_RESOURCE cannot lower a score of the out-of-memory killer.
CONTAINERD = """
version = 2
root = "{work}/containerd/root"
state = "{work}/containerd/state"
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{image}:latest"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{work}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "tested"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tested]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tested.options]
BinaryName = "{runtime}"
"""

# The bridge's name has to be short; dockerd's rules drop what others forward, unless the firewall plugin allows it.
NETWORK = """
{{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {{"type": "bridge", "bridge": "cri-pods", "isGateway": true,
    "ipam": {{"type": "host-local", "ranges": [[{{"subnet": "10.77.0.0/24"}}]], "dataDir": "{work}/addresses"}}}},
  {{"type": "firewall", "backend": "iptables"}},
  {{"type": "portmap", "capabilities": {{"portMappings": true}}}}
]}}
"""
GATEWAY = "10.77.0.1"

# Modes of namespaces.
POD, CONTAINER, NODE, TARGET = range(4)
STATES = ["created", "running", "exited", "unknown"]


def integer(value):
    """An Int64Value."""
    return {1: value}


def table(entries):
    """A map of strings."""
    return [{1: key, 2: value} for key, value in entries.items()]


@dataclasses.dataclass(frozen=True)
class Pod:
    id: str
    config: dict
    cgroup: str


class Kubelet:
    def __init__(self, view, cgroup):
        self.directory = view.work
        self.service = Service(view.containerd_socket)
        self.cgroup = f"{cgroup}/pods"

    def pod(self, name="pod", modes=(NODE, CONTAINER, POD), handler="", config=None, linux=None):
        """Runs a sandbox.

        The modes are those of network, pid and ipc; `config` and `linux` are further fields of PodSandboxConfig and
        LinuxPodSandboxConfig.
        """
        cgroup = f"{self.cgroup}/{name}"
        context = {1: dict(enumerate(modes, 1)), 9: {1: 0}}
        for_linux = {1: f"/{cgroup}", 2: context} | (linux or {})
        logs = self.directory / f"logs-{name}"
        message = {1: {1: name, 2: f"{name}-uid", 3: "default"}, 3: str(logs), 8: for_linux} | (config or {})
        return Pod(self.service("RunPodSandbox", {1: message, 2: handler})[1].decode(), message, cgroup)

    def create(self, pod, *command, name="one", resources=None, security=None, config=None):
        """Creates a container: its ID."""
        modes = pod.config[8][2][1]
        linux = {1: resources or {}, 2: {3: modes} | (security or {})}
        message = {1: {1: name}, 2: {1: IMAGE}, 3: list(command), 11: f"{name}.log", 15: linux} | (config or {})
        return self.service("CreateContainer", {1: pod.id, 2: message, 3: pod.config})[1].decode()

    def start(self, pod, *command, **options):
        """Creates and starts a container: its ID."""
        container = self.create(pod, *(command or ["sleep", "600"]), **options)
        self.service("StartContainer", {1: container})
        return container

    def execute(self, container, *command, timeout=60):
        """The exit code, standard output and standard error of a further process."""
        answer = self.service("ExecSync", {1: container, 2: list(command), 3: timeout})
        return answer.get(3, 0), answer.get(1, b"").decode(), answer.get(2, b"").decode()

    def shell(self, container, script):
        """What a script prints, which has to succeed."""
        code, out, err = self.execute(container, "sh", "-c", script)
        same((code, err), (0, ""), "exit code and errors of the script")
        return out.removesuffix("\n")

    def status(self, container):
        """The container's state, exit code, reason and message."""
        found = decode(self.service("ContainerStatus", {1: container})[1])
        words = [found.get(number, b"").decode() for number in [10, 11]]
        return STATES[found.get(3, 0)], found.get(7, 0), *words

    def wait(self, container, seconds=10):
        """Its status when it has ended."""
        until(lambda: self.status(container)[0] == "exited", "the container has ended", seconds)
        return self.status(container)

    def pid(self, container):
        """Of its first process."""
        info = decode(self.service("ContainerStatus", {1: container, 2: 1})[2])
        return json.loads(info[2])["pid"]

    def file(self, container, v1, v2):
        """The content of a file of its cgroup, of whichever version: v1 is a controller and a name."""
        controller, name = v1.split("/")
        for line in pathlib.Path(f"/proc/{self.pid(container)}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":")
            if controller in controllers.split(","):
                return (CGROUPS / controller / path.strip("/") / name).read_text().strip()
        return (CGROUPS / path.strip("/") / v2).read_text().strip()

    def stop(self, container, grace=0):
        self.service("StopContainer", {1: container, 2: grace})

    def remove_all(self):
        """As a kubelet does when a pod goes, and with what it looks at afterwards."""
        for pod in self.service.listed("ListPodSandbox", {}):
            self.service("StopPodSandbox", {1: pod[1].decode()})
            self.service("RemovePodSandbox", {1: pod[1].decode()})
        same(self.service.listed("ListContainers", {}), [], "the list of containers")
        until(lambda: not self._left(), "nothing of the containers is left", seconds=5)

    def _left(self):
        """States of the runtime, and cgroups below those of the pods."""
        pods = [CGROUPS / self.cgroup, *CGROUPS.glob(f"*/{self.cgroup}")]
        cgroups = [path for pod in pods for path in pod.glob("*/*/")]
        states = pathlib.Path("/run/containerd/runc/k8s.io")
        return cgroups + (list(states.iterdir()) if states.exists() else [])


@contextlib.contextmanager
def _containerd(view):
    with daemons.containerd(view, CONTAINERD):
        service = Service(view.containerd_socket)
        try:
            until(lambda: _ready(service), "its service for Kubernetes answers", seconds=20)
        finally:
            service.close()
        yield


def _ready(service):
    try:
        return service("Version", {})
    except Failure:
        return False


@contextlib.contextmanager
def kubelet(lab):
    """A containerd of the flow's own, with the image of busybox, and without anything that is left when it ends."""
    with restartable_kubelet(lab) as (node, _):
        yield node


@contextlib.contextmanager
def restartable_kubelet(lab):
    """As kubelet, and a function that ends containerd and starts it again."""
    view = _view(lab)
    with contextlib.ExitStack() as running:
        running.enter_context(_containerd(view))
        call(_import(view)).succeeds()
        node = Kubelet(view, lab.cgroup)

        def restart():
            running.pop_all().close()
            running.enter_context(_containerd(view))

        try:
            yield node, restart
        except Exception:
            with contextlib.suppress(Failure):
                node.remove_all()
            raise
        node.remove_all()


def on_kubelet(name):
    """Registers the function below it, which takes a Kubelet and the lab, as a flow."""

    def register(function):
        def run(lab):
            with kubelet(lab) as node:
                function(node, lab)

        flow(f"CRI: {name}", group="more")(run)
        return function

    return register


def _view(lab):
    """What the daemons' module asks of a lab."""
    number = len(list(lab.work.glob("cri-*")))
    work = lab.work / f"cri-{number}"
    (work / "cni").mkdir(parents=True)
    (work / "cni/pods.conflist").write_text(NETWORK.format(work=work))
    socket = work / "containerd.sock"
    return types.SimpleNamespace(work=work, runtime=lab.runtime, containerd_socket=socket)


def _import(view):
    archive = images.make_busybox_image(view.work)
    return ["ctr", "--address", view.containerd_socket, "--namespace", "k8s.io", "images", "import", os.fspath(archive)]
