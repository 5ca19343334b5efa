"""What the run stands on: the suite's source, its build, the sandbox, the verdicts, and the report."""
