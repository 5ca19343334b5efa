"""containerd without Docker: `ctr run`."""

from harness.docker import call
from harness.flow import flow, same, until

IMAGE = "docker.io/library/busybox:latest"


def _ctr(lab, *arguments):
    return call(["ctr", "--address", lab.containerd_socket, *arguments])


def _import_image(lab):
    archive = lab.work / "saved.tar"
    if not archive.exists():
        lab.docker("save", "--output", archive, "busybox").succeeds()
        _ctr(lab, "images", "import", archive).succeeds()


def _run(lab, name, *command, options=()):
    chosen = ["--runc-binary", lab.runtime, "--cgroup", f"/{lab.cgroup}/{name}"]
    return _ctr(lab, "run", *chosen, *options, IMAGE, name, *command)


@flow("ctr: run prints and returns the exit code")
def run(lab):
    _import_image(lab)
    same(_run(lab, "ctr-hello", "echo", "Hello World", options=["--rm"]).succeeds(), "Hello World", "the output")
    _run(lab, "ctr-code", "sh", "-c", "exit 3", options=["--rm"]).fails_with(3)


@flow("ctr: run -d, exec, kill, delete")
def detached(lab):
    _import_image(lab)
    _run(lab, "ctr-detached", "sleep", "1004", options=["--detach"]).succeeds()
    script = ["sh", "-c", "ps | grep -c 'sleep [1]004'"]
    same(_ctr(lab, "tasks", "exec", "--exec-id", "other", "ctr-detached", *script).succeeds(), "1", "the processes")
    _ctr(lab, "tasks", "kill", "--signal", "KILL", "ctr-detached").succeeds()
    until(lambda: "exit code 137" in _ctr(lab, "tasks", "delete", "ctr-detached").err, "it ended with 137")
    _ctr(lab, "containers", "delete", "ctr-detached").succeeds()
