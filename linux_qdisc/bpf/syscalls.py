"""bpf(2) through ctypes: maps, programs, test runs (linux/bpf.h, union bpf_attr)."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import struct

from qos.errors import KernelError, MissingPieceError, PrivilegeError

ARRAY, LRU_HASH, QUEUE = 2, 9, 22
MMAPABLE = 1 << 10
SCHED_CLS = 3
_MAP_CREATE, _LOOKUP, _UPDATE, _DELETE, _NEXT_KEY, _PROG_LOAD = range(6)
_TEST_RUN, _PROG_FD, _MAP_FD, _INFO, _LOOKUP_AND_DELETE, _LOOKUP_BATCH = 10, 13, 14, 15, 21, 24
_SYSCALL = {
    "x86_64": 321,
    "i686": 357,
    "aarch64": 280,
    "riscv64": 280,
    "armv7l": 386,
    "ppc64le": 361,
    "s390x": 351,
}
_ATTRIBUTE_BYTES = 144
_LOG_BYTES = 1 << 20

_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command: int, attribute: bytearray, what: str) -> int:
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise MissingPieceError(f"bpf(2) is not known on {platform.machine()}; classic BPF is used")
    attribute.extend(bytes(max(0, _ATTRIBUTE_BYTES - len(attribute))))
    buffer = (ctypes.c_char * _ATTRIBUTE_BYTES).from_buffer(attribute)
    result: int = _libc.syscall(number, command, buffer, _ATTRIBUTE_BYTES)
    if result < 0:
        code = ctypes.get_errno()
        # EACCES at loading is the verifier's answer to a wrong program, not to a wrong user.
        if code == errno.EPERM or (code == errno.EACCES and command != _PROG_LOAD):
            raise PrivilegeError(f"{what} needs CAP_BPF and CAP_NET_ADMIN in the first user namespace")
        if code == errno.ENOSYS:
            raise MissingPieceError("this kernel has no bpf(2)")
        raise KernelError(what, code)
    return result


def _address(buffer: ctypes.Array[ctypes.c_char]) -> int:
    return ctypes.addressof(buffer)


def _bytes(data: bytes) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(data, len(data))


def map_create(kind: int, key_bytes: int, value_bytes: int, entries: int, name: str, flags: int = 0) -> int:
    """Make a map and return its descriptor.

    Raises
    ------
    PrivilegeError, MissingPieceError, KernelError
        If this process may not, the kernel has no bpf(2), or refuses.
    """
    attribute = bytearray(
        struct.pack("=IIIIIII16s", kind, key_bytes, value_bytes, entries, flags, 0, 0, name.encode())
    )
    try:
        return _bpf(_MAP_CREATE, attribute, f"bpf map {name}")
    except PrivilegeError:
        if not _lift_memlock():
            raise
        return _bpf(_MAP_CREATE, attribute, f"bpf map {name}")


def _lift_memlock() -> bool:
    """Raise the memory lock limit that kernels before 5.11 charge maps to; True if that changed anything."""
    limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    if resource.getrlimit(resource.RLIMIT_MEMLOCK) == limit:
        return False
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, limit)
    except (ValueError, OSError):
        return False
    return True


def _element(command: int, fd: int, key: bytes, value: bytes | int, flags: int, what: str) -> bytes:
    """Run a command on one element; `value` is what to write or how many bytes to read."""
    key_buffer = _bytes(key)
    value_buffer = ctypes.create_string_buffer(value) if isinstance(value, int) else _bytes(value)
    attribute = bytearray(
        struct.pack("=IxxxxQQQ", fd, _address(key_buffer) if key else 0, _address(value_buffer), flags)
    )
    _bpf(command, attribute, what)
    return bytes(value_buffer.raw)


def map_lookup(fd: int, key: bytes, value_bytes: int) -> bytes | None:
    """Read one value; None if there is none."""
    try:
        return _element(_LOOKUP, fd, key, value_bytes, 0, "bpf map lookup")
    except KernelError as error:
        if error.errno_code == errno.ENOENT:
            return None
        raise


def map_update(fd: int, key: bytes, value: bytes) -> None:
    """Write one value; with an empty key, push it to a queue."""
    _element(_UPDATE, fd, key, value, 0, "bpf map update")


def map_delete(fd: int, key: bytes) -> None:
    """Delete one key; one that is gone already is no error."""
    try:
        key_buffer = _bytes(key)
        _bpf(_DELETE, bytearray(struct.pack("=IxxxxQ", fd, _address(key_buffer))), "bpf map delete")
    except KernelError as error:
        if error.errno_code != errno.ENOENT:
            raise


def queue_pop(fd: int, value_bytes: int) -> bytes | None:
    """Take the head of a queue; None if it is empty."""
    try:
        return _element(_LOOKUP_AND_DELETE, fd, b"", value_bytes, 0, "bpf map pop")
    except KernelError as error:
        if error.errno_code == errno.ENOENT:
            return None
        raise


def map_items(fd: int, key_bytes: int, value_bytes: int, entries: int) -> tuple[bytes, bytes]:
    """Read a whole hash map: its keys in a row, and its values (Linux 5.6).

    Raises
    ------
    KernelError
        If the kernel refuses; EINVAL where it has no batches.
    """
    keys, values = bytearray(), bytearray()
    cursor = b""
    token = ctypes.create_string_buffer(max(key_bytes, 8))
    chunk = max(entries, 64)
    key_buffer = ctypes.create_string_buffer(chunk * key_bytes)
    value_buffer = ctypes.create_string_buffer(chunk * value_bytes)
    while True:
        cursor_buffer = _bytes(cursor) if cursor else None
        attribute = bytearray(
            struct.pack(
                "=QQQQIIQQ",
                _address(cursor_buffer) if cursor_buffer else 0,
                _address(token),
                _address(key_buffer),
                _address(value_buffer),
                chunk,
                fd,
                0,
                0,
            )
        )
        finished = False
        try:
            _bpf(_LOOKUP_BATCH, attribute, "bpf map batch")
        except KernelError as error:
            if error.errno_code != errno.ENOENT:
                raise
            finished = True
        count = struct.unpack_from("=I", attribute, 32)[0]
        keys += key_buffer.raw[: count * key_bytes]
        values += value_buffer.raw[: count * value_bytes]
        if finished:
            return bytes(keys), bytes(values)
        cursor = token.raw


def prog_load(program: bytes, name: str, licence: str) -> int:
    """Load a traffic classifier and return its descriptor.

    Raises
    ------
    KernelError
        If the verifier refuses; the end of its log is in the message.
    """
    code, licence_buffer = _bytes(program), _bytes(licence.encode() + b"\0")
    log = ctypes.create_string_buffer(1)
    for level, size in ((0, 0), (1, _LOG_BYTES)):
        if size:
            log = ctypes.create_string_buffer(size)
        attribute = bytearray(
            struct.pack(
                "=IIQQIIQII16s",
                SCHED_CLS,
                len(program) // 8,
                _address(code),
                _address(licence_buffer),
                level,
                size,
                _address(log) if size else 0,
                0,
                0,
                name.encode(),
            )
        )
        try:
            return _bpf(_PROG_LOAD, attribute, "bpf program load")
        except KernelError as error:
            refusal = error
    tail = log.value.decode(errors="replace").strip().splitlines()[-3:]
    raise KernelError("bpf program load", refusal.errno_code, " | ".join(tail))


def prog_test_run(fd: int, packet: bytes, repeat: int = 1) -> tuple[int, int]:
    """Run a program on a packet; return its value and the ns a run."""
    data = _bytes(packet)
    out = ctypes.create_string_buffer(len(packet) + 256)
    attribute = bytearray(
        struct.pack("=IIIIQQII", fd, 0, len(packet), len(out), _address(data), _address(out), repeat, 0)
    )
    _bpf(_TEST_RUN, attribute, "bpf test run")
    return struct.unpack_from("=I", attribute, 4)[0], struct.unpack_from("=I", attribute, 36)[0]


def prog_fd_by_id(number: int) -> int:
    """Open a loaded program (CAP_SYS_ADMIN)."""
    return _bpf(_PROG_FD, bytearray(struct.pack("=I", number)), "bpf program by id")


def map_fd_by_id(number: int) -> int:
    """Open an existing map (CAP_SYS_ADMIN)."""
    return _bpf(_MAP_FD, bytearray(struct.pack("=I", number)), "bpf map by id")


def _info(fd: int, info: ctypes.Array[ctypes.c_char]) -> bytes:
    _bpf(_INFO, bytearray(struct.pack("=IIQ", fd, len(info), _address(info))), "bpf object info")
    return bytes(info.raw)


def prog_info(fd: int) -> tuple[int, str, list[int]]:
    """Return the id of a program, its name and the ids of its maps."""
    map_ids = (ctypes.c_uint32 * 16)()
    info = ctypes.create_string_buffer(128)
    # struct bpf_prog_info: type, id, tag[8], jited_len, xlated_len, 2 pointers, load_time, created_by,
    # nr_map_ids (52), map_ids pointer (56), name (64).
    struct.pack_into("=I", info, 52, len(map_ids))
    struct.pack_into("=Q", info, 56, ctypes.addressof(map_ids))
    raw = _info(fd, info)
    count = min(struct.unpack_from("=I", raw, 52)[0], len(map_ids))
    name = raw[64:80].split(b"\0")[0].decode(errors="replace")
    return struct.unpack_from("=I", raw, 4)[0], name, list(map_ids[:count])


def map_info(fd: int) -> tuple[int, int]:
    """Return kind and number of entries of a map."""
    raw = _info(fd, ctypes.create_string_buffer(96))
    kind, _number, _key, _value, entries = struct.unpack_from("=IIIII", raw)
    return kind, entries


def possible_cpus() -> int:
    """Return how many processors the kernel makes per-processor lists for."""
    try:
        with open("/sys/devices/system/cpu/possible") as stream:
            last = stream.read().strip().replace(",", "-").split("-")[-1]
        return int(last) + 1
    except (OSError, ValueError):
        return os.cpu_count() or 1
