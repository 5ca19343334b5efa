"""An image's way to a container without an engine: skopeo copies it, umoci unpacks it, the runtime runs the bundle."""

import json

from harness import images
from harness.docker import call
from harness.flow import flow, holds, same, until


def _bundle(lab, name):
    """A bundle as umoci makes it of an image that skopeo has turned into an OCI layout."""
    directory = lab.work / f"umoci-{name}"
    directory.mkdir()
    archive, layout = images.make_busybox_image(directory), directory / "layout"
    skopeo = ["skopeo", "--insecure-policy", "copy", "--quiet"]
    call([*skopeo, f"docker-archive:{archive}", f"oci:{layout}:latest"]).succeeds()
    call(["umoci", "unpack", "--image", f"{layout}:latest", directory / "bundle"]).succeeds()
    return directory / "bundle"


def _change(lab, bundle, **process):
    """In config.json: no terminal, a cgroup below the lab's, and what is given of the process."""
    file = bundle / "config.json"
    config = json.loads(file.read_text())
    config["process"] |= {"terminal": False} | process
    config["linux"]["cgroupsPath"] = f"/{lab.cgroup}/{bundle.parent.name}"
    file.write_text(json.dumps(config))


def _runtime(lab, *arguments, stdin=""):
    return call([lab.runtime, "--root", lab.work / "umoci-state", *arguments], stdin=stdin)


@flow("umoci: the runtime runs a bundle that umoci unpacked", group="more")
def run(lab):
    bundle = _bundle(lab, "run")
    script = "hostname; echo $$; pwd; cat; grep -c . /etc/passwd; exit 3"
    _change(lab, bundle, args=["sh", "-c", script])
    seen = _runtime(lab, "run", "--bundle", bundle, "umoci-run", stdin="through\n").fails_with(3)
    same(seen.splitlines()[1:], ["1", "/", "through", "2"], "what it prints")
    same(json.loads(_runtime(lab, "list", "--format", "json").succeeds()) or [], [], "the list of containers")


@flow("umoci: create, start, exec, kill and delete of such a bundle", group="more")
def steps(lab):
    bundle = _bundle(lab, "steps")
    _change(lab, bundle, args=["sleep", "600"])
    log = lab.work / "umoci-log"
    # The container keeps its standard streams: they must not be pipes that someone reads to the end.
    script = f'exec "$@" </dev/null >{log} 2>&1'
    create = [lab.runtime, "--root", lab.work / "umoci-state", "create", "--bundle", bundle, "umoci-steps"]
    call(["sh", "-c", script, "sh", *create]).succeeds()

    def state():
        return json.loads(_runtime(lab, "state", "umoci-steps").succeeds())

    same((state()["status"], state()["bundle"]), ("created", str(bundle)), "state and bundle")
    _runtime(lab, "start", "umoci-steps").succeeds()
    same(state()["status"], "running", "the state")
    seen = _runtime(lab, "exec", "umoci-steps", "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '; exit 4")
    same(seen.fails_with(4), "sleep 600 ", "what process 1 is")
    _runtime(lab, "kill", "umoci-steps", "KILL").succeeds()
    until(lambda: state()["status"] == "stopped", "it is stopped")
    _runtime(lab, "delete", "umoci-steps").succeeds()
    holds(_runtime(lab, "state", "umoci-steps").err, "container does not exist", "the error of state")


@flow("umoci: what the container changed is repacked into the image, and seen in the next bundle", group="more")
def repack(lab):
    bundle = _bundle(lab, "repack")
    _change(lab, bundle, args=["sh", "-c", "echo kept >/root/kept; rm /bin/wget"])
    config = json.loads((bundle / "config.json").read_text())
    config["root"]["readonly"] = False
    (bundle / "config.json").write_text(json.dumps(config))
    _runtime(lab, "run", "--bundle", bundle, "umoci-repack").succeeds()
    layout = bundle.parent / "layout"
    call(["umoci", "repack", "--image", f"{layout}:changed", bundle]).succeeds()
    again = bundle.parent / "again"
    call(["umoci", "unpack", "--image", f"{layout}:changed", again]).succeeds()
    same((again / "rootfs/root/kept").read_text(), "kept\n", "the file of the container")
    same((again / "rootfs/bin/wget").is_symlink(), False, "that the file it removed is there")
    _change(lab, again, args=["cat", "/root/kept"])
    same(_runtime(lab, "run", "--bundle", again, "umoci-again").succeeds(), "kept", "what the next bundle prints")
