"""Starting a server of the tests' own, waiting until it answers, and stopping it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType

import psutil

HOST = "127.0.0.1"

# Seconds. A slow machine under load is no failure.
STARTING = 60
STOPPING = 10

LOG_TAIL = 4000


class NotStarted(RuntimeError):
    """A server ended before it answered, or never answered."""


def executable(name: str) -> Path:
    """Return where a package installed its program: beside the interpreter."""
    return Path(sys.executable).parent / name


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses at the moment, no two the same."""
    with ExitStack() as sockets:
        # All are held until the last is known, else the system may give one twice.
        held = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in held:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in held]


def free_port() -> int:
    """Return a port that nobody uses at the moment."""
    return free_ports(1)[0]


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    folder: Path,
    port: int,
    answers: Callable[[], object],
    env: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the end of the block; it answers when the block begins.

    :param folder: its own: working directory, home and place of temporary files; its log is the file `log` there.
    :param port: one on which it will listen, at `HOST`.
    :param answers: asks it something; raises while it cannot answer yet.
    :param env: variables besides those of this process.
    :raises NotStarted: with the end of its log.
    """
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [str(each) for each in command],
            cwd=folder,
            env={**os.environ, "HOME": str(folder), "TMPDIR": str(folder), **env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(process, Path(command[0]).name, port, answers, folder / "log")
        yield process
    finally:
        # It has nothing to bring to an end: what it keeps is removed with its folder.
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], program: str, port: int, answers: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + STARTING
    reason: Exception | None = None
    while process.poll() is None and time.monotonic() < deadline:
        try:
            # Somebody else may have taken the port meanwhile, and would answer in its place.
            if _listens(process.pid, port):
                answers()
                return
        except Exception as error:
            reason = error
        time.sleep(0.02)
    end = "did not answer" if process.poll() is None else f"ended with {process.returncode}"
    tail = log.read_bytes()[-LOG_TAIL:].decode(errors="replace")
    raise NotStarted(f"{program} {end}. Its log ends with:\n{tail}") from reason


def _listens(pid: int, port: int) -> bool:
    connections = psutil.Process(pid).net_connections("tcp")
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)
