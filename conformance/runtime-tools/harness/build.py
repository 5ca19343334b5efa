"""Builds the suite with Debian's Go and Debian's Go libraries, without a network."""

import hashlib
import os
import pathlib
import platform
import shutil
import subprocess
import sys

from . import source

PACKAGES = """
    golang-go golang-github-blang-semver-dev golang-github-google-uuid-dev golang-github-hashicorp-go-multierror-dev
    golang-github-mrunalp-fileutils-dev golang-github-opencontainers-selinux-dev golang-github-opencontainers-specs-dev
    golang-github-sirupsen-logrus-dev golang-github-urfave-cli-dev golang-github-xeipuuv-gojsonschema-dev
    golang-gocapability-dev golang-golang-x-sys-dev
""".split()
DEBIANS_LIBRARIES = "/usr/share/gocode"
PROGRAMS = "programs"
ARCHITECTURES = {"x86_64": "amd64", "i386": "386", "i686": "386"}

_TAP = pathlib.Path(__file__).resolve().parents[1] / "tap"
_IMPORTS = "src/github.com"


def prepare(cache, installer):
    """The directory that the programs have to be run in, with them in its directory `programs`."""
    if platform.machine() not in ARCHITECTURES:
        sys.exit(f"OCI's validation suite has no root filesystem for {platform.machine()}")
    suite = cache / f"suite-{_fingerprint()}"
    if not suite.exists():
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run([installer, *PACKAGES], check=True)
        _build(cache, suite)
    return suite


def _fingerprint():
    """Changes with all that the build is made from."""
    digest = hashlib.sha256(source.SHA256.encode())
    for path in sorted(_TAP.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _build(cache, suite):
    workspace = cache / "go"
    shutil.rmtree(workspace, ignore_errors=True)
    repository = workspace / _IMPORTS / "opencontainers/runtime-tools"
    repository.parent.mkdir(parents=True)
    source.unpack(cache, repository)
    shutil.copytree(_TAP, workspace / _IMPORTS / "mndrix/tap-go")

    print("building OCI's validation suite (once)", flush=True)
    unfinished = cache / "suite.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / PROGRAMS).mkdir(parents=True)
    _go(workspace, repository, unfinished / "runtimetest", "./cmd/runtimetest")
    _go(workspace, repository, f"{unfinished / PROGRAMS}/", "./validation/...")
    archive = f"rootfs-{ARCHITECTURES[platform.machine()]}.tar.gz"
    shutil.copy(repository / archive, unfinished / archive)
    unfinished.rename(suite)
    shutil.rmtree(workspace)


def _go(workspace, repository, output, packages):
    settings = {
        "GO111MODULE": "off",
        "GOPATH": f"{workspace}:{DEBIANS_LIBRARIES}",
        "GOCACHE": workspace / "cache",
        "GOFLAGS": "",
        "GOPROXY": "off",
        "CGO_ENABLED": "0",  # runtimetest runs in a root filesystem without a C library
    }
    done = subprocess.run(
        ["go", "build", "-ldflags=-s -w", "-o", output, packages],
        cwd=repository,
        env=os.environ | {key: str(value) for key, value in settings.items()},
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"the suite does not build: go build {packages} fails")
