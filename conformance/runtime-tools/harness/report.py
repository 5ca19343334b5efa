"""What the run prints."""

import textwrap


def print_verdict(runtime, program, verdict):
    print(f"{verdict.mark:4}  {runtime:10}  {program}", flush=True)


def summarise(programs, verdicts, expected):
    """Prints the table and what went wrong; the exit code. The last runtime is the one tested."""
    print()
    _print_table(programs, verdicts, expected)
    tested = list(verdicts)[-1]
    for runtime, of_programs in verdicts.items():
        _print_failures(runtime, of_programs, expected, runtime == tested)
    failed = {program for program in programs if verdicts[tested][program].mark == "FAIL"}
    surprises = failed - expected.keys()
    passed = [program for program in programs if verdicts[tested][program].mark == "ok"]
    print(f"\n{tested}: {len(passed)} of {len(programs)} programs pass, {len(failed)} fail", end="")
    print(f", {len(failed & expected.keys())} of these as expected" if failed else "")
    for program in [program for program in passed if program in expected]:
        print(f"{program} passes although it is expected to fail: {expected[program]}")
    return 1 if surprises else 0


def _print_table(programs, verdicts, expected):
    width = max(map(len, programs))
    print(" " * width, *(f"{runtime:10}" for runtime in verdicts))
    for program in programs:
        marks = [of_programs[program].mark for of_programs in verdicts.values()]
        note = f"expected: {expected[program]}" if program in expected else ""
        print(f"{program:{width}}", *(f"{mark:10}" for mark in marks), note)


def _print_failures(runtime, verdicts, expected, tested):
    for program, verdict in verdicts.items():
        if verdict.mark == "ok" or (program in expected and not tested):
            continue
        print(f"\n{runtime}: {program}: {verdict.mark}{' as expected' if program in expected else ''}")
        for reason in verdict.reasons:
            print(textwrap.indent(textwrap.fill(reason, 116), "    "))
