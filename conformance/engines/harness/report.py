"""What the run prints."""

import pathlib
import textwrap

OK, SKIP, FAIL = "ok", "skip", "FAIL"


def print_list(flows):
    for flow in flows:
        print(f"{flow.group:6} {flow.name}")
    return 0


def print_result(flow, mark, reason, seconds):
    print(f"{mark:4} {seconds:5.1f} s  {flow.name}", flush=True)
    if reason:
        print(textwrap.indent(reason, " " * 14), flush=True)


def summarise(flows, runtimes, results):
    """The table of all flows and runtimes; the exit code. The last runtime is the one tested.

    `results` has a dictionary for each runtime: from a flow's name to its mark and the reason for it.
    """
    names = [pathlib.Path(runtime).name for runtime in runtimes]
    marks = {flow.name: [result[flow.name][0] for result in results] for flow in flows}
    print()
    if len(runtimes) > 1:
        _print_table(names, marks, results)
    faults = [name for name, row in marks.items() if row[-1] == FAIL and not _machines_fault(row)]
    for name, row in zip(names, zip(*marks.values())):
        print(f"{name}: {row.count(OK)} of {len(flows)} flows pass, {row.count(SKIP)} skip, {row.count(FAIL)} fail")
    common = sum(map(_machines_fault, marks.values()))
    if common:
        print(f"{common} of them fail with {' and '.join(names)} alike: this machine lacks something that they need")
    return 1 if faults else 0


def _machines_fault(row):
    """Whether the flow fails with every runtime."""
    return len(row) > 1 and set(row) == {FAIL}


def _print_table(names, marks, results):
    width = max(map(len, marks))
    print(" " * width, *(f"{name:10}" for name in names))
    for name, row in marks.items():
        reasons = [result[name][1] for result in results]
        print(f"{name:{width}}", *(f"{mark:10}" for mark in row), _note(names, row, reasons))
    print()


def _note(names, row, reasons):
    """Whose fault it is where a flow does not pass."""
    if _machines_fault(row):
        return "the machine's fault: it fails with every runtime"
    if set(row) == {SKIP}:
        return reasons[-1]
    return "; ".join(f"{name}: {reason.splitlines()[0][:100]}" for name, reason in zip(names, reasons) if reason)
