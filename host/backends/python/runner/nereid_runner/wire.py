"""Frames between the server and this process: a head of 20 bytes, a JSON header, a payload of tensors.

The payload follows the header when it is small, and lies in a memory file otherwise whose descriptor comes with the head: what
belongs to no name cannot be left behind when either side dies. `host/backends/python/src/frame.rs` is the other side.
"""

import array
import fcntl
import json
import mmap
import os
import socket
import struct

HEAD = struct.Struct("<4sBBHIQ")
MAGIC = b"NPY1"
INLINE, IN_FILE = 0, 1
# Beyond this a copy into a file costs less than two through the socket.
INLINE_BYTES_MAX = 64 * 1024
ALIGNMENT_BYTES = 64
DESCRIPTORS_MAX = 4
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


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


class Connection:
    """One socket; one thread reads it, and one at a time writes."""

    def __init__(self, connected: socket.socket):
        self.socket = connected
        self.buffer = memoryview(bytearray(2 * INLINE_BYTES_MAX))
        self.start = self.end = 0
        self.descriptors = []

    def send(self, header: dict, payload: Payload | None = None):
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
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
        attached = [] if descriptor is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        try:
            sent = self.socket.sendmsg([data], attached)
            if sent < len(data):
                self.socket.sendall(memoryview(data)[sent:])
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Gone from error

    def receive(self) -> tuple[dict, memoryview, list[int]]:
        """The next frame: its header, its payload in memory of its own that may be written to, and other descriptors."""
        magic, place, _, _, header_length, payload_length = HEAD.unpack(self._take(HEAD.size))
        if magic != MAGIC:
            raise Gone(f"expected {MAGIC!r}, got {magic!r}")
        header = json.loads(bytes(self._take(header_length)))
        if place == INLINE:
            payload = memoryview(bytearray(self._take(payload_length))) if payload_length else memoryview(bytearray())
            descriptors, self.descriptors = self.descriptors, []
            return header, payload, descriptors
        descriptor = self.descriptors.pop(0)
        try:
            payload = memoryview(mmap.mmap(descriptor, payload_length))
        finally:
            os.close(descriptor)
        return header, payload, []

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
        try:
            received, attached, _, _ = self.socket.recvmsg_into([place], socket.CMSG_SPACE(4 * DESCRIPTORS_MAX))
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
