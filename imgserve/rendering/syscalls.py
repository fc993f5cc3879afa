"""The system calls that a rendering process is denied, as a seccomp filter in classic BPF."""

import errno
import struct
from dataclasses import dataclass

_SHARED = """
    pidfd_send_signal=424 io_uring_setup=425 io_uring_enter=426 io_uring_register=427 open_tree=428 move_mount=429
    fsopen=430 fsconfig=431 fsmount=432 fspick=433 pidfd_open=434 pidfd_getfd=438 process_madvise=440
    mount_setattr=442 quotactl_fd=443 memfd_secret=447 process_mrelease=448 fchmodat2=452 setxattrat=463
    removexattrat=466 open_tree_attr=467 file_setattr=469
"""
"""Numbers that all architectures share."""
_X86_64 = """
    socket=41 connect=42 accept=43 bind=49 listen=50 socketpair=53 accept4=288
    fork=57 vfork=58 execve=59 execveat=322 ptrace=101 process_vm_readv=310 process_vm_writev=311 kcmp=312
    migrate_pages=256 move_pages=279 rt_sigqueueinfo=129 tkill=200 rt_tgsigqueueinfo=297
    chmod=90 fchmod=91 chown=92 fchown=93 lchown=94 fchownat=260 fchmodat=268 utime=132 utimes=235 futimesat=261
    setxattr=188 lsetxattr=189 fsetxattr=190 removexattr=197 lremovexattr=198 fremovexattr=199 mknod=133
    shmget=29 semget=64 msgget=68 mq_open=240 add_key=248 request_key=249 keyctl=250
    bpf=321 perf_event_open=298 userfaultfd=323 fanotify_init=300 modify_ldt=154 iopl=172 ioperm=173 uselib=134
    mount=165 umount2=166 pivot_root=155 chroot=161 unshare=272 setns=308 swapon=167 swapoff=168 acct=163
    name_to_handle_at=303 open_by_handle_at=304 lookup_dcookie=212 quotactl=179 syslog=103 vhangup=153 reboot=169
    sethostname=170 setdomainname=171 settimeofday=164 adjtimex=159 clock_settime=227 clock_adjtime=305
    init_module=175 delete_module=176 finit_module=313 kexec_load=246 kexec_file_load=320
"""
_AARCH64 = """
    socket=198 socketpair=199 bind=200 listen=201 accept=202 connect=203 accept4=242
    execve=221 execveat=281 ptrace=117 process_vm_readv=270 process_vm_writev=271 kcmp=272
    migrate_pages=238 move_pages=239 rt_sigqueueinfo=138 tkill=130 rt_tgsigqueueinfo=240
    fchmod=52 fchmodat=53 fchownat=54 fchown=55
    setxattr=5 lsetxattr=6 fsetxattr=7 removexattr=14 lremovexattr=15 fremovexattr=16
    shmget=194 semget=190 msgget=186 mq_open=180 add_key=217 request_key=218 keyctl=219
    bpf=280 perf_event_open=241 userfaultfd=282 fanotify_init=262
    mount=40 umount2=39 pivot_root=41 chroot=51 unshare=97 setns=268 swapon=224 swapoff=225 acct=89
    name_to_handle_at=264 open_by_handle_at=265 lookup_dcookie=18 quotactl=60 syslog=116 vhangup=58 reboot=142
    sethostname=161 setdomainname=162 settimeofday=170 adjtimex=171 clock_settime=112 clock_adjtime=266
    init_module=105 delete_module=106 finit_module=273 kexec_load=104 kexec_file_load=294
"""


def _numbers(text: str) -> dict[str, int]:
    return {name: int(number) for name, number in (word.split("=") for word in text.split())}


@dataclass(frozen=True, slots=True)
class Architecture:
    """What the filter needs of a processor architecture."""

    audit: int
    """Its number in `struct seccomp_data`."""
    seccomp: int
    """Number of the call that installs a filter."""
    denied: dict[str, int]
    """Calls that are always denied."""
    partly: dict[str, int]
    """Calls that are denied by their arguments."""
    highest: int = 0xFFFFFFFF
    """Numbers above belong to another calling convention: x32."""


_PARTLY = "clone3=435 "
ARCHITECTURES = {
    "x86_64": Architecture(
        0xC000003E,
        317,
        _numbers(_X86_64 + _SHARED),
        _numbers(_PARTLY + "clone=56 kill=62 tgkill=234 prlimit64=302 utimensat=280"),
        0x3FFFFFFF,
    ),
    "aarch64": Architecture(
        0xC00000B7,
        277,
        _numbers(_AARCH64 + _SHARED),
        _numbers(_PARTLY + "clone=220 kill=129 tgkill=131 prlimit64=261 utimensat=88"),
    ),
}
_LOAD, _EQUAL, _GREATER, _ALL_BITS, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _AUDIT, _ARGUMENTS = 0, 4, 16
_CLONE_THREAD = 0x10000


def _step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)


def _argument(index: int, *, high: bool = False) -> bytes:
    return _step(_LOAD, _ARGUMENTS + 8 * index + 4 * high)


def compiled(architecture: Architecture, process: int) -> bytes:
    """Return the filter for a process, by its number: a list of `struct sock_filter`.

    A denied call fails with EPERM. `clone3` fails with ENOSYS, since a filter cannot look at its flags: libraries then
    use `clone`, which may start threads, not processes. Signals go to the process itself only. Times are set through a
    descriptor only. A call of another architecture ends the process.
    """
    allow, deny = _step(_RETURN, _ALLOW), _step(_RETURN, _ERROR | errno.EPERM)
    own = [_argument(0), _step(_EQUAL, process, 0, 1), allow, deny]
    blocks = {
        "clone3": [_step(_RETURN, _ERROR | errno.ENOSYS)],
        "clone": [_argument(0), _step(_ALL_BITS, _CLONE_THREAD, 0, 1), allow, deny],
        "kill": own,
        "tgkill": own,
        "prlimit64": [_argument(0), _step(_EQUAL, 0, 0, 1), allow, deny],
        "utimensat": [
            _argument(1),
            _step(_EQUAL, 0, 0, 3),
            _argument(1, high=True),
            _step(_EQUAL, 0, 0, 1),
            allow,
            deny,
        ],
    }
    steps = [_step(_LOAD, _AUDIT), _step(_EQUAL, architecture.audit, 1, 0), _step(_RETURN, _KILL)]
    steps += [_step(_LOAD, _NUMBER), _step(_GREATER, architecture.highest, 0, 1), deny]
    for name, number in architecture.partly.items():
        steps += [_step(_EQUAL, number, 0, len(blocks[name])), *blocks[name]]
    for number in architecture.denied.values():
        steps += [_step(_EQUAL, number, 0, 1), deny]
    return b"".join([*steps, allow])
