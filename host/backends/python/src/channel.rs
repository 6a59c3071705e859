//! A socket to a runner: whole frames out and in, with the descriptors that come along.
//!
//! Large payloads go through memory files without a name, which are gone with the last process that has them open. The host
//! reads and writes such files and never maps them: a runner that cuts one short, or changes it, gets an error of its own.
//! Costs: two system calls to send or receive a small frame, one copy of a large payload in each direction.

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::{fs::FileExt as _, net::UnixStream},
    },
    time::{Duration, Instant},
};

use nereid_tensor::{Buffer, BufferMut};
use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        recvmsg, sendmsg,
    },
};
use serde::Serialize;
use thiserror::Error;

use crate::{
    frame::{HEAD_BYTES, Head, HeadError, Place},
    payload::Outgoing,
};

/// One end of the connection.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: UnixStream,
    payload_bytes_max: u64,
}

/// A frame that came.
#[derive(Debug)]
pub(crate) struct Received {
    /// JSON.
    pub(crate) header: Vec<u8>,
    pub(crate) payload: Buffer,
}

/// Why there is no frame.
#[derive(Debug, Error)]
pub(crate) enum ChannelError {
    #[error("the connection is closed")]
    Closed,
    #[error("nothing came in time")]
    TimedOut,
    #[error("it sent what is no frame: {0}")]
    Malformed(String),
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
}

// === impl Channel ===

impl Channel {
    /// Frames over `stream`, of payloads up to that size.
    pub(crate) fn new(stream: UnixStream, payload_bytes_max: u64) -> Self {
        Self { stream, payload_bytes_max }
    }

    /// Another handle of the same connection, to write or to end it while one reads.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { stream: self.stream.try_clone()?, payload_bytes_max: self.payload_bytes_max })
    }

    /// Ends the connection for both sides; who reads hears of it.
    pub(crate) fn close(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    /// Sends a frame; waits until the other side reads it, for as long as the write timeout says.
    pub(crate) fn send(&self, header: &impl Serialize, outgoing: &Outgoing) -> Result<(), ChannelError> {
        self.send_with(header, outgoing, None)
    }

    /// As [`Channel::send`], and hands a descriptor over.
    pub(crate) fn send_with(
        &self,
        header: &impl Serialize,
        outgoing: &Outgoing,
        handed_over: Option<BorrowedFd<'_>>,
    ) -> Result<(), ChannelError> {
        let header = serde_json::to_vec(header).map_err(|error| ChannelError::Io(error.into()))?;
        let head = Head::of(header.len(), outgoing.len());
        let mut written =
            Vec::with_capacity(HEAD_BYTES + header.len() + outgoing.len().min(crate::frame::INLINE_BYTES_MAX));
        written.extend_from_slice(&head.encode());
        written.extend_from_slice(&header);
        match head.place {
            Place::Inline => {
                outgoing.append_to(&mut written);
                self.write(&written, handed_over)
            }
            Place::File => {
                let file = write_file(outgoing).map_err(ChannelError::Io)?;
                self.write(&written, Some(file.as_fd()))
            }
        }
    }

    fn write(&self, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> Result<(), ChannelError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = descriptor.as_slice();
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let sent = loop {
            match sendmsg(&self.stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
                Err(rustix::io::Errno::INTR) => {}
                sent => break sent.map_err(|error| failure(error.into()))?,
            }
        };
        let rest = bytes.get(sent..).unwrap_or_default();
        (&self.stream).write_all(rest).map_err(failure)
    }

    /// How long a write may wait.
    pub(crate) fn set_write_timeout(&self, timeout: Duration) {
        let _ = self.stream.set_write_timeout(Some(timeout.max(Duration::from_millis(1))));
    }

    /// The next frame; waits until `deadline`, or for ever.
    pub(crate) fn receive(&self, deadline: Option<Instant>) -> Result<Received, ChannelError> {
        let mut head = [0; HEAD_BYTES];
        let mut descriptors = Vec::new();
        self.fill(&mut head, deadline, &mut descriptors)?;
        let head = Head::parse(head, self.payload_bytes_max).map_err(malformed)?;
        let mut header = vec![0; head.header_bytes];
        self.fill(&mut header, deadline, &mut descriptors)?;
        let payload = match head.place {
            Place::Inline if head.payload_bytes == 0 => Buffer::default(),
            Place::Inline => {
                let mut payload = BufferMut::zeroed(head.payload_bytes);
                self.fill(payload.as_mut_slice(), deadline, &mut descriptors)?;
                payload.freeze()
            }
            Place::File => read_file(descriptors.pop(), head.payload_bytes)?,
        };
        Ok(Received { header, payload })
    }

    /// Reads exactly as many bytes.
    fn fill(
        &self,
        mut place: &mut [u8],
        deadline: Option<Instant>,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Result<(), ChannelError> {
        while !place.is_empty() {
            if let Some(deadline) = deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(ChannelError::TimedOut);
                }
                self.stream.set_read_timeout(Some(left)).map_err(ChannelError::Io)?;
            }
            let read = match self.read_some(place, descriptors) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(failure)?,
            };
            if read == 0 {
                return Err(ChannelError::Closed);
            }
            place = std::mem::take(&mut place).get_mut(read..).unwrap_or_default();
        }
        Ok(())
    }

    fn read_some(&self, place: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
        if !descriptors.is_empty() {
            return (&self.stream).read(place);
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let read = recvmsg(&self.stream, &mut [IoSliceMut::new(place)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                descriptors.extend(received);
            }
        }
        Ok(read.bytes)
    }
}

fn failure(error: io::Error) -> ChannelError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ChannelError::TimedOut,
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => {
            ChannelError::Closed
        }
        _ => ChannelError::Io(error),
    }
}

fn malformed(error: HeadError) -> ChannelError {
    ChannelError::Malformed(error.to_string())
}

/// A memory file that nobody can change the size of.
fn write_file(outgoing: &Outgoing) -> io::Result<OwnedFd> {
    let file: File = memfd_create("nereid-tensors", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?.into();
    file.set_len(outgoing.len() as u64)?;
    for (offset, bytes) in outgoing.pieces() {
        file.write_all_at(bytes, offset as u64)?;
    }
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
    Ok(file.into())
}

/// Copies a payload out of the file that a runner sent. Only memory files are read: reading any other may wait.
fn read_file(descriptor: Option<OwnedFd>, length_bytes: usize) -> Result<Buffer, ChannelError> {
    let refuse = |text: String| ChannelError::Malformed(text);
    let descriptor = descriptor.ok_or_else(|| refuse("a payload in a file, and no file".to_owned()))?;
    fcntl_get_seals(&descriptor).map_err(|_| refuse("a payload in a file that is no memory file".to_owned()))?;
    let file = File::from(descriptor);
    let found = file.metadata().map_err(ChannelError::Io)?.len();
    if found < length_bytes as u64 {
        return Err(refuse(format!("a payload of {length_bytes} bytes in a file of {found}")));
    }
    let mut payload = BufferMut::zeroed(length_bytes);
    file.read_exact_at(payload.as_mut_slice(), 0)
        .map_err(|error| refuse(format!("the payload's file ends: {error}")))?;
    Ok(payload.freeze())
}

#[cfg(test)]
mod tests;
