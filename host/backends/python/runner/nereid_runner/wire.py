"""Frames between the server and this process: a head of 20 bytes, a JSON header, a payload of tensors.

The payload follows the header when it is small, and lies in a memory file otherwise whose descriptor comes with the head: what
belongs to no name cannot be left behind when either side dies. `host/backends/python/src/frame.rs` is the other side.
"""

import array
import fcntl
import json
import mmap
import os
import select
import socket
import struct
import time

HEAD = struct.Struct("<4sBBHIQ")
MAGIC = b"NPY2"
INLINE, IN_FILE = 0, 1
# Beyond this a copy into a file costs less than two through the socket.
INLINE_BYTES_MAX = 64 * 1024
ALIGNMENT_BYTES = 64
ATTACHED_BYTES_MAX = socket.CMSG_SPACE(4 * 4)  # four descriptors
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


# Prepared once: `json.loads` and `json.dumps` look at their arguments anew with every call.
read_json = json.JSONDecoder().scan_once


def prepared_writer():
    """What `JSONEncoder.encode` makes for every call, made once; nothing promises that it is there."""
    encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
    try:
        write = json.encoder.c_make_encoder(
            None, encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, True
        )
        if "".join(write({"a": [1, "b", None]}, 0)) == '{"a":[1,"b",null]}':
            return lambda value: "".join(write(value, 0))
    except (AttributeError, TypeError, ValueError):
        pass
    return encoder.encode


write_json = prepared_writer()


class Gone(Exception):
    """The server is gone, or closed the connection."""


class Payload:
    """Tensors' bytes on their way out, each at a multiple of 64."""

    def __init__(self):
        self.pieces, self.length = [], 0

    def add(self, data) -> tuple[int, int]:
        """Takes bytes that stay as they are until the frame is sent; returns where they will lie."""
        offset = -(-self.length // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        if offset != self.length:
            self.pieces.append(bytes(offset - self.length))
        self.pieces.append(data)
        self.length = offset + len(data)
        return offset, len(data)

    def to_file(self) -> int:
        descriptor = os.memfd_create("nereid-python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            for piece in self.pieces:
                rest = memoryview(piece)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


class Spin:
    """Spends waits awake while that is worth it, by the rule of `host/backends/python/src/spin.rs`."""

    SPIN_MAX_NS, WAKE_UP_NS, SAVED_MAX_NS = 100_000, 10_000, 20_000_000
    PAUSE_MIN, PAUSE_MAX, TRIALS_PER_PAUSE = 16, 4096, 16

    def __init__(self, waited_for: socket.socket):
        self.poll = select.poll()
        self.poll.register(waited_for, select.POLLIN)
        self.resting, self.pause, self.spins, self.saved = 0, self.PAUSE_MIN, 0, 0

    def wait(self):
        """Returns when something has come, or when it is time to sleep."""
        if self.resting:
            self.resting -= 1
            return
        started, came, took = time.monotonic_ns(), False, 0
        while not came and took <= self.SPIN_MAX_NS:
            came = self.poll.poll(0)
            took = time.monotonic_ns() - started
        if took <= self.SPIN_MAX_NS:
            self.saved = min(self.saved + self.WAKE_UP_NS, self.SAVED_MAX_NS)
        elif took <= self.saved:
            self.saved -= took
        else:
            self.resting, self.spins, self.saved = self.pause, 0, 0
            self.pause = min(2 * self.pause, self.PAUSE_MAX)
            return
        self.spins += 1
        if self.spins >= self.TRIALS_PER_PAUSE * self.pause:
            self.pause, self.spins = max(self.pause // 2, self.PAUSE_MIN), 0


class Connection:
    """One socket; one thread reads it, and one at a time writes. With `spins`, short waits of the reader are spent awake."""

    def __init__(self, connected: socket.socket, spins: bool = False):
        self.socket = connected
        self.spin = Spin(connected) if spins else None
        self.buffer = memoryview(bytearray(2 * INLINE_BYTES_MAX))
        self.start = self.end = 0
        self.descriptors = []

    def send(self, header: dict, payload: Payload | None = None):
        text = write_json(header).encode("utf-8", "replace")
        length = payload.length if payload else 0
        if length <= INLINE_BYTES_MAX:
            pieces = payload.pieces if payload else ()
            head = HEAD.pack(MAGIC, INLINE, 0, 0, len(text), length)
            self._send_all(b"".join((head, text, *pieces)))
            return
        descriptor = payload.to_file()
        try:
            self._send_all(HEAD.pack(MAGIC, IN_FILE, 0, 0, len(text), length) + text, descriptor)
        finally:
            os.close(descriptor)

    def _send_all(self, data: bytes, descriptor: int | None = None):
        try:
            if descriptor is None:
                sent = self.socket.send(data)
            else:
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))
                sent = self.socket.sendmsg([data], [rights])
            if sent < len(data):
                self.socket.sendall(memoryview(data)[sent:])
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Gone from error

    def receive(self) -> tuple[dict, memoryview]:
        """The next frame: its header, and its payload in memory of its own that may be written to."""
        magic, place, _, _, header_length, payload_length = HEAD.unpack(self._take(HEAD.size))
        if magic != MAGIC:
            raise Gone(f"expected {MAGIC!r}, got {magic!r}")
        body = self._take(header_length + payload_length if place == INLINE else header_length)
        header, _ = read_json(str(body[:header_length], "utf-8"), 0)
        if place == INLINE:
            return header, memoryview(bytearray(body[header_length:]))
        descriptor = self.take_descriptor()
        try:
            payload = memoryview(mmap.mmap(descriptor, payload_length))
        finally:
            os.close(descriptor)
        return header, payload

    def take_descriptor(self) -> int:
        """The one that came with the frame that was received last, which says that one did. Others belong to later frames."""
        return self.descriptors.pop(0)

    def _take(self, length: int) -> memoryview:
        if length > len(self.buffer):
            return self._take_long(length)
        while self.end - self.start < length:
            if self.start + length > len(self.buffer):
                rest = bytes(self.buffer[self.start : self.end])
                self.buffer[: len(rest)] = rest
                self.start, self.end = 0, len(rest)
            self.end += self._receive_into(self.buffer[self.end :])
        taken = self.buffer[self.start : self.start + length]
        self.start += length
        if self.start == self.end:
            self.start = self.end = 0
        return taken

    def _take_long(self, length: int) -> memoryview:
        data = memoryview(bytearray(length))
        filled = self.end - self.start
        data[:filled] = self.buffer[self.start : self.end]
        self.start = self.end = 0
        while filled < length:
            filled += self._receive_into(data[filled:])
        return data

    def _receive_into(self, place: memoryview) -> int:
        if self.spin is not None:
            self.spin.wait()
        try:
            received, attached, _, _ = self.socket.recvmsg_into([place], ATTACHED_BYTES_MAX)
        except ConnectionResetError as error:
            raise Gone from error
        for level, kind, data in attached:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                found = array.array("i")
                found.frombytes(data[: len(data) - len(data) % found.itemsize])
                self.descriptors.extend(found)
        if not received:
            raise Gone
        return received
