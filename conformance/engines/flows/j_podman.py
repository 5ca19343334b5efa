"""Podman, where it is not as Docker is: what both do alike is in the module n_podman_as_docker."""

from harness.docker import call
from harness.flow import flow, holds, same, until
from harness.podman import needs, on_podman

V1_LIMITS = "memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us"


@flow("podman: takes the runtime from containers.conf", group="more")
@on_podman
def configured(podman, lab):
    same(podman("info", "--format", "{{.Host.OCIRuntime.Path}}").succeeds(), lab.runtime, "the runtime's path")
    version = call([lab.runtime, "--version"]).succeeds().splitlines()[0]
    holds(podman("info", "--format", "{{.Host.OCIRuntime.Version}}").succeeds(), version, "the runtime's version")
    container = podman.sleeper()
    same(podman.inspect(container, "OCIRuntime"), podman.runtime_name, "the container's runtime")


@flow("podman: rm -f of a running container", group="more")
@on_podman
def remove_running(podman, _lab):
    container = podman.sleeper()
    pid = podman.inspect(container, "State.Pid")
    podman("rm", "--force", "--time", "0", container).succeeds()
    podman("container", "exists", container).fails_with(1)
    until(lambda: call(["kill", "-0", pid]).code != 0, "the process is gone")


@flow("podman: attach reaches a running program's terminal, and detaches", group="more")
@on_podman
def attach_terminal(podman, _lab):
    container = podman.start("sh", options=["-it"])
    talk = [("", "\n"), ("# ", "tty; echo typed $((1 + 1))\n"), ("typed 2", "\x18")]
    code, shown = podman.terminal("attach", "--detach-keys", "ctrl-x", container, talk=talk)
    same(code, 0, "the exit code")
    holds(shown, "/dev/pts/0", "what is shown")
    same(podman.inspect(container, "State.Status"), "running", "the state")


@flow("podman: attach shows a running program's output to its end", group="more")
@on_podman
def attach(podman, _lab):
    script = "while ! test -e /go; do sleep 0.1; done; echo attached; exit 6"
    container = podman.start("sh", "-c", script)
    podman("exec", "--detach", container, "sh", "-c", "sleep 1; touch /go").succeeds()
    same(podman("attach", "--no-stdin", container).succeeds().strip(), "attached", "what is shown")
    same(podman("wait", container).succeeds(), "6", "the exit code")


@flow("podman: exec -u, -w and -e", group="more")
@on_podman
def user_directory_environment(podman, _lab):
    container = podman.sleeper()
    options = ["-u", "guest", "-w", "/tmp", "-e", "COLOUR=blue"]
    seen = podman("exec", *options, container, "sh", "-c", 'echo "$(id) $(pwd) $COLOUR"').succeeds()
    same(seen, "uid=1000(guest) gid=1000(guest) groups=50(staff) /tmp blue", "what it sees")


@flow("podman: health checks run in the container", group="more")
@on_podman
def health(podman, _lab):
    container = podman.sleeper("--health-cmd", "test -e /well", "--health-retries", "1", "--health-interval", "disable")
    podman("healthcheck", "run", container).fails_with(1)
    same(podman.inspect(container, "State.Health.Status"), "unhealthy", "the state")
    podman("exec", container, "touch", "/well").succeeds()
    podman("healthcheck", "run", container).succeeds()
    same(podman.inspect(container, "State.Health.Status"), "healthy", "the state")


@flow("podman: a container that outgrows its memory is killed", group="more")
@on_podman
def out_of_memory(podman, _lab):
    container = podman.start("tail", "/dev/zero", options=["-m", "16m", "--memory-swap", "16m"])
    same(podman("wait", container).succeeds(), "137", "the exit code")


@flow("podman: --ulimit and --oom-score-adj", group="more")
@on_podman
def process_limits(podman, _lab):
    options = ["--ulimit", "nofile=512:1024", "--ulimit", "nproc=99:199", "--oom-score-adj", "700"]
    script = "awk '/open files|processes/ { print $(NF-2), $(NF-1) }' /proc/self/limits; cat /proc/self/oom_score_adj"
    same(podman.shell(script, options).splitlines(), ["99 199", "512 1024", "700"], "the limits and the score")


@flow("podman: stats shows what a container uses", group="more")
@on_podman
def stats(podman, _lab):
    container = podman.sleeper("-m", "64m")
    seen = podman("stats", "--no-stream", "--format", "{{.PIDs}} {{.MemUsage}}", container).succeeds()
    same((seen.split()[0], seen.split()[-1]), ("2", "67.11MB"), "processes and limit")


@flow("podman: pause stops the processes, unpause lets them go on", group="more")
@on_podman
def pause(podman, _lab):
    container = podman.start("sh", "-c", "while :; do echo turn; sleep 0.02; done")

    def turns():
        return len(podman("logs", container).succeeds())

    until(lambda: turns() > 0, "it prints")
    podman("pause", container).succeeds()
    same(podman.inspect(container, "State.Status"), "paused", "the state")
    podman("exec", container, "true").fails_with(255)
    before = turns()
    call(["sleep", "0.2"])
    same(turns(), before, "the length of its log after a while")
    podman("unpause", container).succeeds()
    until(lambda: turns() > before, "it goes on")


@flow("podman: update changes limits of a running container", group="more")
@on_podman
def update(podman, _lab):
    container = podman.sleeper("-m", "64m", "--memory-swap", "64m")
    podman("update", "-m", "32m", "--memory-swap", "32m", "--cpus", "0.25", container).succeeds()
    script = f"cd /sys/fs/cgroup; cat {V1_LIMITS} 2>/dev/null || {{ cat memory.max; cut -d' ' -f1 cpu.max; }}"
    seen = podman("exec", container, "sh", "-c", script).succeeds()
    same(seen.split(), [str(32 << 20), "25000"], "the limits")


@flow("podman: seccomp's default profile refuses what unconfined allows", group="more")
@on_podman
def default_profile(podman, _lab):
    options = ["--cap-add", "SYS_ADMIN"]
    refused = podman.run("swapoff", "/nosuch", options=options)
    holds(refused.err, "Operation not permitted", "the error")
    allowed = podman.run("swapoff", "/nosuch", options=[*options, "--security-opt", "seccomp=unconfined"])
    holds(allowed.err, "No such file", "the error without a profile")


@flow("podman: users by number, by name, with further groups", group="more")
@on_podman
def user(podman, _lab):
    same(podman.shell("id -u; id -g", ["--user", "123:456"]).split(), ["123", "456"], "the user")
    named = podman.shell("id -u; id -g; id -G", ["--user", "guest", "--group-add", "777"])
    same(named.splitlines()[:2], ["1000", "1000"], "the named user")
    same({"50", "777"} <= set(named.splitlines()[2].split()), True, f"that {named!r} has the groups")


@flow("podman: --cgroup-parent places the container, --cgroupns hides the path", group="more")
@on_podman
def cgroups(podman, lab):
    script = "grep -E '^0::|:memory:' /proc/self/cgroup | tail -n 1 | cut -d: -f3"
    parent = ["--cgroup-parent", f"/{lab.cgroup}/elsewhere"]
    seen = podman.shell(script, [*parent, "--cgroupns", "host"])
    same(seen.startswith(f"/{lab.cgroup}/elsewhere/libpod-"), True, f"that {seen} is below the parent")
    same(podman.shell(script, [*parent, "--cgroupns", "private"]), "/", "the path in a namespace of its own")


@flow("podman: --init reaps orphans and passes signals on", group="more")
@on_podman
def init(podman, _lab):
    script = "trap 'exit 5' TERM; (sleep 0.1 &) ; echo $$; while :; do sleep 0.1; done"
    container = podman.start("sh", "-c", script, options=["--init"])
    until(lambda: podman("logs", container).out.strip(), "it prints its pid")
    same(podman("logs", container).succeeds() != "1", True, "that the script is not process 1")
    holds(podman("exec", container, "cat", "/proc/1/comm").succeeds(), "init", "the name of process 1")
    states = ["sh", "-c", "! grep -l 'State:.Z' /proc/[0-9]*/status"]
    until(lambda: podman("exec", container, *states).code == 0, "no zombie is left")
    podman("stop", "--time", "5", container).succeeds()
    same(podman.inspect(container, "State.ExitCode"), "5", "the exit code")


@flow("podman: --uts container: shares the hostname", group="more")
@on_podman
def shared_uts(podman, _lab):
    container = podman.sleeper("--hostname", "vessel")
    same(podman.shell("hostname", ["--uts", f"container:{container}"]), "vessel", "the name")


@flow("podman: --userns maps the container's root to another user", group="more")
@on_podman
def user_namespace(podman, _lab):
    options = ["--uidmap", "0:100000:65536", "--gidmap", "0:200000:65536"]
    container = podman.sleeper(*options)
    same(podman("exec", container, "id", "-u").succeeds(), "0", "the user inside")
    pid = podman.inspect(container, "State.Pid")
    ids = call(["grep", "-E", "^[UG]id:", f"/proc/{pid}/status"]).succeeds().split()
    same((ids[1], ids[6]), ("100000", "200000"), "the ids outside")


@flow("podman: -p publishes a web server's port", group="more")
@on_podman
def published(podman, _lab):
    needs("/usr/lib/podman/netavark")
    podman.start("sh", "-c", "echo welcome >/tmp/index.html && httpd -f -h /tmp", options=["-p", "127.0.0.1:8088:80"])
    curl = ["curl", "--silent", "--fail", "--noproxy", "*", "--max-time", "5", "http://127.0.0.1:8088/"]
    until(lambda: call(curl).code == 0, "the server answers on the published port")
    same(call(curl).succeeds(), "welcome", "the page")


DOCKERFILE = """
FROM localhost/busybox
RUN echo built by $(id -un) >/made && test $$ -eq 1
RUN echo 'sailor:x:1001:1001::/:/bin/sh' >>/etc/passwd
USER sailor
RUN id -un >/tmp/user
CMD ["cat", "/made", "/tmp/user"]
"""


@flow("podman: build with RUN steps", group="more")
@on_podman
def build(podman, _lab):
    context = podman.directory / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    podman("build", "--no-cache", "--tag", "localhost/built", context).succeeds()
    same(podman("run", "--rm", "localhost/built").succeeds(), "built by root\nsailor", "what the image prints")


@flow("podman: ps, logs and events tell a container's life", group="more")
@on_podman
def life(podman, _lab):
    container = podman.start("sh", "-c", "echo one; sleep 0.3; exit 4", options=["--name", "brief"])
    same(podman("ps", "--quiet", "--no-trunc").succeeds(), container, "the list while it runs")
    same(podman("wait", "brief").succeeds(), "4", "the exit code")
    same(podman("ps", "--quiet").succeeds(), "", "the list when it has ended")
    holds(podman("ps", "--all", "--format", "{{.Names}} {{.Status}}").succeeds(), "brief Exited (4)", "the list of all")
    same(podman("logs", "brief").succeeds(), "one", "the log")
    form = ["--filter", "container=brief", "--format", "{{.Status}}"]
    seen = podman("events", "--stream=false", *form).succeeds().split()
    same([event for event in seen if event in ["create", "start", "died"]], ["create", "start", "died"], "the events")
