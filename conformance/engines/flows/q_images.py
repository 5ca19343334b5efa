"""Images and files of containers: cp, diff, commit, export and import, save and load."""

from harness.docker import call
from harness.flow import flow, holds, same


def _container_with_a_file(lab):
    """A stopped container that has made, changed and removed files."""
    script = "echo made >/made && echo changed >>/etc/group && rm /etc/passwd && chown 123:456 /made && chmod 640 /made"
    container = lab.docker("create", "busybox", "sh", "-c", script).succeeds()
    lab.docker("start", "--attach", container).succeeds()
    return container


STAT = ["stat", "-c", "%u:%g %a", "/made"]


@flow("cp: into a running container and out of it, with owner and mode")
def copy_running(lab):
    container = lab.docker.sleeper("--tmpfs", "/scratch")
    file = lab.work / "to-copy"
    file.write_text("from outside")
    file.chmod(0o750)
    lab.docker("cp", file, f"{container}:/root/copy").succeeds()
    seen = lab.docker("exec", container, "sh", "-c", "cat /root/copy; stat -c ' %a' /root/copy").succeeds()
    same(seen, "from outside 750", "what is there inside")
    script = "mkdir /tree && echo leaf >/tree/leaf && ln -s leaf /tree/link"
    lab.docker("exec", container, "sh", "-c", script).succeeds()
    lab.docker("cp", f"{container}:/tree", lab.work).succeeds()
    same((lab.work / "tree/leaf").read_text(), "leaf\n", "the file")
    same(str((lab.work / "tree/link").readlink()), "leaf", "the link's target")


@flow("cp: with a stopped container", group="more")
def copy_stopped(lab):
    container = _container_with_a_file(lab)
    lab.docker("cp", f"{container}:/made", lab.work / "made").succeeds()
    same((lab.work / "made").read_text(), "made\n", "the content")
    lab.docker("cp", "-", f"{container}:/root", stdin=lab.docker("cp", f"{container}:/made", "-").out).succeeds()
    listing = call(["tar", "--list"], stdin=lab.docker("cp", f"{container}:/root", "-").out).succeeds()
    same(listing.split(), ["root/", "root/made"], "what is in the directory")


@flow("diff: what a container added, changed and deleted")
def differences(lab):
    container = _container_with_a_file(lab)
    seen = lab.docker("diff", container).succeeds().splitlines()
    same(sorted(seen), ["A /made", "C /etc", "C /etc/group", "D /etc/passwd"], "the differences")


@flow("commit: a container becomes an image, with another command")
def commit(lab):
    container = _container_with_a_file(lab)
    changes = ["--change", 'CMD ["cat", "/made"]', "--change", "ENV COLOUR=blue", "--change", "WORKDIR /tmp"]
    lab.docker("commit", *changes, container, "committed").succeeds()
    same(lab.docker("run", "--rm", "committed").succeeds(), "made", "the output")
    same(lab.docker("run", "--rm", "committed", *STAT).succeeds(), "123:456 640", "owner and mode")
    script = "echo $COLOUR $(pwd) $(tail -n 1 /etc/group); test ! -e /etc/passwd"
    seen = lab.docker("run", "--rm", "committed", "sh", "-c", script).succeeds()
    same(seen, "blue /tmp changed", "what a container of it sees")
    lab.docker("rmi", "committed").succeeds()


@flow("commit: a running container, which is paused and goes on", group="more")
def commit_running(lab):
    container = lab.docker.sleeper()
    lab.docker("exec", container, "touch", "/kept").succeeds()
    lab.docker("commit", container, "running").succeeds()
    lab.docker("run", "--rm", "running", "test", "-e", "/kept").succeeds()
    lab.docker("exec", container, "true").succeeds()
    lab.docker("rmi", "running").succeeds()


@flow("export and import: a container's files become an image of one layer")
def export_import(lab):
    container = _container_with_a_file(lab)
    archive = lab.work / "exported.tar"
    lab.docker("export", "--output", archive, container).succeeds()
    lab.docker("import", "--change", 'ENTRYPOINT ["cat"]', archive, "imported").succeeds()
    same(lab.docker("run", "--rm", "imported", "/made").succeeds(), "made", "the output")
    same(lab.docker("run", "--rm", "--entrypoint", STAT[0], "imported", *STAT[1:]).succeeds(), "123:456 640", "owner")
    layers = lab.docker("inspect", "--format", "{{len .RootFS.Layers}}", "imported").succeeds()
    same(layers, "1", "the number of layers")
    lab.docker("rmi", "imported").succeeds()


@flow("save and load: an image with its layers, its name and its command")
def save_load(lab):
    container = _container_with_a_file(lab)
    lab.docker("commit", "--change", 'CMD ["cat", "/made"]', container, "saved:first").succeeds()
    before = lab.docker("inspect", "--format", "{{.Id}} {{.RootFS.Layers}}", "saved:first").succeeds()
    archive = lab.work / "image.tar"
    lab.docker("save", "--output", archive, "saved:first").succeeds()
    lab.docker.remove_all()
    lab.docker("rmi", "saved:first").succeeds()
    lab.docker("run", "--rm", "--pull", "never", "saved:first").fails_with(125)
    holds(lab.docker("load", "--input", archive).succeeds(), "saved:first", "what is loaded")
    after = lab.docker("inspect", "--format", "{{.Id}} {{.RootFS.Layers}}", "saved:first").succeeds()
    same(after, before, "the image")
    same(lab.docker("run", "--rm", "saved:first").succeeds(), "made", "the output")
    lab.docker("rmi", "saved:first").succeeds()


@flow("images: tags, and removal but of what a container uses", group="more")
def images(lab):
    lab.docker("commit", _container_with_a_file(lab), "other:first").succeeds()
    lab.docker("tag", "other:first", "other:second").succeeds()
    lab.docker("rmi", "other:first").succeeds()
    names = lab.docker("images", "--format", "{{.Repository}}:{{.Tag}}").succeeds().split()
    same([name for name in names if "other" in name], ["other:second"], "the names")
    container = lab.docker.start("sleep", "1005", image="other:second")
    refused = lab.docker("rmi", "other:second")
    refused.fails_with(1)
    holds(refused.err, f"container {container[:12]} is using its referenced image", "the error")
    lab.docker.remove_all()
    removed = lab.docker("rmi", "other:second").succeeds()
    same(removed.count("Deleted: "), 2, "how many parts are removed, of those that busybox has not")
    lab.docker.run("true").succeeds()
