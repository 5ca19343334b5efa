"""containerd as a kubelet drives it, over gRPC: what pods and containers are made of."""

import os

from harness.cri import decode
from harness.docker import call
from harness.flow import Skip, holds, need_all_capabilities, same, until
from harness.kubelet import CONTAINER, GATEWAY, NODE, POD, TARGET, integer, on_kubelet, table

STATUS = "grep -E '^(CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/self/status | cut -f2"
NO_CAPABILITY = "0" * 16
CHOWN = f"{1:016x}"


def _namespaces(node, container, *names):
    script = "; ".join(f"readlink /proc/self/ns/{name}" for name in names)
    return node.shell(container, script).splitlines()


@on_kubelet("containers of a pod share its network, hostname and IPC, and have processes and files of their own")
def shared(node, _lab):
    pod = node.pod(modes=(POD, CONTAINER, POD), config={2: "vessel"})
    first, second = (node.start(pod, name=name) for name in ["one", "two"])
    names = ["net", "ipc", "uts"]
    same(_namespaces(node, first, *names), _namespaces(node, second, *names), "the shared namespaces")
    different = [_namespaces(node, each, "pid", "mnt") for each in [first, second]]
    same(set(different[0]) & set(different[1]), set(), "what they share of the other namespaces")
    same([node.shell(each, "hostname") for each in [first, second]], ["vessel"] * 2, "the names")
    node.shell(first, "echo shared >/dev/shm/file; touch /alone")
    same(node.shell(second, "cat /dev/shm/file; ls /alone 2>/dev/null || true"), "shared", "what the other one sees")


@on_kubelet("shareProcessNamespace: the pod's processes see each other")
def shared_processes(node, _lab):
    pod = node.pod(modes=(NODE, POD, POD))
    first = node.start(pod, "sleep", "1011", name="one")
    second = node.start(pod, "sleep", "1012", name="two")
    processes = node.shell(second, "ps")
    for part in ["sleep 1011", "sleep 1012"]:
        holds(processes, part, "the list")
    same(node.shell(second, "cat /proc/1/comm"), "sleep", "process 1, the sandbox's")
    node.stop(first)
    same(node.status(second)[0], "running", "the other's state")


@on_kubelet("an ephemeral container joins the processes of the one that it targets")
def target(node, _lab):
    pod = node.pod()
    first = node.start(pod, "sleep", "1013", name="one")
    namespaces = {1: NODE, 2: TARGET, 3: POD, 4: first}
    second = node.start(pod, "sleep", "1014", name="debugger", security={3: namespaces})
    holds(node.shell(second, "ps"), "sleep 1013", "the list of processes")
    same(_namespaces(node, second, "pid"), _namespaces(node, first, "pid"), "the namespace")


@on_kubelet("hostNetwork, hostPID and hostIPC give a pod the node's namespaces")
def host_namespaces(node, _lab):
    container = node.start(node.pod(modes=(NODE, NODE, NODE)))
    outside = [os.readlink(f"/proc/self/ns/{name}") for name in ["net", "pid", "ipc"]]
    same(_namespaces(node, container, "net", "pid", "ipc"), outside, "the namespaces")


@on_kubelet("pods have addresses, by which they reach each other, and ports of the node")
def network(node, _lab):
    modes = (POD, CONTAINER, POD)
    server = node.pod("server", modes=modes, config={5: [{2: 80, 3: 8090}]})
    address = decode(decode(node.service("PodSandboxStatus", {1: server.id})[1])[5])[1].decode()
    same(address.startswith("10.77.0."), True, f"that {address} is of the pods' network")
    node.start(server, "sh", "-c", "echo page >/tmp/index.html; httpd -f -h /tmp", name="web")
    container = node.start(node.pod("client", modes=modes), name="browser")
    fetch = ["sh", "-c", f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {address} 80"]
    until(lambda: node.execute(container, *fetch)[0] == 0, "the server answers")
    holds(node.execute(container, *fetch)[1], "\r\n\r\npage\n", "what it answers")
    curl = ["curl", "--silent", "--fail", "--noproxy", "*", "--max-time", "3", f"http://{GATEWAY}:8090/"]
    same(call(curl).succeeds(), "page", "what the node's port answers")


@on_kubelet("command, arguments, environment and working directory")
def process(node, _lab):
    script = "echo $0 $1 $COLOUR; pwd; sleep 600"
    config = {4: [script, "first", "second"], 5: "/new/place", 6: [{1: "COLOUR", 2: "blue"}]}
    container = node.start(node.pod(), "sh", "-c", config=config)
    log = node.directory / "logs-pod/one.log"
    until(lambda: "/new/place" in log.read_text(), "it prints its directory")
    holds(log.read_text(), "first second blue", "the log")
    same(node.shell(container, "echo $COLOUR; pwd"), "blue\n/new/place", "what exec sees")


@on_kubelet("mounts: read-only, writable, and propagated in both directions")
def mounts(node, _lab):
    directory = node.directory / "volume"
    (directory / "below").mkdir(parents=True)
    (directory / "given").write_text("given\n")
    volumes = [{1: "/ro", 2: str(directory), 3: 1}, {1: "/rw", 2: str(directory), 5: 2}]
    # Kubernetes lets privileged containers alone mount in both directions.
    container = node.start(node.pod(), config={7: volumes}, security={1: {1: ["SYS_ADMIN"]}})
    same(node.shell(container, "cat /ro/given >/rw/copied; cat /rw/copied"), "given", "the copy")
    same((directory / "copied").read_text(), "given\n", "the copy outside")
    holds(node.execute(container, "touch", "/ro/x")[2], "Read-only file system", "the error")
    node.shell(container, "mount -t tmpfs none /rw/below; touch /rw/below/seen")
    same((directory / "below/seen").exists(), True, "that the mount made inside is there outside")
    call(["umount", directory / "below"]).succeeds()
    same(node.shell(container, "ls /rw/below"), "", "what is there when it was unmounted outside")


@on_kubelet("the pod's resolv.conf, hostname and sysctls reach its containers")
def pod_files(node, _lab):
    servers = {1: ["192.0.2.1"], 2: ["sea.example"], 3: ["ndots:3"]}
    sysctls = table({"net.core.somaxconn": "321", "kernel.shm_rmid_forced": "1"})
    pod = node.pod(modes=(POD, CONTAINER, POD), config={2: "vessel", 4: servers}, linux={3: sysctls})
    container = node.start(pod)
    words = node.shell(container, "cat /etc/resolv.conf").split()
    same(words, ["search", "sea.example", "nameserver", "192.0.2.1", "options", "ndots:3"], "the file")
    same(node.shell(container, "hostname; cat /etc/hostname").split(), ["vessel", "vessel"], "the names")
    seen = node.shell(container, "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shm_rmid_forced")
    same(seen.split(), ["321", "1"], "the values")


@on_kubelet("securityContext: user, groups, a read-only root, no capability but one, no new privileges, seccomp")
def security(node, _lab):
    context = {
        1: {1: ["CHOWN"], 2: ["ALL"]},
        5: integer(1000),
        12: integer(50),
        7: 1,
        8: [777, 778],
        11: 1,
        15: {1: 0},
    }
    container = node.start(node.pod(), security=context)
    same(node.shell(container, "id -u; id -g"), "1000\n50", "user and group")
    same(set(node.shell(container, "id -G").split()) >= {"50", "777", "778"}, True, "that the groups are there")
    same(node.shell(container, STATUS).split(), [NO_CAPABILITY, CHOWN, "1", "2"], "the restrictions")
    holds(node.execute(container, "touch", "/x")[2], "Read-only file system", "the error of writing")
    holds(node.execute(container, "unshare", "-U", "true")[2], "Operation not permitted", "the error of unshare")


@on_kubelet("securityContext: seccomp unconfined, and a profile of the node's")
def seccomp(node, _lab):
    pod = node.pod()
    free = node.start(pod, name="free", security={15: {1: 1}})
    same(node.shell(free, STATUS).split()[2:], ["0", "0"], "no_new_privileges and seccomp's mode")
    node.shell(free, "unshare -U true")
    profile = node.directory / "seccomp.json"
    rule = '{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}'
    profile.write_text(f'{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rule}]}}')
    local = node.start(pod, name="local", security={15: {1: 2, 2: f"localhost/{profile}"}})
    holds(node.execute(local, "mkdir", "/tmp/x")[2], "Operation not supported", "the error")


@on_kubelet("securityContext: masked and read-only paths, the default ones and others")
def paths(node, _lab):
    pod = node.pod()
    default = ["/proc/keys", "/proc/timer_list"]
    container = node.start(pod, name="default", security={13: [*default, "/sys/firmware"], 14: ["/proc/sys"]})
    seen = node.shell(container, "cat /proc/keys /proc/timer_list | wc -c; ls /sys/firmware | wc -l")
    same(seen.split(), ["0", "0"], "bytes and files")
    error = node.execute(container, "sh", "-c", "echo 1 >/proc/sys/kernel/domainname")[2]
    holds(error, "Read-only file system", "the error of writing")
    own = node.start(pod, name="own", security={13: ["/etc/passwd"], 14: ["/etc"]})
    same(node.shell(own, "wc -c </etc/passwd"), "0", "the size of the masked file")
    holds(node.execute(own, "touch", "/etc/x")[2], "Read-only file system", "the error of writing to /etc")


@on_kubelet("a container has the devices that it was given, and no others")
def devices(node, _lab):
    if not os.path.exists("/dev/fuse"):
        raise Skip("/dev/fuse is not there")
    container = node.start(node.pod(), config={8: [{1: "/dev/mine", 2: "/dev/fuse", 3: "r"}]})
    same(node.shell(container, "exec 3</dev/mine; echo opened"), "opened", "what reading the device gives")
    error = node.execute(container, "sh", "-c", "exec 3>/dev/mine")[2]
    holds(error, "Operation not permitted", "the error of writing")
    script = "mknod /tmp/kmsg c 1 11; cat /tmp/kmsg"
    holds(node.execute(container, "sh", "-c", script)[2], "Operation not permitted", "the error of another device")


@on_kubelet("a privileged container has all capabilities and the node's devices")
def privileged(node, _lab):
    need_all_capabilities()
    pod = node.pod(linux={2: {1: {1: NODE, 2: CONTAINER, 3: POD}, 6: 1}})
    container = node.start(pod, security={2: 1})
    node.shell(container, "mount -t tmpfs none /tmp")
    same(node.shell(container, "grep Seccomp: /proc/self/status").split()[1], "0", "seccomp's mode")


@on_kubelet("a container with a terminal has one, and its log")
def terminal(node, _lab):
    container = node.start(node.pod(), "sh", "-c", "tty; sleep 600", config={14: 1})
    log = node.directory / "logs-pod/one.log"
    until(lambda: "/dev/pts/0" in log.read_text(), "the log has the terminal's name")
    same(node.shell(container, "readlink /proc/1/fd/0"), "/dev/pts/0", "standard input of process 1")
