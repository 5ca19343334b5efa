"""The suite's source, from the Debian release that has all of it, with apt checking Debian's signatures."""

import hashlib
import pathlib
import shlex
import subprocess
import sys
import tarfile
import tempfile

RELEASE = "trixie"
PACKAGE = "golang-github-opencontainers-runtime-tools"
VERSION = "0.9.0.109.ge931285-1"
ARCHIVE = f"{PACKAGE}_0.9.0.109.ge931285.orig.tar.xz"
SHA256 = "203989a1ea98cf2aaced79155bbda09270b20db19b03376dde91ab12e5e6a0fe"
KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def unpack(cache, directory):
    """Unpacks the suite into the directory. The archive is downloaded once, into the cache."""
    archive = cache / ARCHIVE
    if not archive.exists():
        _download(archive)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{archive} has the SHA-256 sum {found} instead of {SHA256}: remove it to download it again")
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        with tarfile.open(archive) as tar:
            tar.extractall(temporary)
        [top] = pathlib.Path(temporary).iterdir()
        top.rename(directory)


def _download(archive):
    """`apt-get source`, with lists and settings of its own, so that the machine's apt does not change."""
    print(f"downloading OCI's validation suite from Debian {RELEASE} (once)", flush=True)
    with tempfile.TemporaryDirectory(prefix="bareboat-apt-") as name:
        directory = pathlib.Path(name)
        directory.chmod(0o755)  # apt downloads as a user of its own
        apt = _private_apt(directory)
        _call([*apt, "update", "-qq"])
        _expect_version(apt)
        _call([*apt, "source", "-qq", "--tar-only", "--download-only", f"{PACKAGE}={VERSION}"], cwd=directory)
        unfinished = archive.with_suffix(".part")
        unfinished.write_bytes((directory / ARCHIVE).read_bytes())
        unfinished.rename(archive)


def _private_apt(directory):
    sources = directory / "sources.list"
    sources.write_text(f"deb-src [signed-by={KEYRING}] {_mirror()} {RELEASE} main\n")
    (directory / "lists").mkdir()
    settings = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": directory / "lists",
        "Dir::Cache": directory / "cache",
        "APT::Sandbox::User": "root",  # the files are for root; their signatures are checked all the same
    }
    return ["apt-get", *(f"--option={key}={value}" for key, value in settings.items())]


def _mirror():
    """Where this machine's apt takes Debian itself from, which has all releases."""
    form = ["--format", "$(ORIGIN) $(LABEL) $(REPO_URI)", "Created-By: Packages"]
    lines = _call(["apt-get", "indextargets", *form]).splitlines()
    mirrors = [line.split()[2] for line in lines if line.split()[:2] == ["Debian", "Debian"]]
    if not mirrors:
        sys.exit("apt knows no mirror of Debian: run `apt-get update` first")
    return mirrors[0]


def _expect_version(apt):
    listed = _call([*apt, "indextargets", "--format", "$(FILENAME)", "Created-By: Sources"]).split()
    text = "".join(_call(["/usr/lib/apt/apt-helper", "cat-file", name]) for name in listed)
    versions = [
        line.removeprefix("Version: ")
        for paragraph in text.split("\n\n")
        if f"Package: {PACKAGE}\n" in f"{paragraph}\n"
        for line in paragraph.splitlines()
        if line.startswith("Version: ")
    ]
    if VERSION not in versions:
        found = ", ".join(versions) or "none"
        sys.exit(
            f"Debian {RELEASE} has version {found} of {PACKAGE}, and this harness is written for {VERSION}: "
            f"see what changed, then change {pathlib.Path(__file__).name} and the expectations"
        )


def _call(command, cwd=None):
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(map(str, command))} fails:\n{done.stderr.strip()}")
    return done.stdout
