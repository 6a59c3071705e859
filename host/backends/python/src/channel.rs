//! A socket to a runner: whole frames out and in, with the descriptors that come along.
//!
//! Large payloads go through memory files without a name, which are gone with the last process that has them open. The host
//! reads and writes such files and never maps them: a runner that cuts one short, or changes it, gets an error of its own.
//! Costs: one system call to send a small frame, two to wait for one and read it, or a short spin; one copy of a large payload in
//! each direction.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::{fs::FileExt as _, net::UnixStream},
    },
    time::Instant,
};

use nereid_tensor::{Buffer, BufferMut};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create},
    io::Errno,
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
    spin::Spin,
};

/// What is read at once: a small frame as a whole.
const AHEAD_BYTES: usize = 4096;

/// Descriptors that came and belong to no frame yet. A runner sends one with a frame, and reads stop behind it.
const DESCRIPTORS_MAX: usize = 4;

const NO_TIME: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// One end of the connection.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: UnixStream,
    payload_bytes_max: u64,
    ahead: Ahead,
    /// For a reader that mostly waits for microseconds.
    spin: Option<Spin>,
}

/// What was read and not taken yet.
#[derive(Debug, Default)]
struct Ahead {
    /// Empty until something is read.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    descriptors: VecDeque<OwnedFd>,
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
        Self { stream, payload_bytes_max, ahead: Ahead::default(), spin: None }
    }

    /// Spends short waits awake.
    pub(crate) fn spinning(self) -> Self {
        Self { spin: Some(Spin::default()), ..self }
    }

    /// Another handle of the same connection, to write or to end it while one reads.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self::new(self.stream.try_clone()?, self.payload_bytes_max))
    }

    /// Ends the connection for both sides; who reads hears of it.
    pub(crate) fn close(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    /// Sends a frame; waits until `deadline`, or for ever, when the other side does not read.
    pub(crate) fn send(
        &self,
        header: &impl Serialize,
        outgoing: &Outgoing,
        deadline: Option<Instant>,
    ) -> Result<(), ChannelError> {
        self.send_with(header, outgoing, deadline, None)
    }

    /// As [`Channel::send`], and hands a descriptor over.
    pub(crate) fn send_with(
        &self,
        header: &impl Serialize,
        outgoing: &Outgoing,
        deadline: Option<Instant>,
        handed_over: Option<BorrowedFd<'_>>,
    ) -> Result<(), ChannelError> {
        let mut written = vec![0; HEAD_BYTES];
        serde_json::to_writer(&mut written, header).map_err(|error| ChannelError::Io(error.into()))?;
        let head = Head::of(written.len() - HEAD_BYTES, outgoing.len());
        if let Some(place) = written.first_chunk_mut() {
            *place = head.encode();
        }
        match head.place {
            Place::Inline => {
                outgoing.append_to(&mut written);
                self.write(&written, deadline, handed_over)
            }
            Place::File => {
                let file = write_file(outgoing).map_err(ChannelError::Io)?;
                self.write(&written, deadline, Some(file.as_fd()))
            }
        }
    }

    fn write(
        &self,
        mut bytes: &[u8],
        deadline: Option<Instant>,
        mut descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<(), ChannelError> {
        while !bytes.is_empty() {
            match self.write_some(bytes, descriptor) {
                // The descriptor went with the first byte.
                Ok(sent) => (bytes, descriptor) = (bytes.get(sent..).unwrap_or_default(), None),
                Err(Errno::AGAIN) => self.wait_for(PollFlags::OUT, deadline)?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(failure(error)),
            }
        }
        Ok(())
    }

    fn write_some(&self, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> Result<usize, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = descriptor.as_slice();
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        sendmsg(&self.stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    }

    /// The next frame; waits until `deadline`, or for ever.
    pub(crate) fn receive(&mut self, deadline: Option<Instant>) -> Result<Received, ChannelError> {
        let mut head = [0; HEAD_BYTES];
        self.fill(&mut head, deadline)?;
        let head = Head::parse(head, self.payload_bytes_max).map_err(malformed)?;
        let mut header = vec![0; head.header_bytes];
        self.fill(&mut header, deadline)?;
        let payload = match head.place {
            Place::Inline if head.payload_bytes == 0 => Buffer::default(),
            Place::Inline => {
                let mut payload = BufferMut::zeroed(head.payload_bytes);
                self.fill(payload.as_mut_slice(), deadline)?;
                payload.freeze()
            }
            Place::File => read_file(self.ahead.descriptors.pop_front(), head.payload_bytes)?,
        };
        Ok(Received { header, payload })
    }

    /// Reads exactly as many bytes, of which some may be here already.
    fn fill(&mut self, mut place: &mut [u8], deadline: Option<Instant>) -> Result<(), ChannelError> {
        loop {
            let taken = self.ahead.take_into(place);
            place = place.get_mut(taken..).unwrap_or_default();
            if place.is_empty() {
                return Ok(());
            }
            self.wait_to_read(deadline)?;
            if place.len() < AHEAD_BYTES {
                self.ahead.bytes.resize(AHEAD_BYTES, 0);
                let read = read_some(&self.stream, &mut self.ahead.bytes, &mut self.ahead.descriptors)?;
                (self.ahead.start, self.ahead.end) = (0, read);
            } else {
                let read = read_some(&self.stream, place, &mut self.ahead.descriptors)?;
                place = place.get_mut(read..).unwrap_or_default();
            }
        }
    }

    fn wait_to_read(&mut self, deadline: Option<Instant>) -> Result<(), ChannelError> {
        let stream = &self.stream;
        let has_come = || poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&NO_TIME)) == Ok(1);
        match self.spin.as_mut().is_some_and(|spin| spin.wait_for(has_come)) {
            true => Ok(()),
            false => self.wait_for(PollFlags::IN, deadline),
        }
    }

    /// Waits until something can be done with the connection; its end is something too.
    fn wait_for(&self, what: PollFlags, deadline: Option<Instant>) -> Result<(), ChannelError> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let left = left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
            match poll(&mut [PollFd::new(&self.stream, what)], left.as_ref()) {
                Ok(0) => return Err(ChannelError::TimedOut),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(failure(error)),
            }
        }
    }
}

// === impl Ahead ===

impl Ahead {
    /// Moves as many bytes as there are and fit.
    fn take_into(&mut self, place: &mut [u8]) -> usize {
        let here = self.bytes.get(self.start..self.end).unwrap_or_default();
        let taken = here.len().min(place.len());
        if let (Some(place), Some(here)) = (place.get_mut(..taken), here.get(..taken)) {
            place.copy_from_slice(here);
        }
        self.start += taken;
        taken
    }
}

/// Reads what is there, one byte at least.
fn read_some(
    stream: &UnixStream,
    place: &mut [u8],
    descriptors: &mut VecDeque<OwnedFd>,
) -> Result<usize, ChannelError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let read = loop {
        match recvmsg(stream, &mut [IoSliceMut::new(place)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            read => break read.map_err(failure)?.bytes,
        }
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    match read {
        0 => Err(ChannelError::Closed),
        _ if descriptors.len() > DESCRIPTORS_MAX => {
            Err(ChannelError::Malformed("descriptors that belong to no frame".to_owned()))
        }
        read => Ok(read),
    }
}

fn failure(error: Errno) -> ChannelError {
    match error {
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => ChannelError::Closed,
        error => ChannelError::Io(error.into()),
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
