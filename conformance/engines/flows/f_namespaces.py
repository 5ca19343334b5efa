"""Namespaces of one's own, and shared ones; the network between them."""

import os

from harness.docker import call
from harness.flow import flow, holds, same, until


@flow("namespaces: hostname and domain name")
def hostname(lab):
    options = ["--hostname", "vessel", "--domainname", "sea"]
    same(
        lab.docker.shell("hostname; cat /proc/sys/kernel/domainname", options=options).split(),
        ["vessel", "sea"],
        "the names",
    )


@flow("namespaces: the program is process 1 and sees its own processes only")
def own_processes(lab):
    same(lab.docker.shell("echo $$ /proc/[0-9]*"), "1 /proc/1", "pid and processes")


@flow("namespaces: --pid container: shares the processes")
def shared_pid(lab):
    container = lab.docker.start("sleep", "1003")
    holds(lab.docker.shell("ps", options=["--pid", f"container:{container}"]), "sleep 1003", "the list of processes")


@flow("namespaces: --ipc container: shares /dev/shm")
def shared_ipc(lab):
    container = lab.docker.sleeper("--ipc", "shareable")
    lab.docker("exec", container, "sh", "-c", "echo shared >/dev/shm/file").succeeds()
    same(lab.docker.shell("cat /dev/shm/file", options=["--ipc", f"container:{container}"]), "shared", "the content")


@flow("namespaces: --net container: shares the interfaces")
def shared_net(lab):
    container = lab.docker.sleeper()
    script = "readlink /proc/self/ns/net"
    first = lab.docker("exec", container, "sh", "-c", script).succeeds()
    same(lab.docker.shell(script, options=["--net", f"container:{container}"]), first, "the namespace")


@flow("namespaces: host's uts, pid, ipc and network on request")
def host_namespaces(lab):
    options = ["--uts", "host", "--pid", "host", "--ipc", "host", "--net", "host"]
    script = "for name in uts pid ipc net; do readlink /proc/self/ns/$name; done"
    outside = call(["sh", "-c", script]).succeeds()
    same(lab.docker.shell(script, options=options), outside, "the namespaces")


@flow("namespaces: --cgroupns private hides the cgroups above, host shows them")
def cgroup_namespace(lab):
    script = "readlink /proc/self/ns/cgroup; cut -d: -f3 /proc/self/cgroup | sort -u"
    outside = os.readlink("/proc/self/ns/cgroup")
    namespace, *paths = lab.docker.shell(script, ["--cgroupns", "private"]).split()
    same(namespace != outside, True, "that the namespace is new")
    same(paths, ["/"], "the cgroups' paths in a namespace of their own")
    namespace, *paths = lab.docker.shell(script, ["--cgroupns", "host"]).split()
    same(namespace, outside, "the namespace")
    holds("\n".join(paths), f"/{lab.cgroup}/", "the cgroups' paths in the host's namespace")


@flow("namespaces: --init runs an init that reaps orphans and passes signals")
def with_init(lab):
    same(lab.docker.shell("cat /proc/1/comm; echo $$", ["--init"]).split()[0], "docker-init", "process 1")
    script = "(true &); trap 'exit 8' TERM; echo; while :; do sleep 0.1; done"
    container = lab.docker.start("sh", "-c", script, options=["--init"])
    until(lambda: lab.docker("logs", container).out, "it runs")
    states = ["exec", container, "sh", "-c", "grep -hs '^State:' /proc/[0-9]*/status"]
    until(lambda: "zombie" not in lab.docker(*states).succeeds(), "no zombie is left")
    lab.docker("stop", container).succeeds()
    same(lab.docker.inspect(container, "State.ExitCode"), "8", "the exit code")


@flow("network: --net none has a loopback interface alone")
def no_network(lab):
    same(lab.docker.run("ls", "/sys/class/net", options=["--net", "none"]).succeeds(), "lo", "the interfaces")


@flow("network: -p publishes an nginx, and curl reads from it")
def published(lab):
    lab.docker.start("nginx", "-g", "daemon off;", options=["-p", "127.0.0.1:8080:80"], image="nginx")
    curl = ["curl", "--silent", "--fail", "--noproxy", "*", "--max-time", "5", "http://127.0.0.1:8080/"]
    until(lambda: call(curl).code == 0, "nginx answers on the published port")
    holds(call(curl).succeeds(), "Welcome to nginx!", "the page")


@flow("network: containers find each other by name")
def by_name(lab):
    lab.docker("network", "create", "sea").succeeds()
    server = "while :; do echo answer | nc -l -p 7777; done"
    lab.docker.start("sh", "-c", server, options=["--net", "sea", "--name", "server"])
    script = "until nc server 7777 </dev/null; do sleep 0.1; done"
    same(lab.docker.shell(script, options=["--net", "sea"]), "answer", "what the server says")
    lab.docker.remove_all()
    lab.docker("network", "rm", "sea").succeeds()


@flow("network: connect and disconnect while the container runs", group="more")
def connect(lab):
    container = lab.docker.sleeper("--net", "none")
    interfaces = ["exec", container, "ls", "/sys/class/net"]
    same(lab.docker(*interfaces).succeeds(), "lo", "the interfaces at first")
    lab.docker("network", "disconnect", "none", container).succeeds()
    lab.docker("network", "connect", "bridge", container).succeeds()
    same(lab.docker(*interfaces).succeeds().split(), ["eth0", "lo"], "the interfaces after connect")
    lab.docker("network", "disconnect", "bridge", container).succeeds()
    same(lab.docker(*interfaces).succeeds(), "lo", "the interfaces after disconnect")
