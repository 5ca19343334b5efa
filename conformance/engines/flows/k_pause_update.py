"""Containers that are stopped for a while, and whose limits change."""

from harness.docker import call
from harness.flow import Skip, flow, holds, same


@flow("pause: stops the processes, unpause lets them go on")
def pause(lab):
    container = lab.docker.sleeper()
    lab.docker("pause", container).succeeds()
    same(lab.docker.inspect(container, "State.Status"), "paused", "the state")
    lab.docker("exec", container, "true").fails_with(1)
    lab.docker("unpause", container).succeeds()
    lab.docker("exec", container, "true").succeeds()


@flow("update: changes limits of a running container")
def update(lab):
    container = lab.docker.sleeper("-m", "64m", "--memory-swap", "64m")
    lab.docker(
        "update", "-m", "32m", "--memory-swap", "32m", "--cpus", "0.25", "--pids-limit", "50", container
    ).succeeds()
    script = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us pids/pids.max 2>/dev/null"
    script += " || { cat memory.max; cut -d' ' -f1 cpu.max; cat pids.max; }"
    seen = lab.docker("exec", container, "sh", "-c", script).succeeds()
    same(seen.split(), [str(32 << 20), "25000", "50"], "the limits")


@flow("checkpoint: is refused with a clear word, and the container runs on")
def checkpoint(lab):
    if not call([lab.runtime, "--version"]).succeeds().startswith("bareboat"):
        raise Skip("this is about bareboat's words, which it has no checkpoints behind yet")
    container = lab.docker.sleeper()
    result = lab.docker("checkpoint", "create", container, "first")
    result.fails_with(1)
    holds(result.err, "has no checkpoints", "the error")
    lab.docker("exec", container, "true").succeeds()
