"""Nothing is left behind."""

from harness import traces
from harness.flow import flow, same


@flow("leftovers: none after ten runs")
def ten_runs(lab):
    lab.docker.run("true").succeeds()
    before = traces.everything(lab)
    for _ in range(10):
        lab.docker.run("true").succeeds()
    traces.assert_same(lab, before)


@flow("leftovers: none after a start that fails, and after exec")
def failures(lab):
    lab.docker.run("true").succeeds()
    before = traces.everything(lab)
    lab.docker.run("nosuch").fails_with(127)
    mount = lab.docker.run("true", options=["-v", "/dev/null:/etc/passwd/below"])
    same(mount.code != 0, True, "that a mount below a file fails")
    container = lab.docker.sleeper()
    same(lab.docker("exec", container, "nosuch").code != 0, True, "that exec of no program fails")
    lab.docker("exec", container, "true").succeeds()
    lab.docker.remove_all()
    traces.assert_same(lab, before)
