"""The sandbox of a rendering process: Landlock confines its files, seccomp its system calls.

An original can exploit a decoder. What runs then can read the code of imgserve and of its libraries, and fonts, which
every installation has. It reads and writes the files of its job by descriptors that the server opened (`JobFiles`), so
it needs no path of an original. It opens no other file, starts no process, and has no network.

Both are entered by system calls of our own. The packages for Landlock are young, look for libc by starting `ldconfig`
at each start (9 ms), and six rights out of their many are needed; those for seccomp need libseccomp, which images of
containers lack. Where the kernel has neither, rendering works without, and the state says so.
"""

import ctypes
import errno
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from imgserve.rendering.syscalls import ARCHITECTURES, Architecture, compiled

_PACKAGE = Path(__file__).parents[1]
_SYSTEM = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/localtime"),
    *("/usr/share/zoneinfo", "/usr/share/fonts", "/usr/share/fontconfig", "/usr/local/share/fonts", "/etc/fonts"),
    *("/usr/share/mime", "/var/cache/fontconfig", "/dev/null", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo"),
    "/sys/devices/system/cpu",
)
_AT_HOME = (
    *("$XDG_DATA_HOME/fonts", "~/.local/share/fonts", "~/.fonts", "~/.fontconfig", "$FONTCONFIG_PATH"),
    *("$XDG_CACHE_HOME/fontconfig", "~/.cache/fontconfig", "$XDG_CONFIG_HOME/fontconfig", "~/.config/fontconfig"),
)
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH, _ALL_THREADS = 1, 1, 8
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS = ((1, 0x1FFF), (2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
"""By the first version that has them: all of the first; to link or rename elsewhere; to truncate; ioctl on devices."""
_NETWORK_RIGHTS = ((4, 0b11),)
"""To bind and to connect TCP sockets."""
_SCOPES = ((6, 0b11),)
"""Abstract sockets, and signals."""
_THREADS_SINCE = 8
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_SET_FILTER, _ACTION_AVAILABLE, _SYNCHRONIZE, _NO_MITIGATIONS = 1, 2, 1, 4
"""Without the third flag, kernels before 5.16 slow the process down."""
_ERRNO_ACTION = 0x00050000


@dataclass(frozen=True, slots=True)
class SandboxState:
    """What is in force, or would be."""

    landlock: int = 0
    """Version of its interface; 0: none."""
    seccomp: bool = False
    reasons: tuple[str, ...] = ()
    """Why a part is missing."""

    @property
    def complete(self) -> bool:
        """Return whether both are in force."""
        return self.landlock > 0 and self.seccomp

    def __str__(self) -> str:
        """Return a line such as "landlock abi 7, seccomp"."""
        parts = [f"landlock abi {self.landlock}"] * (self.landlock > 0) + ["seccomp"] * self.seccomp
        text = ", ".join(parts) or "none"
        return f"{text}: {'; '.join(self.reasons)}" if self.reasons else text


def supported() -> SandboxState:
    """Return what this kernel and architecture support, without entering it."""
    return _state(_landlock_version, _check_seccomp)


def enter(readable: Iterable[str] = ()) -> SandboxState:
    """Confine this process for good, as far as the kernel supports it, and return what is in force.

    Must run while the process has one thread: earlier kernels confine the calling thread and those that it starts.

    Args:
        readable: files and folders that may be read in addition to code and fonts.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # A dump contains the picture, and a limit of 0 does not prevent those that are sent to a program.
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    paths = [*_code_and_fonts(), *readable]
    return _state(lambda: _restrict_files(paths), _filter_calls)


def _state(landlock: Callable[[], int], seccomp: Callable[[], None]) -> SandboxState:
    if sys.platform != "linux":
        return SandboxState(reasons=("only Linux has Landlock and seccomp",))
    version, filtered, reasons = 0, False, []
    try:
        version = landlock()
    except OSError as error:
        reasons.append(f"no Landlock ({error.strerror})")
    try:
        seccomp()
        filtered = True
    except OSError as error:
        reasons.append(f"no seccomp ({error.strerror})")
    return SandboxState(version, filtered, tuple(reasons))


def _call(number: int, *arguments: object) -> int:
    """Return the result of a system call; integers are passed in full width.

    Raises OSError if it failed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    result = libc.syscall(number, *(ctypes.c_long(it) if isinstance(it, int) else it for it in arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("folder", ctypes.c_int32))


def _landlock_version() -> int:
    return _call(_CREATE_RULESET, None, 0, _VERSION)


def _since(version: int, rights: Iterable[tuple[int, int]]) -> int:
    return sum(bits for first, bits in rights if first <= version)


def _restrict_files(paths: Iterable[str]) -> int:
    """Deny all access to files except reading below paths, and return the version in force."""
    version = _landlock_version()
    ruleset = _Ruleset(_since(version, _FILE_RIGHTS), _since(version, _NETWORK_RIGHTS), _since(version, _SCOPES))
    try:
        descriptor = _call(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.sizeof(ruleset), 0)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        ruleset.scopes = 0  # RHEL 9 counts version 6 without all of it
        descriptor = _call(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.sizeof(ruleset), 0)
    try:
        for path in paths:
            _allow_reading(descriptor, path)
        _call(_RESTRICT_SELF, descriptor, _ALL_THREADS if version >= _THREADS_SINCE else 0)
    finally:
        os.close(descriptor)
    return version


def _allow_reading(ruleset: int, path: str) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what does not exist, or cannot be entered, need not be allowed
    try:
        rights = _READ_FILE | _READ_DIR if os.path.isdir(path) else _READ_FILE  # noqa: PTH112  thousands of starts
        rule = _PathBeneath(rights, descriptor)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)


class _Program(ctypes.Structure):
    _fields_ = (("steps", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _architecture() -> Architecture:
    machine = os.uname().machine
    if machine not in ARCHITECTURES or sys.maxsize < 1 << 32:
        raise OSError(errno.ENOSYS, f"not for {machine}")
    return ARCHITECTURES[machine]


def _check_seccomp() -> None:
    action = ctypes.c_uint32(_ERRNO_ACTION)
    _call(_architecture().seccomp, _ACTION_AVAILABLE, 0, ctypes.byref(action))


def _filter_calls() -> None:
    architecture = _architecture()
    steps = compiled(architecture, os.getpid())
    program = _Program(len(steps) // 8, steps)
    _call(architecture.seccomp, _SET_FILTER, _SYNCHRONIZE | _NO_MITIGATIONS, ctypes.byref(program))


def _code_and_fonts() -> list[str]:
    """Return what a rendering process reads besides its jobs: libraries, fonts, and where Python imports from."""
    prefixes = tuple(f"{prefix}/" for prefix in {sys.prefix, sys.base_prefix, sys.base_exec_prefix})
    python = [path for path in sys.path if path.startswith(prefixes) or _holds_packages(path)]
    at_home = (os.path.expanduser(os.path.expandvars(path)) for path in _AT_HOME)  # noqa: PTH111  no path: unset
    return [*_SYSTEM, *python, str(_PACKAGE), *(path for path in at_home if path.startswith("/"))]


def _holds_packages(path: str) -> bool:
    """Return whether packages are installed in a folder, unlike the current one, which may contain anything."""
    try:
        with os.scandir(path) as entries:
            return any(entry.name.endswith(".dist-info") for entry in entries)
    except OSError:
        return False
