"""The programs that no runtime passes, on every machine or on those that lack something."""

import pathlib
import re

FILE = pathlib.Path(__file__).resolve().parents[1] / "expected-failures"

_RACE = "race"
_LINE = re.compile(r"(?P<program>\w+) +(?P<condition>\S+) +(?P<reason>\S.*)")



def read():
    """From a program's name to why it fails here; those that ought to pass are not among them."""
    return {entry["program"]: entry["reason"] for entry in _entries() if _holds(entry["condition"])}


def racing():
    """The programs that fail at times, whatever the runtime does."""
    return {entry["program"] for entry in _entries() if entry["condition"] == _RACE}


def _entries():
    lines = FILE.read_text().splitlines()
    return [_LINE.fullmatch(line) for line in lines if line and not line.startswith("#")]


def _holds(condition):
    kind, _, what = condition.partition(":")
    if kind in ("always", _RACE):
        return kind == "always"
    if kind == "no-file":
        return not any(pathlib.Path("/").glob(what.removeprefix("/")))
    if kind == "no-v1":
        return not _mounted_v1(what)
    if kind == "no-capability":
        return not _bounding_set() >> int(what) & 1
    raise ValueError(f"{FILE}: unknown condition {condition}")


def _mounted_v1(controller):
    mounts = (line.split() for line in pathlib.Path("/proc/self/mounts").read_text().splitlines())
    return any(kind == "cgroup" and controller in options.split(",") for _, _, kind, options, *_ in mounts)


def _bounding_set():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"CapBnd:\s*(\w+)", status)[1], 16)
