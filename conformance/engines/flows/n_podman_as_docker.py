"""Podman in Docker's place: the flows of Docker's whose outcome is the same with both.

Those that differ in words or numbers are in the module j_podman.
"""

from harness.flow import find, flow
from harness.podman import with_podman

from . import a_run, b_exec, c_limits, d_files, e_security, f_namespaces, g_build, h_leftovers, q_images

FUNCTIONS = [
    *[a_run.hello, a_run.one_file, a_run.exit_codes, a_run.not_found, a_run.not_executable, a_run.stdin],
    *[a_run.two_streams, a_run.terminal, a_run.interrupt, a_run.detached, a_run.stubborn, a_run.kill, a_run.wait],
    *[a_run.logs, a_run.restart, a_run.attached_start, a_run.restart_policy],
    *[b_exec.plain, b_exec.terminal, b_exec.cannot_execute, b_exec.detached, b_exec.shares, b_exec.privileged],
    *[b_exec.many, b_exec.top],
    *[c_limits.memory, c_limits.cpus, c_limits.cpuset, c_limits.pids, c_limits.disk],
    *[d_files.bind, d_files.bind_file, d_files.named, d_files.shared, d_files.slave, d_files.copied_up, d_files.tmpfs],
    *[d_files.read_only, d_files.masked, d_files.default_devices, d_files.added_device, d_files.read_only_device],
    *[d_files.device_rule],
    *[e_security.capabilities, e_security.unprivileged_user, e_security.unconfined, e_security.own_profile],
    *[e_security.no_new_privileges, e_security.added_group, e_security.streams, e_security.sysctl],
    *[f_namespaces.own_processes, f_namespaces.shared_pid, f_namespaces.shared_ipc, f_namespaces.shared_net],
    *[f_namespaces.host_namespaces, f_namespaces.cgroup_namespace, f_namespaces.no_network, f_namespaces.by_name],
    *[g_build.failing],
    h_leftovers.ten_runs,
    *[q_images.copy_running, q_images.differences, q_images.commit, q_images.commit_running, q_images.export_import],
    *[q_images.save_load],
]

for function in FUNCTIONS:
    flow(f"podman: {find(function).name}", group="more")(with_podman(function))
