"""Whether a process that was noted somewhere is still there.

Owns how a process is told from a later one with the same pid, and from one on another
machine or in another container. Reads `/proc`; where there is none, nothing is known.
"""

import os
from pathlib import Path
from typing import Literal

ProcessState = Literal["alive", "frozen", "gone", "unknown"]

_PROC = Path("/proc")
# In /proc/PID/stat: Z and X have ended, though a parent may not have asked yet; T and t stand.
_ENDED, _STOPPED = "ZX", "Tt"


def identity(pid: int) -> str:
    """Returns the kernel's boot, the pid namespace and the start time of a process on this machine.

    All three stay the same while the process lives, and differ where another process has the
    same pid. "" where the system does not say.
    """
    here, stat = _here(), _stat(pid)
    return f"{here}/{stat[1]}" if here and stat else ""


def same_clock(of: str) -> bool:
    """Says whether a process has or had this machine's clock; False where that is not known.

    Args:
        of: Its identity.
    """
    here = _here()
    return bool(here) and here.split("/")[0] == of.split("/")[0]


def state(pid: int, of: str) -> ProcessState:
    """Says what became of a process.

    Args:
        pid: Its number, at least 1.
        of: Its identity.

    Returns:
        `unknown` if it was on another machine, before a reboot, or in another container.
    """
    here, _, began = of.rpartition("/")
    if not here or here != _here():
        return "unknown"
    try:
        os.kill(pid, 0)  # unlike /proc, this tells of processes that are hidden from us
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        pass
    stat = _stat(pid)
    if stat is None:
        return "unknown"
    letter, start_time = stat
    if start_time != began or letter in _ENDED:
        return "gone"
    return "frozen" if letter in _STOPPED else "alive"


def _here() -> str:
    """The kernel since its boot, and our pid namespace: a pid means the same only in one."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:
        return ""


def _stat(pid: int) -> tuple[str, str] | None:
    """State and start time, in clock ticks since boot, of a process."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the program's name in brackets, and may hold spaces and brackets.
    fields = text.rpartition(")")[2].split()
    return fields[0], fields[19]
