"""docker build: RUN steps, by the classic builder (containerd's shim) and by BuildKit (`runc` from PATH)."""

from harness.flow import flow, holds, same

DOCKERFILE = """
FROM busybox
RUN echo built by $(id -un) >/made && test $$ -eq 1
RUN echo 'sailor:x:1001:1001::/:/bin/sh' >>/etc/passwd
USER sailor
RUN id -un >/tmp/user
CMD ["cat", "/made", "/tmp/user"]
"""


def _build(lab, name, dockerfile, **env):
    directory = lab.work / name
    directory.mkdir()
    (directory / "Dockerfile").write_text(dockerfile)
    return lab.docker("build", "--no-cache", "--tag", name, directory, timeout=120, **env)


@flow("build: RUN steps with the classic builder")
def classic(lab):
    _build(lab, "classic", DOCKERFILE).succeeds()
    same(lab.docker("run", "--rm", "classic").succeeds(), "built by root\nsailor", "what the image prints")


@flow("build: RUN steps with BuildKit")
def buildkit(lab):
    _build(lab, "buildkit", DOCKERFILE, DOCKER_BUILDKIT="1").succeeds()
    same(lab.docker("run", "--rm", "buildkit").succeeds(), "built by root\nsailor", "what the image prints")


@flow("build: a RUN step that fails ends the build with its exit code")
def failing(lab):
    for number, builder in enumerate(["classic", "BuildKit"]):
        result = _build(lab, f"failing{number}", "FROM busybox\nRUN exit 42\n", DOCKER_BUILDKIT=str(number))
        same(result.code != 0, True, f"that {builder} fails")
        holds(result.err, "42", f"the error of {builder}")
