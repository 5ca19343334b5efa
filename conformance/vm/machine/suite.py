"""The project's own tests as a job for the guest."""

import json
import pathlib
import shutil
import subprocess

JOB = pathlib.Path(__file__).resolve().parent.parent / "jobs/suite"


def make(repository, job, runtime, patterns):
    """Fills the job's directory with the runtime, the tests and their probe, as cargo lays them out."""
    deps = job / "debug/deps"
    deps.mkdir(parents=True)
    for target, executable in _executables(repository):
        name = target["name"]
        kind = target["kind"][0]
        if kind == "test":
            _copy(executable, deps / name)
        elif kind == "bin":
            _copy(executable, job / "debug" / name)
    shutil.copy2(runtime, job / "bareboat")
    shutil.copy2(JOB, job / "suite")
    words = " ".join(f"'{pattern}'" for pattern in patterns)
    (job / "run").write_text(f"#!/bin/sh\nexec ./suite {words}\n")
    (job / "run").chmod(0o755)


def _executables(repository):
    """The tests of the package, and its programs."""
    for command in [["test", "--no-run"], ["build", "--bins"]]:
        done = subprocess.run(
            ["cargo", *command, "--locked", "-p", "conformance", "--message-format=json-render-diagnostics"],
            cwd=repository,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        for line in done.stdout.splitlines():
            message = json.loads(line)
            if message.get("executable"):
                yield message["target"], message["executable"]


def _copy(program, destination):
    """Without what a debugger needs: the disk is read by an emulated machine."""
    subprocess.run(["strip", "-o", destination, program], check=True)
