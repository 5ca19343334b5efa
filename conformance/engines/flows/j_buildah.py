"""Buildah, which starts the runtime itself: no shim and no conmon is between."""

from harness.docker import call
from harness.flow import flow, holds, same
from harness.podman import on_podman

DOCKERFILE = """
FROM localhost/busybox
COPY given /given
RUN test $$ -eq 1 && cat /given >/made && mkdir /made.d
WORKDIR /made.d
USER 1000:50
RUN id -u >/tmp/user && pwd >>/tmp/user
CMD ["cat", "/made", "/tmp/user"]
"""


def _buildah(podman, *arguments, stdin=""):
    return call(["buildah", *arguments], stdin=stdin, env=podman.env)


def _from(podman):
    """A working container of busybox."""
    return _buildah(podman, "from", "--pull-never", "localhost/busybox").succeeds()


def _bud(podman, name, dockerfile, *options):
    context = podman.directory / name
    context.mkdir()
    (context / "given").write_text("given\n")
    (context / "Dockerfile").write_text(dockerfile)
    return _buildah(podman, "bud", "--no-cache", *options, "--tag", f"localhost/{name}", context)


@flow("buildah: run prints, passes input, returns exit codes", group="more")
@on_podman
def run(podman, _lab):
    container = _from(podman)
    same(_buildah(podman, "run", container, "echo", "Hello World").succeeds(), "Hello World", "the output")
    same(_buildah(podman, "run", container, "cat", stdin="through").succeeds(), "through", "the output of cat")
    _buildah(podman, "run", container, "sh", "-c", "exit 3").fails_with(3)
    failing = _buildah(podman, "run", container, "nosuch")
    same(failing.code != 0, True, "that a program that is not there fails")
    holds(failing.err, "executable file not found in $PATH", "the error")
    _buildah(podman, "rm", container).succeeds()


@flow("buildah: run has the options' user, directory, mounts, capabilities and hostname", group="more")
@on_podman
def options(podman, _lab):
    container = _from(podman)
    shared = podman.directory / "buildah-volume"
    shared.mkdir()
    chosen = ["--user", "1000:50", "--workingdir", "/tmp", "--hostname", "yard", "--cap-drop", "all"]
    chosen += ["--volume", f"{shared}:/data:ro", "--env", "COLOUR=blue"]
    script = "id -u; id -g; pwd; hostname; echo $COLOUR; grep CapBnd /proc/self/status; touch /data/x 2>&1"
    seen = _buildah(podman, "run", *chosen, container, "sh", "-c", script).fails_with(1)
    wanted = ["1000", "50", "/tmp", "yard", "blue", "CapBnd:\t" + "0" * 16, "touch: /data/x: Read-only file system"]
    same(seen.splitlines(), wanted, "what it sees")
    _buildah(podman, "rm", container).succeeds()


@flow("buildah: copy, run, config and commit make an image that Podman runs", group="more")
@on_podman
def commit(podman, _lab):
    container = _from(podman)
    given = podman.directory / "copied"
    given.write_text("copied\n")
    _buildah(podman, "copy", container, given, "/copied").succeeds()
    _buildah(podman, "run", container, "sh", "-c", "cat /copied >/made; echo run >>/made").succeeds()
    _buildah(podman, "config", "--cmd", "cat /made", container).succeeds()
    _buildah(podman, "commit", "--quiet", "--rm", container, "localhost/yard").succeeds()
    same(podman("run", "--rm", "localhost/yard").succeeds(), "copied\nrun", "what the image prints")


@flow("buildah: bud with RUN steps, layer by layer and in one", group="more")
@on_podman
def bud(podman, _lab):
    for name, layers in [("layered", "--layers=true"), ("squashed", "--layers=false")]:
        _bud(podman, name, DOCKERFILE, layers).succeeds()
        seen = podman("run", "--rm", f"localhost/{name}").succeeds()
        same(seen, "given\n1000\n/made.d", f"what the {name} image prints")


@flow("buildah: bud ends with the exit code of a RUN step that fails", group="more")
@on_podman
def failing(podman, _lab):
    result = _bud(podman, "failing", "FROM localhost/busybox\nRUN exit 42\n")
    result.fails_with(42)
    holds(result.err, "exit status 42", "the error")
    missing = _bud(podman, "missing", 'FROM localhost/busybox\nRUN ["/nosuch"]\n')
    same(missing.code != 0, True, "that a step whose program is missing fails")
    holds(missing.err, "no such file or directory", "the error")


@flow("buildah: bud takes a secret, a cache and a tmpfs for one step", group="more")
@on_podman
def step_mounts(podman, _lab):
    secret = podman.directory / "secret"
    secret.write_text("hidden\n")
    step = "--mount=type=secret,id=word --mount=type=tmpfs,target=/scratch --mount=type=cache,target=/cache"
    script = "cat /run/secrets/word >/seen && touch /scratch/x /cache/x && grep -q ' /scratch tmpfs' /proc/mounts"
    dockerfile = f"FROM localhost/busybox\nRUN {step} {script}\nCMD cat /seen; ls /scratch /cache /run/secrets\n"
    _bud(podman, "mounted", dockerfile, "--secret", f"id=word,src={secret}").succeeds()
    seen = podman("run", "--rm", "localhost/mounted")
    same(seen.out.splitlines()[0], "hidden", "what the step saw of the secret")
    same("x" in seen.out.splitlines(), False, "that the mounts' files are in the image")
