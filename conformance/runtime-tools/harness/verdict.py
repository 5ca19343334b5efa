"""What a validation program's output and exit code say.

Three ways of failing have to be counted: a result `not ok`; an exit code; and, by the programs for hooks, which print
no result at all, a block of YAML with an error. After a result that is `ok`, such a block tells of an error that the
program wanted to see.
"""

import dataclasses
import json
import re

_RESULT = re.compile(r"(?P<failed>not )?ok \d+(?: - | )?(?P<text>.*)")


@dataclasses.dataclass(frozen=True)
class Verdict:
    mark: str  # ok, skip or FAIL
    reasons: list = dataclasses.field(default_factory=list)


def judge(code, out, err):
    """The verdict on a program that ended with this exit code (None: it did not end)."""
    results, faults = _read(out.splitlines())
    if code is None:
        faults.append("no end in time")
    elif code != 0:
        faults.append(f"exit code {code}")
    if faults:
        said = " ".join(err.split())
        faults += [f"standard error: {said[-500:]}"] if said else []
        return Verdict("FAIL", list(dict.fromkeys(faults)))
    skips = [text.removeprefix("# SKIP").strip() for text in results if text.startswith("# SKIP")]
    if results and len(skips) == len(results):
        return Verdict("skip", list(dict.fromkeys(skips)))
    return Verdict("ok")


def _read(lines):
    """The texts of all results, and what is wrong."""
    results, faults = [], []
    remaining = iter(lines)
    for line in remaining:
        if line.strip() == "---":
            error = _error_in(remaining)
            if error and not results:
                faults.append(error)
            elif error and faults and faults[-1] == results[-1]:
                faults[-1] += f" ({error})"
        elif match := _RESULT.fullmatch(line):
            results.append(match["text"])
            if match["failed"] and "# TODO" not in match["text"]:
                faults.append(match["text"])
    return results, faults


def _error_in(lines):
    """The error in a block of YAML, whose first line is gone already, and which tap.go writes as JSON."""
    block = []
    for line in lines:
        if line.strip() == "...":
            break
        block.append(line)
    details = json.loads("\n".join(block))
    said = details.get("stderr", "").strip()
    return " ".join(filter(None, [details["error"], said])) if details.get("error") else ""
