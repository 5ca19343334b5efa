"""What the run prints."""

import pathlib
import textwrap


def print_list(flows):
    for flow in flows:
        print(f"{flow.group:6} {flow.name}")
    return 0


def print_result(flow, mark, reason, seconds):
    print(f"{mark:4} {seconds:5.1f} s  {flow.name}", flush=True)
    if reason:
        print(textwrap.indent(reason, " " * 14), flush=True)


def summarise(flows, runtimes, results):
    """The table of all flows and runtimes; the exit code. The last runtime is the one tested."""
    names = [pathlib.Path(runtime).name for runtime in runtimes]
    print()
    if len(runtimes) > 1:
        _print_table(flows, names, results)
    failed = [flow for flow in flows if results[-1][flow.name] == "FAIL"]
    faults = [flow for flow in failed if not _machines_fault(flow, results)]
    passed = [flow for flow in flows if results[-1][flow.name] == "ok"]
    print(f"{names[-1]}: {len(passed)} of {len(flows)} flows pass, {len(failed)} fail")
    if len(failed) > len(faults):
        print(f"{len(failed) - len(faults)} of them with {names[0]} too: this machine lacks something that they need")
    return 1 if faults else 0


def _machines_fault(flow, results):
    """Whether the flow fails with every runtime."""
    return len(results) > 1 and all(result[flow.name] == "FAIL" for result in results)


def _print_table(flows, names, results):
    width = max(len(flow.name) for flow in flows)
    print(" " * width, *(f"{name:10}" for name in names))
    for flow in flows:
        note = "the machine's fault" if _machines_fault(flow, results) else ""
        print(f"{flow.name:{width}}", *(f"{result[flow.name]:10}" for result in results), note)
    print()
