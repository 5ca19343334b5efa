"""The project's own tests, and its flows of engines, as a job for the guest."""

import json
import pathlib
import shlex
import shutil
import subprocess

# It reads the repository's documents and sources, which the guest has not.
WITHOUT_RUNTIME = {"specification_table"}

JOB = pathlib.Path(__file__).resolve().parent.parent / "jobs/suite"


def make(repository, job, runtime, suite, engines):
    """Fills the job's directory with the runtime, and with what these commands need.

    `suite` holds the arguments of jobs/suite and `engines` those of conformance/engines/run; None for neither.
    """
    job.mkdir(parents=True)
    _copy_program(runtime, job / "bareboat")
    commands = []
    if suite is not None:
        _add_tests(repository, job)
        commands.append(["./suite", *suite])
    if engines is not None:
        shutil.copytree(repository / "conformance/engines", job / "engines")
        commands.append(["engines/run", "--here", "--runtime", "./bareboat", *engines])
    lines = [f"{shlex.join(command)} || code=1" for command in commands]
    (job / "run").write_text("\n".join(["#!/bin/sh", "code=0", *lines, "exit $code", ""]))
    (job / "run").chmod(0o755)


def _add_tests(repository, job):
    """The tests and their probe, as cargo lays them out."""
    deps = job / "debug/deps"
    deps.mkdir(parents=True)
    for target, executable in _executables(repository):
        kind = target["kind"][0]
        if kind == "test" and target["name"] not in WITHOUT_RUNTIME:
            _copy_program(executable, deps / target["name"])
        elif kind == "bin":
            _copy_program(executable, job / "debug" / target["name"])
    shutil.copy2(JOB, job / "suite")


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


def _copy_program(program, destination):
    """Without what a debugger needs: the disk is read by an emulated machine. A script stays as it is."""
    stripped = subprocess.run(["strip", "-o", destination, program], capture_output=True, check=False)
    if stripped.returncode != 0:
        shutil.copy2(program, destination)
