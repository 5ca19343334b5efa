"""A registry on the loopback interface: what is pushed can be pulled, and runs."""

import json

from harness import daemons
from harness.docker import call
from harness.flow import flow, holds, same


@flow("registry: an image that was built, pushed, removed and pulled runs", group="more")
def push_and_pull(lab):
    with daemons.registry(lab) as address:
        name = f"{address}/fleet/ship:first"
        _build(lab, name)
        digest = _digest(lab.docker("push", name).succeeds())
        same(_get(address, "fleet/ship/tags/list"), {"name": "fleet/ship", "tags": ["first"]}, "the registry's list")

        lab.docker("rmi", name).succeeds()
        lab.docker("run", "--rm", "--pull", "never", name).fails_with(125)
        same(lab.docker("run", "--rm", name).succeeds(), "aboard\nblue", "the output after a pull by name")
        lab.docker("rmi", name).succeeds()
        same(_digest(lab.docker("pull", f"{address}/fleet/ship@{digest}").succeeds()), digest, "the digest")
        seen = lab.docker("run", "--rm", f"{address}/fleet/ship@{digest}").succeeds()
        same(seen, "aboard\nblue", "the output after a pull by digest")


@flow("registry: layers that are there already are not pushed again, an unknown image is refused", group="more")
def shared_layers(lab):
    with daemons.registry(lab) as address:
        for name in ["one", "two"]:
            lab.docker("tag", "busybox", f"{address}/{name}").succeeds()
        lab.docker("push", f"{address}/one").succeeds()
        holds(lab.docker("push", f"{address}/two").succeeds(), "Mounted from one", "what push says of the layer")
        unknown = lab.docker("pull", f"{address}/three")
        unknown.fails_with(1)
        holds(unknown.err, "manifest unknown", "the error")
        for name in ["one", "two"]:
            lab.docker("rmi", f"{address}/{name}").succeeds()


def _build(lab, name):
    directory = lab.work / "pushed"
    directory.mkdir()
    dockerfile = "FROM busybox\nENV COLOUR=blue\nRUN echo aboard >/made\nUSER guest\n"
    (directory / "Dockerfile").write_text(dockerfile + 'CMD ["sh", "-c", "cat /made; echo $COLOUR"]\n')
    lab.docker("build", "--tag", name, directory).succeeds()


def _digest(output):
    """The digest in what push and pull print."""
    holds(output, "igest: sha256:", "the output")
    return "sha256:" + output.split("igest: sha256:")[1].split()[0]


def _get(address, path):
    curl = ["curl", "--silent", "--fail", "--noproxy", "*", "--max-time", "5", f"http://{address}/v2/{path}"]
    return json.loads(call(curl).succeeds())
