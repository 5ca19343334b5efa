"""Hundreds of containers, at once and one after the other, and nothing left of them."""

import concurrent.futures
import time

from harness import traces
from harness.docker import call
from harness.flow import Failure, flow, same, until
from harness.images import BUSYBOX

IMAGE = "docker.io/library/busybox:latest"
CALLERS = 16
AT_ONCE = 200
IN_A_ROW = 300

# So many more descriptors the daemons may have after hundreds of containers: with runc, too, dockerd keeps some
# for each caller that it served at once. One for each container would be a hundred or more.
SLACK = CALLERS


def _share_out(act, items):
    """Has the callers do it for each item, and tells how long one took."""
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(CALLERS) as callers:
        answers = [callers.submit(act, item) for item in items]
    failures = [answer.exception() for answer in answers if answer.exception()]
    for failure in failures:
        if not isinstance(failure, Failure):
            raise failure
    traces.fail_with_all(failures)
    return (time.monotonic() - start) / len(answers)


def _tell(what, seconds):
    print(f"{'':14}{what}: {seconds * 1000:.0f} ms each", flush=True)


class _Ctr:
    """`ctr`, with a container's every command."""

    def __init__(self, lab):
        self.lab = lab
        archive = lab.work / "load.tar"
        lab.docker("save", "--output", archive, BUSYBOX).succeeds()
        self("images", "import", archive).succeeds()

    def __call__(self, *arguments):
        return call(["ctr", "--address", self.lab.containerd_socket, *arguments], timeout=120)

    def run(self, name, *command, options=()):
        chosen = ["--runc-binary", self.lab.runtime, "--cgroup", f"/{self.lab.cgroup}/{name}", "--env", f"NAME={name}"]
        return self("run", *chosen, *options, IMAGE, name, *command)

    def start(self, name):
        self.run(name, "sleep", "3600", options=["--detach"]).succeeds()

    def visit(self, name):
        """exec: it is in the right container, and its exit status is its own."""
        code = _code(name)
        script = f"test $NAME = {name} && exit {code}"
        self("tasks", "exec", "--exec-id", f"{name}-visit", name, "sh", "-c", script).fails_with(code)

    def end(self, name):
        self("tasks", "kill", "--signal", "KILL", name).succeeds()
        until(lambda: "exit code 137" in self("tasks", "delete", name).err, f"{name} ended with 137", seconds=60)
        self("containers", "delete", name).succeeds()

    def live(self, name):
        """A whole life in the foreground.

        Of what is printed, ctr 1.6 loses some under load, with any runtime.
        """
        code = _code(name)
        printed = self.run(name, "sh", "-c", f"echo $NAME; exit {code}", options=["--rm"]).fails_with(code)
        same(printed or name, name, f"what {name} prints")


def _code(name):
    return 20 + int(name.rsplit("-", 1)[1]) % 100


@flow("load: 200 containers of containerd by 16 callers live at once, are entered, killed and deleted", group="load")
def at_once(lab):
    ctr = _Ctr(lab)
    ctr.live("warm-up-0")
    names = [f"alive-{number}" for number in range(AT_ONCE)]
    before, open_before = traces.everything(lab), traces.descriptors()
    _tell("ctr run -d", _share_out(ctr.start, names))
    same(ctr("tasks", "list").succeeds().count("RUNNING"), AT_ONCE, "the number of running tasks")
    _tell("ctr tasks exec", _share_out(ctr.visit, names))
    _tell("ctr tasks kill and delete", _share_out(ctr.end, names))
    _assert_nothing_left(lab, before, open_before, names)


@flow("load: 200 containers of containerd by 16 callers in the foreground", group="load")
def in_the_foreground(lab):
    ctr = _Ctr(lab)
    ctr.live("warm-up-1")
    names = [f"brief-{number}" for number in range(AT_ONCE)]
    before, open_before = traces.everything(lab), traces.descriptors()
    _tell("ctr run --rm", _share_out(ctr.live, names))
    _assert_nothing_left(lab, before, open_before, names)


@flow("load: 300 docker run --rm, one after the other", group="load")
def in_a_row(lab):
    _warm_up(lab)
    before, open_before = traces.everything(lab), traces.descriptors()
    start = time.monotonic()
    ids = [lab.docker.run("hostname").succeeds() for _ in range(IN_A_ROW)]
    _tell("docker run --rm", (time.monotonic() - start) / IN_A_ROW)
    same(len(set(ids)), IN_A_ROW, "the number of different containers")
    _assert_nothing_left(lab, before, open_before, ids)


@flow("load: 100 docker run -d with exec, a health check and rm -f, one after the other", group="load")
def visited_in_a_row(lab):
    _warm_up(lab)
    before, open_before = traces.everything(lab), traces.descriptors()
    start = time.monotonic()
    ids = [_visited(lab, number) for number in range(100)]
    _tell("docker run -d, exec, rm -f", (time.monotonic() - start) / len(ids))
    _assert_nothing_left(lab, before, open_before, ids)


@flow("load: 100 containers of Docker by 16 callers, some of which fail to start", group="load")
def docker_at_once(lab):
    _warm_up(lab)
    before, open_before = traces.everything(lab), traces.descriptors()
    ids = []

    def live(number):
        if number % 10 == 9:
            lab.docker.run("nosuch").fails_with(127)
        elif number % 3:
            ids.append(lab.docker.run("hostname").succeeds())
        else:
            ids.append(_visited(lab, number))

    _tell("docker run", _share_out(live, range(100)))
    _assert_nothing_left(lab, before, open_before, ids)


def _warm_up(lab):
    """What the daemons keep from their first containers on."""
    for number in range(3):
        _visited(lab, number)
        lab.docker.run("true").succeeds()


def _visited(lab, number):
    """A container in the background that is entered, every fifth by a health check too, and removed by force."""
    check = ["--health-cmd", "true", "--health-interval", "100ms"] if number % 5 == 0 else []
    container = lab.docker.sleeper(*check)
    code = 20 + number % 100
    seen = lab.docker("exec", container, "sh", "-c", f"hostname; exit {code}").fails_with(code)
    same(seen, container[:12], "the host's name in exec")
    if check:
        until(lambda: lab.docker.inspect(container, "State.Health.Status") == "healthy", "it is healthy", seconds=30)
    lab.docker("rm", "--force", container).succeeds()
    return container


def _assert_nothing_left(lab, before, open_before, containers):
    traces.assert_same(lab, before, seconds=20)
    traces.assert_no_keyrings(containers)
    traces.assert_no_more_descriptors(open_before, SLACK)
    print(f"{'':14}descriptors: {dict(open_before)} before, {dict(traces.descriptors())} after", flush=True)
