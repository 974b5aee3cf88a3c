"""Installing a server of the tests' own, once, in the versions of its lock."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).parents[2]


def installed_once(name: str, lock: Sequence[Path], install: Callable[[Path], None]) -> Path:
    """Return the folder below `.build/NAME` with what a lock says; what another lock said is removed.

    :param lock: its files.
    :param install: fills an empty folder, which is moved when it is done: nothing may know its own path.
    """
    folders = ROOT / ".build" / name
    folder = folders / hashlib.sha256(b"".join(path.read_bytes() for path in lock)).hexdigest()[:16]
    if folder.exists():
        return folder
    folders.mkdir(parents=True, exist_ok=True)
    with (folders / "installing").open("w") as file:
        # Of tests side by side, one installs, and the others wait for it.
        fcntl.flock(file, fcntl.LOCK_EX)
        if folder.exists():
            return folder
        # None is seen before it is whole.
        with tempfile.TemporaryDirectory(prefix="tmp-", dir=folders, ignore_cleanup_errors=True) as directory:
            install(Path(directory))
            # A temporary one is its maker's only.
            Path(directory).chmod(0o755)
            os.rename(directory, folder)
        for other in folders.iterdir():
            if other.is_dir() and other != folder:
                shutil.rmtree(other, ignore_errors=True)
    return folder


def run(command: Sequence[str | Path], *, folder: Path, env: Mapping[str, str] = MappingProxyType({})) -> None:
    """Run a program that installs something.

    :param env: variables besides those of this process.
    :raises RuntimeError: with what it said, if it fails.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"It cannot be installed. {Path(command[0]).name} says:\n{done.stdout}")
