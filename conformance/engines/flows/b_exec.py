"""docker exec, top and health checks: further processes in a running container."""

from harness.flow import flow, holds, same, until


@flow("exec: output, exit code, and input with -i")
def plain(lab):
    container = lab.docker.sleeper()
    same(lab.docker("exec", container, "echo", "inside").succeeds(), "inside", "the output")
    lab.docker("exec", container, "sh", "-c", "exit 4").fails_with(4)
    same(lab.docker("exec", "-i", container, "cat", stdin="through").succeeds(), "through", "the output of cat")


@flow("exec: -it has a terminal")
def terminal(lab):
    container = lab.docker.sleeper()
    talk = [("# ", "tty\n"), ("/dev/pts/", "sleep 1; stty size\n"), ("33 101", "exit 6\n")]
    code, _ = lab.docker.terminal("exec", "-it", container, "sh", talk=talk, rows=33, columns=101)
    same(code, 6, "the exit code")


@flow("exec: -u, -w and -e")
def user_directory_environment(lab):
    container = lab.docker.sleeper()
    options = ["-u", "guest", "-w", "/tmp", "-e", "COLOUR=blue"]
    seen = lab.docker("exec", *options, container, "sh", "-c", 'echo "$(id) $(pwd) $COLOUR"').succeeds()
    same(seen, "uid=1000(guest) gid=1000(guest) groups=50(staff),1000(guest) /tmp blue", "what it sees")


@flow("exec: says which program cannot be executed, and why")
def cannot_execute(lab):
    container = lab.docker.sleeper()
    reasons = {"nosuch": "executable file not found in $PATH", "/etc/passwd": "permission denied"}
    for program, reason in reasons.items():
        result = lab.docker("exec", container, program)
        same(result.code in [126, 127], True, f"that {result.code} is one of the codes 126 and 127")
        holds(result.out + result.err, f'exec: "{program}": {reason}', "the error")
    lab.docker("exec", container, "true").succeeds()


@flow("exec: -d runs in the background")
def detached(lab):
    container = lab.docker.sleeper()
    lab.docker("exec", "-d", container, "sh", "-c", "sleep 0.2; touch /done").succeeds()
    until(lambda: lab.docker("exec", container, "test", "-e", "/done").code == 0, "the file is there")


@flow("exec: shares the container's namespaces and cgroups, and its restrictions")
def shares(lab):
    container = lab.docker.sleeper("--pids-limit", "99", "--cap-drop", "ALL")
    script = "for name in cgroup ipc mnt net pid uts; do readlink /proc/{0}/ns/$name; done; cat /proc/{0}/cgroup; "
    script += "grep -E 'Cap(Eff|Bnd)|Seccomp:' /proc/{0}/status"
    first, other = (lab.docker("exec", container, "sh", "-c", script.format(who)).succeeds() for who in ["1", "self"])
    same(other, first, "what the other process belongs to")


@flow("exec: --privileged gives one process all capabilities")
def privileged(lab):
    lab.docker.need_privileged()
    container = lab.docker.sleeper("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined")
    lab.docker("exec", container, "mount", "-t", "tmpfs", "none", "/tmp").fails_with(1)
    lab.docker("exec", "--privileged", container, "mount", "-t", "tmpfs", "none", "/tmp").succeeds()


@flow("exec: ten at once")
def many(lab):
    container = lab.docker.sleeper()
    for number in range(10):
        lab.docker("exec", "-d", container, "touch", f"/file{number}").succeeds()
    until(
        lambda: lab.docker("exec", container, "sh", "-c", "ls -d /file* | wc -l").out == "10\n", "ten files are there"
    )


@flow("top: lists the container's processes")
def top(lab):
    container = lab.docker.start("sh", "-c", "sleep 1001 & sleep 1002 & wait")
    until(lambda: "sleep 1002" in lab.docker("top", container).out, "both are listed")
    lines = lab.docker("top", container).succeeds().splitlines()
    same(len(lines), 4, "the number of lines")
    holds("\n".join(lines), "sleep 1001", "the list")


@flow("health check: its program runs in the container")
def health(lab):
    options = ["--health-cmd", "test -e /well", "--health-interval", "1s", "--health-retries", "1"]
    container = lab.docker.sleeper(*options)
    until(lambda: lab.docker.inspect(container, "State.Health.Status") == "unhealthy", "it is unhealthy")
    lab.docker("exec", container, "touch", "/well").succeeds()
    until(lambda: lab.docker.inspect(container, "State.Health.Status") == "healthy", "it is healthy")


@flow("health check: the image's own, which looks at a server", group="more")
def image_health(lab):
    directory = lab.work / "health"
    directory.mkdir()
    check = "HEALTHCHECK --interval=1s --retries=1 CMD wget -q -O /dev/null http://127.0.0.1:80/ || exit 1"
    server = 'CMD touch /etc/index.html; exec httpd -f -h /etc'
    (directory / "Dockerfile").write_text(f"FROM busybox\n{check}\n{server}\n")
    lab.docker("build", "--tag", "checked", directory).succeeds()
    container = lab.docker.start(image="checked")
    until(lambda: lab.docker.inspect(container, "State.Health.Status") == "healthy", "it is healthy")
    lab.docker("exec", container, "rm", "/etc/index.html").succeeds()
    until(lambda: lab.docker.inspect(container, "State.Health.Status") == "unhealthy", "it is unhealthy")
    log = lab.docker("inspect", "--format", "{{json .State.Health.Log}}", container).succeeds()
    holds(log, "404 Not Found", "what the last check printed")
