"""Privileges: capabilities, seccomp, users, no_new_privs."""

import json

from harness.flow import flow, holds, same

CAP_CHOWN, CAP_SYS_ADMIN = 1 << 0, 1 << 21


def _status(lab, field, *options):
    return lab.docker.shell(f"grep ^{field}: /proc/self/status", options=options).split()[-1]


def _effective(lab, *options):
    return int(_status(lab, "CapEff", *options), 16)


@flow("capabilities: --cap-drop and --cap-add")
def capabilities(lab):
    default = _effective(lab)
    same(default, 0xA80425FB, "the default set")
    same(_effective(lab, "--cap-drop", "CHOWN"), default & ~CAP_CHOWN, "the set without CAP_CHOWN")
    same(_effective(lab, "--cap-add", "SYS_ADMIN"), default | CAP_SYS_ADMIN, "the set with CAP_SYS_ADMIN")
    same(_effective(lab, "--cap-drop", "ALL", "--cap-add", "CHOWN"), CAP_CHOWN, "the set of one")


@flow("capabilities: another user has none in effect")
def unprivileged_user(lab):
    same(_effective(lab, "--user", "1000"), 0, "the set")


@flow("seccomp: the default profile refuses a new user namespace")
def default_profile(lab):
    same(_status(lab, "Seccomp"), "2", "the mode")
    result = lab.docker.run("unshare", "-U", "true")
    result.fails_with(1)
    holds(result.err, "Operation not permitted", "the error")


@flow("seccomp: unconfined allows it")
def unconfined(lab):
    options = ["--security-opt", "seccomp=unconfined"]
    same(_status(lab, "Seccomp", *options), "0", "the mode")
    lab.docker.run("unshare", "-U", "true", options=options).succeeds()


@flow("seccomp: a profile from a file")
def own_profile(lab):
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}
    profile = lab.work / "seccomp.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    result = lab.docker.run("mkdir", "/tmp/new", options=["--security-opt", f"seccomp={profile}"])
    result.fails_with(1)
    holds(result.err, "Operation not supported", "the error")


@flow("security: no-new-privileges")
def no_new_privileges(lab):
    same(_status(lab, "NoNewPrivs"), "0", "the flag by default")
    same(_status(lab, "NoNewPrivs", "--security-opt", "no-new-privileges"), "1", "the flag")


@flow("security: --privileged lifts the restrictions")
def privileged(lab):
    lab.docker.need_privileged()
    attempts = ["mount -t tmpfs none /tmp", "touch /proc/sys/kernel/domainname", "unshare -U true", "test -e /dev/kmsg"]
    attempts += ["mknod /kmsg c 1 11 && : >/kmsg"]
    script = "for attempt; do sh -c \"$attempt\" 2>/dev/null && echo yes || echo no; done"
    for options, answer in [([], "no"), (["--privileged"], "yes")]:
        seen = lab.docker.run("sh", "-c", script, "sh", *attempts, options=options).succeeds().split()
        same(dict(zip(attempts, seen)), dict.fromkeys(attempts, answer), "what may be done")


@flow("user: by number, by name, with further groups")
def user(lab):
    same(lab.docker.shell("id", options=["--user", "123:456"]), "uid=123 gid=456 groups=456", "the user")
    named = lab.docker.shell("id", options=["--user", "guest", "--group-add", "777"])
    same(named, "uid=1000(guest) gid=1000(guest) groups=50(staff),777,1000(guest)", "the named user")
    by_name = lab.docker.shell("id", options=["--user", "123:456", "--group-add", "staff"])
    same(by_name, "uid=123 gid=456 groups=50(staff),456", "the user with a group by name")


@flow("user: a group that is added opens its files", group="more")
def added_group(lab):
    script = "echo secret >/data/file && chown 0:777 /data/file && chmod 640 /data/file"
    lab.docker("volume", "create", "grouped").succeeds()
    lab.docker.shell(script, ["-v", "grouped:/data"])
    options = ["-v", "grouped:/data", "--user", "1000"]
    lab.docker.run("cat", "/data/file", options=options).fails_with(1)
    same(lab.docker.shell("cat /data/file", [*options, "--group-add", "777"]), "secret", "the content")
    lab.docker("volume", "rm", "grouped").succeeds()


@flow("user: may write to its standard streams")
def streams(lab):
    same(lab.docker.shell("echo through >/dev/stdout", options=["--user", "1000"]), "through", "the output")


@flow("sysctl: --sysctl sets one of the container's own")
def sysctl(lab):
    options = ["--sysctl", "net.core.somaxconn=321", "--sysctl", "kernel.msgmax=9999"]
    seen = lab.docker.shell("cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax", options=options)
    same(seen.split(), ["321", "9999"], "the values")
