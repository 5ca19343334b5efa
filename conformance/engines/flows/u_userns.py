"""A dockerd whose containers' root is nobody on the host (userns-remap)."""

import contextlib
import pathlib
import shutil

from harness import daemons
from harness.docker import Docker, call
from harness.flow import flow, holds, same, until
from harness.images import BUSYBOX

FIRST, COUNT = 200_000, 65_536
BRIDGE, GATEWAY = "remapped0", "172.31.77.1"


@contextlib.contextmanager
def _remapped(lab):
    """The client of a dockerd of its own; the lab's /etc gets the subordinate ids."""
    for name in ["subuid", "subgid"]:
        pathlib.Path("/etc", name).write_text(f"nobody:{FIRST}:{COUNT}\nnogroup:{FIRST}:{COUNT}\n")
    docker = Docker(lab.work / "remapped.sock", lab.work / "client")
    settings = {"userns-remap": "nobody:nogroup", "bridge": BRIDGE, "iptables": False}
    settings |= {"containerd-namespace": "remapped", "containerd-plugins-namespace": "remapped-plugins"}
    with _bridge(), daemons.dockerd(lab, docker, lab.work / "remapped", **settings):
        docker("import", lab.archives[BUSYBOX], BUSYBOX).succeeds()
        try:
            yield docker
        finally:
            docker.remove_all()


@contextlib.contextmanager
def _bridge():
    for command in ["link add {0} type bridge", "address add {1}/24 dev {0}", "link set {0} up"]:
        call(["ip", *command.format(BRIDGE, GATEWAY).split()]).succeeds()
    try:
        yield
    finally:
        call(["ip", "link", "delete", BRIDGE]).succeeds()


def _ids(docker, container):
    """The host's user and group of the container's first process."""
    pid = docker.inspect(container, "State.Pid")
    status = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return [int(line.split()[1]) for line in status if line.startswith(("Uid:", "Gid:"))]


def _namespace(pid, name):
    return str(pathlib.Path(f"/proc/{pid}/ns/{name}").readlink())


@flow("userns-remap: root in the container is nobody outside, in run and in exec", group="more")
def identity(lab):
    with _remapped(lab) as docker:
        container = docker.sleeper()
        same(_ids(docker, container), [FIRST, FIRST], "the first process's ids on the host")
        mapping = docker("exec", container, "cat", "/proc/self/uid_map", "/proc/self/gid_map").succeeds().split()
        same(mapping, ["0", str(FIRST), str(COUNT)] * 2, "the mappings that exec sees")
        same(docker("exec", container, "id", "-un").succeeds(), "root", "who exec is inside")
        guest = docker.sleeper("--user", "guest")
        same(_ids(docker, guest), [FIRST + 1000, FIRST + 1000], "the guest's ids on the host")
        pid = docker.inspect(container, "State.Pid")
        for name in ["user", "mnt", "net", "uts", "ipc", "pid"]:
            same(_namespace(pid, name) != _namespace("self", name), True, f"that the {name} namespace is its own")
        docker.run("sh", "-c", "exit 3").fails_with(3)
        docker.run("nosuch").fails_with(127)
        talk = [("# ", "tty\n"), ("/dev/pts/0", "exit 7\n")]
        code, _ = docker.terminal("run", "--rm", "-it", BUSYBOX, "sh", talk=talk)
        same(code, 7, "the exit code of a shell on a terminal")


@flow("userns-remap: files belong to the mapped ids, and the host's are out of reach", group="more")
def files(lab):
    with _remapped(lab) as docker:
        directory = lab.work / "of-root"
        directory.mkdir(mode=0o755)
        (directory / "secret").write_text("secret")
        (directory / "secret").chmod(0o600)
        own = directory / "own"
        own.mkdir()
        shutil.chown(own, FIRST, FIRST)
        options = ["-v", f"{directory}:/data"]
        docker.run("touch", "/data/new", options=options).fails_with(1)
        docker.run("cat", "/data/secret", options=options).fails_with(1)
        same(docker.shell("stat -c %u /data", options), "65534", "the owner of the host's directory")
        docker.shell("cd /data/own && touch root && touch guest && chown 1000:50 guest", options)
        owners = [((own / name).stat().st_uid, (own / name).stat().st_gid) for name in ["root", "guest"]]
        same(owners, [(FIRST, FIRST), (FIRST + 1000, FIRST + 50)], "the owners of the files on the host")
        script = "echo kept >/kept/file; stat -c '%u %a' /kept /kept/file /dev/shm /tmp /scratch"
        seen = docker.shell(script, ["-v", "kept:/kept", "--tmpfs", "/scratch:mode=700", "--shm-size", "2m"])
        same(seen.splitlines(), ["0 755", "0 644", "0 1777", "0 1777", "0 700"], "owners and modes inside")


@flow("userns-remap: capabilities hold inside the container alone", group="more")
def capabilities(lab):
    with _remapped(lab) as docker:
        options = ["--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--security-opt", "seccomp=unconfined"]
        docker.shell("mount -t tmpfs none /tmp && touch /tmp/x && hostname other && ip link set lo mtu 1400", options)
        options += ["--security-opt", "systempaths=unconfined"]
        for refused in ["mknod /tmp/sda b 8 0", "echo 3 >/proc/sys/vm/drop_caches"]:
            same(docker.run("sh", "-c", refused, options=options).code != 0, True, f"that `{refused}` is refused")
        limits = ["-m", "32m", "--pids-limit", "20", "--sysctl", "net.core.somaxconn=321", "--oom-score-adj", "700"]
        script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
        seen = docker.shell(f"{script}; cat /proc/sys/net/core/somaxconn /proc/self/oom_score_adj", limits)
        same(seen.split(), [str(32 << 20), "321", "700"], "limit, sysctl and score")


@flow("userns-remap: network, and --userns host for a container that is not mapped", group="more")
def network(lab):
    with _remapped(lab) as docker:
        server = docker.start("httpd", "-f", "-h", "/etc", "-p", "80")
        address = docker.inspect(server, "NetworkSettings.IPAddress")
        curl = ["curl", "--silent", "--noproxy", "*", "--max-time", "5", f"http://{address}/hostname"]
        until(lambda: call(curl).out.strip() == server[:12], "the server answers with its name")
        seen = docker.shell(f"ping -c 1 -q {GATEWAY}; ip route", ["--cap-add", "NET_RAW"])
        holds(seen, "1 packets received", "what ping says")
        holds(seen, f"default via {GATEWAY}", "the routes")
        container = docker.sleeper("--userns", "host")
        same(_ids(docker, container), [0, 0], "the ids on the host of a container that is not mapped")
