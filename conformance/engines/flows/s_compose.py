"""Compose: a proxy before web servers that count in Redis."""

import collections

from harness.docker import call
from harness.flow import flow, holds, same, until

PROJECT = """
version: "3.7"
services:
  redis:
    image: services
    command: redis-server --bind 0.0.0.0 --protected-mode no --save "" --daemonize no
    user: redis
    read_only: true
    tmpfs: [/var/lib/redis]
    healthcheck:
      test: redis-cli ping | grep PONG
      interval: 1s
  web:
    image: busybox
    command: httpd -f -p 80 -h /www
    init: true
    volumes: ["./www:/www:ro"]
    mem_limit: 32m
    cap_drop: [ALL]
    cap_add: [NET_BIND_SERVICE]
    depends_on: [redis]
  proxy:
    image: services
    command: nginx -g "daemon off;"
    volumes: ["./proxy.conf:/etc/nginx/conf.d/proxy.conf:ro", "/dev/null:/etc/nginx/sites-enabled/default:ro"]
    ports: ["127.0.0.1:8082:8080"]
    depends_on: [web]
"""

# Asks for the servers' addresses again all the time, so that it finds new ones.
PROXY = """
server {
    listen 8080;
    resolver 127.0.0.11 valid=1s;
    set $servers http://web:80;
    location / { proxy_pass $servers; }
}
"""

COUNT = r"""#!/bin/sh
printf 'Content-Type: text/plain\n\n'
hostname
printf 'INCR hits\r\nQUIT\r\n' | nc redis 6379 | head -n 1
"""


def _project(lab):
    """The directory of the project."""
    directory = lab.work / "harbour"
    if not directory.exists():
        (directory / "www/cgi-bin").mkdir(parents=True)
        (directory / "docker-compose.yml").write_text(PROJECT)
        (directory / "proxy.conf").write_text(PROXY)
        (directory / "www/index.html").write_text("a page")
        (directory / "www/cgi-bin/count").write_text(COUNT)
        (directory / "www/cgi-bin/count").chmod(0o755)
    return directory


class _Compose:
    def __init__(self, lab):
        self._command = ["docker-compose", "--project-directory", _project(lab)]
        self._command += ["--file", _project(lab) / "docker-compose.yml"]
        self._env = lab.docker.env | {"DOCKER_HOST": f"unix://{lab.docker.socket}"}

    def __call__(self, *arguments):
        return call([*self._command, *arguments], timeout=120, env=self._env)

    def containers(self, service):
        return self("ps", "--quiet", service).succeeds().split()


def _get(path):
    return call(["curl", "--silent", "--fail", "--noproxy", "*", "--max-time", "5", f"http://127.0.0.1:8082/{path}"])


def _count():
    """The host that answers, and how often all were asked."""
    host, number = _get("cgi-bin/count").succeeds().split()
    return host, int(number.removeprefix(":"))


def _hosts(requests):
    """How often each of the hosts answers; Redis counts each request once."""
    _, before = _count()
    answers = [_count() for _ in range(requests)]
    same([number for _, number in answers], list(range(before + 1, before + 1 + requests)), "what Redis counts")
    return collections.Counter(host for host, _ in answers)


@flow("compose: up, requests through the proxy to all replicas, Redis counts, scale, restart, down", group="more")
def harbour(lab):
    compose = _Compose(lab)
    try:
        compose("up", "--detach", "--scale", "web=2").succeeds()
        until(lambda: _get("").out == "a page" and _get("cgi-bin/count").code == 0, "the page comes through the proxy")
        _answered_by(lab, compose, 2)
        _settings_hold(lab, compose)
        compose("up", "--detach", "--scale", "web=4").succeeds()
        _answered_by(lab, compose, 4)
        compose("up", "--detach", "--scale", "web=1").succeeds()
        _answered_by(lab, compose, 1)
        compose("restart", "--timeout", "5", "web").succeeds()
        until(lambda: _get("cgi-bin/count").code == 0, "it answers after the restart")
        same(compose("exec", "-T", "redis", "redis-cli", "exists", "hits").succeeds(), "1", "that Redis has the number")
    finally:
        compose("down", "--timeout", "5", "--volumes").succeeds()
    same(lab.docker("ps", "--all", "--quiet").succeeds(), "", "the containers after down")
    same("harbour" in lab.docker("network", "ls").succeeds(), False, "that the network is left")


def _answered_by(lab, compose, replicas):
    hosts = {container[:12] for container in compose.containers("web")}
    same(len(hosts), replicas, "the number of web servers")
    # The proxy knows the address of a server that is gone for one more second, and a request to it hangs.
    until(lambda: _get("cgi-bin/count").code == 0, "an answer through the proxy", seconds=20)
    until(lambda: set(_hosts(8 * replicas)) == hosts, "all of them answer, and no others")


def _settings_hold(lab, compose):
    web, redis = compose.containers("web")[0], compose.containers("redis")[0]
    seen = lab.docker("exec", web, "sh", "-c", "cat /proc/1/comm; grep CapBnd /proc/self/status").succeeds().split()
    same(seen, ["docker-init", "CapBnd:", f"{1 << 10:016x}"], "process 1 and the capabilities of the web server")
    same(lab.docker("exec", web, "touch", "/www/new").code, 1, "the exit code of writing to a read-only volume")
    holds(lab.docker("exec", redis, "id").succeeds(), "(redis)", "the user of Redis")
    until(lambda: lab.docker.inspect(redis, "State.Health.Status") == "healthy", "Redis is healthy")


@flow("compose: run with its exit code, and logs", group="more")
def one_off(lab):
    compose = _Compose(lab)
    try:
        compose("run", "--rm", "--no-deps", "-T", "web", "sh", "-c", "exit 3").fails_with(3)
        seen = compose("run", "--rm", "--no-deps", "-T", "-e", "COLOUR=blue", "web", "sh", "-c", "echo $COLOUR").out
        same(seen, "blue\n", "the output")
        compose("up", "--detach", "redis").succeeds()
        until(lambda: "Ready to accept connections" in compose("logs", "redis").out, "Redis logs that it is ready")
    finally:
        compose("down", "--timeout", "5").succeeds()
