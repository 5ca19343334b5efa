"""Swarm: a service of several tasks on this one node, published at the host (there is no IPVS for its own mesh)."""

import contextlib

from harness.docker import call
from harness.flow import flow, same, until


@contextlib.contextmanager
def _swarm(lab):
    lab.docker("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377").succeeds()
    try:
        yield
    finally:
        lab.docker("swarm", "leave", "--force").succeeds()
        until(lambda: lab.docker("ps", "--all", "--quiet").out == "", "the tasks' containers are gone", seconds=30)
        lab.docker("network", "rm", "docker_gwbridge")


def _service(lab):
    script = "mkdir /www && hostname >/www/index.html && trap 'exit 0' TERM; httpd -f -h /www & wait"
    options = ["--name", "web", "--detach", "--no-resolve-image", "--publish", "mode=host,target=80"]
    options += ["--limit-memory", "32m", "--stop-grace-period", "5s", "--restart-delay", "0s"]
    lab.docker("service", "create", *options, "busybox", "sh", "-c", script).succeeds()


def _containers(lab):
    return lab.docker("ps", "--quiet", "--filter", "label=com.docker.swarm.service.name=web").succeeds().split()


def _runs(lab, tasks):
    """Waits for that many containers, each of which answers on a port of its own."""

    def all_answer():
        containers = _containers(lab)
        return len(containers) == tasks and set(map(lambda one: _answer(lab, one), containers)) == set(containers)

    until(all_answer, f"{tasks} tasks run, and each answers", seconds=30)


def _answer(lab, container):
    """What the container's server says: its own name."""
    port = lab.docker("port", container, "80/tcp").out.split("\n")[0].rpartition(":")[2]
    return call(["curl", "--silent", "--noproxy", "*", "--max-time", "5", f"http://127.0.0.1:{port}/"]).out.strip()


@flow("swarm: a service is scaled to three, and a killed task is replaced", group="more")
def scaled(lab):
    with _swarm(lab):
        _service(lab)
        _runs(lab, 1)
        lab.docker("service", "scale", "--detach", "web=3").succeeds()
        _runs(lab, 3)
        killed = _containers(lab)[0]
        lab.docker("kill", killed).succeeds()
        until(lambda: killed not in _containers(lab), "the killed container is gone")
        _runs(lab, 3)
        lab.docker("service", "scale", "--detach", "web=1").succeeds()
        _runs(lab, 1)


@flow("swarm: secrets and configurations are files of the tasks", group="more")
def secrets(lab):
    with _swarm(lab):
        lab.docker("secret", "create", "word", "-", stdin="barnacle").succeeds()
        lab.docker("config", "create", "colours", "-", stdin="blue").succeeds()
        options = ["--name", "web", "--detach", "--no-resolve-image", "--secret", "word"]
        options += ["--config", "source=colours,target=/etc/colours,mode=0440,uid=1000", "--user", "1000"]
        script = "cat /run/secrets/word /etc/colours; stat -c ' %u %a' /etc/colours; sleep 1006"
        lab.docker("service", "create", *options, "busybox", "sh", "-c", script).succeeds()
        until(lambda: len(_containers(lab)) == 1, "its task runs", seconds=30)
        container = _containers(lab)[0]
        until(lambda: lab.docker("logs", container).out.endswith("\n"), "it has printed its line")
        same(lab.docker("logs", container).out, "barnacleblue 1000 440\n", "what the task reads")
        mounts = lab.docker("exec", container, "grep", "/run/secrets", "/proc/mounts").succeeds()
        same("tmpfs" in mounts and "ro," in mounts, True, f"that it is a read-only tmpfs ({mounts})")
