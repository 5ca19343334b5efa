"""Limits: cgroups and rlimits, as they are seen from inside."""

import pathlib

from harness.flow import Skip, flow, same, until


def _limit(lab, options, v1, v2):
    """The content of the limit's file, of whichever cgroup version is there."""
    script = f"cat /sys/fs/cgroup/{v1} 2>/dev/null || cat /sys/fs/cgroup/{v2}"
    return lab.docker.shell(script, options=options)


@flow("limits: -m sets the memory limit")
def memory(lab):
    same(_limit(lab, ["-m", "64m"], "memory/memory.limit_in_bytes", "memory.max"), str(64 << 20), "the limit")


@flow("limits: --cpus and --cpu-shares set quota and weight")
def cpus(lab):
    quota = _limit(lab, ["--cpus", "0.5"], "cpu/cpu.cfs_quota_us", "cpu.max")
    same(quota.split()[0], "50000", "the quota")
    weight = _limit(lab, ["--cpu-shares", "512"], "cpu/cpu.shares", "cpu.weight")
    same(weight in ["512", "20", "59"], True, f"that 512 shares can be {weight}")


@flow("limits: --cpuset-cpus confines to one processor")
def cpuset(lab):
    script = "grep Cpus_allowed_list /proc/self/status"
    same(lab.docker.shell(script, options=["--cpuset-cpus", "0"]).split()[-1], "0", "the list")


@flow("limits: --pids-limit stops a flood of processes")
def pids(lab):
    options = ["--pids-limit", "10"]
    same(_limit(lab, options, "pids/pids.max", "pids.max"), "10", "the limit")
    flood = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; echo all started"
    same(lab.docker.run("sh", "-c", flood, options=options).out, "", "what is printed after the flood")


@flow("limits: a container that outgrows its memory is OOMKilled")
def out_of_memory(lab):
    container = lab.docker.start("tail", "/dev/zero", options=["-m", "16m", "--memory-swap", "16m"])
    same(lab.docker("wait", container).succeeds(), "137", "the exit code")
    until(lambda: lab.docker.inspect(container, "State.OOMKilled") == "true", "it counts as OOMKilled", seconds=3)


@flow("limits: rates of reading and writing a disk")
def disk(lab):
    disk, device = _disk()
    rates = {"read-bps": "1mb", "write-bps": "2mb", "read-iops": "300", "write-iops": "400"}
    options = [f"--device-{name}={disk}:{rate}" for name, rate in rates.items()]
    v1 = " ".join(f"blkio.throttle.{name.replace('-', '_')}_device" for name in rates)
    seen = lab.docker.shell(f"cd /sys/fs/cgroup/blkio 2>/dev/null && cat {v1} || cat /sys/fs/cgroup/io.max", options)
    limits = [1 << 20, 2 << 20, 300, 400]
    wanted = [f"{device} {limit}" for limit in limits]
    if "rbps" in seen:
        wanted = ["{} rbps={} wbps={} riops={} wiops={}".format(device, *limits)]
    same(seen.splitlines(), wanted, "the limits")


def _disk():
    """One of the machine's disks, and its number."""
    for numbers in pathlib.Path("/sys/block").glob("*/dev"):
        disk = pathlib.Path("/dev") / numbers.parent.name
        if disk.is_block_device():
            return disk, numbers.read_text().strip()
    raise Skip("this machine has no disk")


@flow("limits: --ulimit and --oom-score-adj")
def process_limits(lab):
    seen = lab.docker.shell(
        "ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj",
        options=["--ulimit", "nofile=512:1024", "--oom-score-adj", "700"],
    )
    same(seen.split(), ["512", "1024", "700"], "soft limit, hard limit, score")


@flow("limits: --cgroup-parent places the container")
def cgroup_parent(lab):
    container = lab.docker.sleeper("--cgroup-parent", f"/{lab.cgroup}/elsewhere")
    pid = lab.docker.inspect(container, "State.Pid")
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
        memory = [line for line in file if ":memory:" in line or line.startswith("0::/bareboat")]
    same(memory[0].strip().split(":")[2], f"/{lab.cgroup}/elsewhere/{container}", "the cgroup")


@flow("limits: stats shows what a container uses")
def usage(lab):
    container = lab.docker.sleeper("-m", "64m")
    seen = lab.docker("stats", "--no-stream", "--format", "{{.PIDs}} {{.MemUsage}}", container).succeeds()
    same((seen.split()[0], seen.split()[-1]), ("2", "64MiB"), "processes and limit")
