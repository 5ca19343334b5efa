"""A flow: one use of an engine, with what has to come out of it."""

import dataclasses
import importlib
import pathlib
import pkgutil
import re
import time
import typing

# fast: in every test run. more: slower, or other programs than Docker and containerd.
# load: hundreds of containers. systemd: in the virtual machine, whose systemd makes the cgroups.
GROUPS = ["fast", "more", "load", "systemd"]

_flows = []


class Failure(Exception):
    """What was seen instead of what was expected."""


class Skip(Exception):
    """What this machine lacks, so that the flow cannot work here with any runtime."""


@dataclasses.dataclass(frozen=True)
class Flow:
    name: str
    group: str
    function: typing.Callable


def flow(name, group="fast"):
    """Registers the function below it, which takes a Lab, as a flow."""

    def register(function):
        _flows.append(Flow(name, group, function))
        return function

    return register


def find(function):
    """The flow that the function is."""
    return next(flow for flow in _flows if flow.function is function)


def select(groups, pattern):
    """The flows of the groups, those whose name matches the pattern where there is one."""
    directory = pathlib.Path(__file__).resolve().parents[1] / "flows"
    for module in pkgutil.iter_modules([str(directory)]):
        importlib.import_module(f"flows.{module.name}")
    return [flow for flow in _flows if flow.group in groups and re.search(pattern or "", flow.name)]


def need_all_capabilities():
    """`--privileged` asks for every capability that the kernel has, and root lacks some on some machines."""
    last = int(pathlib.Path("/proc/sys/kernel/cap_last_cap").read_text())
    status = pathlib.Path("/proc/self/status").read_text()
    if int(re.search(r"CapBnd:\s*(\w+)", status)[1], 16) != (2 << last) - 1:
        raise Skip("root has not all capabilities on this machine")


def same(found, wanted, what):
    if found != wanted:
        raise Failure(f"{what} is {found!r} instead of {wanted!r}")


def holds(text, part, what):
    if part not in text:
        raise Failure(f"{what} lacks {part!r}: {text.strip()[-300:]!r}")


def until(question, what, seconds=10):
    """Asks again and again until the answer is true."""
    deadline = time.monotonic() + seconds
    while not question():
        if time.monotonic() > deadline:
            raise Failure(f"after {seconds} s still not so: {what}")
        time.sleep(0.05)
