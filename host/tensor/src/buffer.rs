//! Bytes that are shared, not copied.
//!
//! A [`Buffer`] is a cheap, cloneable, read-only view of memory that somebody else owns: a request body, an allocation
//! of ours, a shared-memory region, memory of a device. Cloning and slicing cost a reference count.
//! A [`BufferMut`] is memory that a backend writes into and then freezes: mostly private, or a client's own region.
//!
//! Memory that another process may write to while it is read is marked as external. Its bytes are what they are at the
//! moment of each look; whoever checks a value and relies on the check later takes a private copy first.
//!
//! Memory of a device is copied to the host when somebody looks at its bytes, once for all clones. Who can use it where it
//! is asks [`Buffer::device`] first; who cannot asks for [`Buffer::on_host`], which says why a copy failed.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytemuck::{Pod, Zeroable};
use bytes::Bytes;

use crate::{DeviceError, DeviceMemory, DeviceSpan};

/// Every [`BufferMut`] starts at a multiple of this: a cache line, and the widest vector register in use.
pub const ALIGNMENT_BYTES: usize = 64;

/// A read-only view of memory of the host or of a device.
#[derive(Clone, Default)]
pub struct Buffer {
    place: Place,
    external: bool,
}

/// What is seen of a device that cannot be read.
static NOTHING: Bytes = Bytes::new();

#[derive(Clone)]
enum Place {
    Host(Bytes),
    Device(Arc<OnDevice>),
}

/// A part of a device's memory.
struct OnDevice {
    memory: Arc<dyn DeviceMemory>,
    range: Range<usize>,
    /// The bytes as somebody looked at them.
    looked_at: OnceLock<Bytes>,
}

/// Host memory to be written: zeroed, aligned to [`ALIGNMENT_BYTES`] and private to its creator, or external.
pub struct BufferMut {
    memory: Memory,
    length_bytes: usize,
}

/// Memory that other processes may read and write.
pub trait ExternalBytes: AsRef<[u8]> + AsMut<[u8]> + Send + Sync + 'static {}

enum Memory {
    Private(Vec<CacheLine>),
    External(Box<dyn ExternalBytes>),
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct CacheLine([u8; ALIGNMENT_BYTES]);

// === impl Place ===

impl Default for Place {
    fn default() -> Self {
        Self::Host(Bytes::new())
    }
}

// === impl OnDevice ===

impl OnDevice {
    fn new(memory: Arc<dyn DeviceMemory>, range: Range<usize>) -> Arc<Self> {
        Arc::new(Self { memory, range, looked_at: OnceLock::new() })
    }

    fn read(&self) -> Result<Bytes, DeviceError> {
        self.memory.read(self.range.clone())
    }

    /// The bytes, read once. Two that look for the first time at one moment both read.
    fn look(&self) -> Result<&Bytes, DeviceError> {
        if let Some(bytes) = self.looked_at.get() {
            return Ok(bytes);
        }
        let bytes = self.read()?;
        Ok(self.looked_at.get_or_init(|| bytes))
    }
}

// === impl Buffer ===

impl Buffer {
    /// A view of memory that another process may write to.
    pub fn external(bytes: Bytes) -> Self {
        Self { place: Place::Host(bytes), external: true }
    }

    /// A view of a device's memory that nobody writes to any more.
    pub fn of_device(memory: Arc<dyn DeviceMemory>) -> Self {
        let range = 0..memory.length_bytes();
        Self { place: Place::Device(OnDevice::new(memory, range)), external: false }
    }

    /// A view of a device's memory that another process may write to.
    pub fn external_of_device(memory: Arc<dyn DeviceMemory>) -> Self {
        Self { external: true, ..Self::of_device(memory) }
    }

    /// Whether another process may write to the memory while it is read.
    pub fn is_external(&self) -> bool {
        self.external
    }

    /// Where on a device the bytes are; `None` for memory of the host.
    pub fn device(&self) -> Option<DeviceSpan> {
        let Place::Device(on_device) = &self.place else { return None };
        let OnDevice { memory, range, .. } = &**on_device;
        let address = memory.address() + range.start as u64;
        Some(DeviceSpan { device_id: memory.device_id(), address, length_bytes: range.len() })
    }

    /// The same bytes in memory of the host; memory of the host is not copied. Blocks while a device is read.
    ///
    /// # Errors
    /// The device could not be read.
    pub fn on_host(&self) -> Result<Self, DeviceError> {
        let Place::Device(on_device) = &self.place else { return Ok(self.clone()) };
        Ok(on_device.look()?.clone().into())
    }

    /// The same bytes in memory of the host that nobody else can change; copies external memory and memory of a device,
    /// and only that.
    ///
    /// # Errors
    /// The device could not be read.
    pub fn into_private(self) -> Result<Self, DeviceError> {
        match &self.place {
            Place::Device(on_device) if self.external => Ok(on_device.read()?.into()),
            Place::Device(_) => self.on_host(),
            Place::Host(bytes) if self.external => Ok(BufferMut::copy_of(bytes).freeze()),
            Place::Host(_) => Ok(self),
        }
    }

    /// The bytes. Those of a device are copied here first; where that fails the slice is empty, and
    /// [`Buffer::on_host`] says why.
    pub fn as_slice(&self) -> &[u8] {
        self.host_bytes()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        match &self.place {
            Place::Host(bytes) => bytes.len(),
            Place::Device(on_device) => on_device.range.len(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A view of a part of the same memory; `None` when the range reaches beyond the end.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > self.len() {
            return None;
        }
        let place = match &self.place {
            Place::Host(bytes) => Place::Host(bytes.slice(range)),
            Place::Device(whole) => {
                let range = whole.range.start + range.start..whole.range.start + range.end;
                Place::Device(OnDevice::new(Arc::clone(&whole.memory), range))
            }
        };
        Some(Self { place, external: self.external })
    }

    /// The same memory as the type that sockets write from; see [`Buffer::as_slice`] for memory of a device.
    pub fn into_bytes(self) -> Bytes {
        match self.place {
            Place::Host(bytes) => bytes,
            Place::Device(_) => self.host_bytes().clone(),
        }
    }

    /// Whether the memory, of the host or of a device, starts at a multiple of `alignment_bytes`.
    pub fn is_aligned_to(&self, alignment_bytes: usize) -> bool {
        match self.device() {
            Some(span) => span.address.is_multiple_of(alignment_bytes as u64),
            None => (self.host_bytes().as_ptr() as usize).is_multiple_of(alignment_bytes),
        }
    }

    fn host_bytes(&self) -> &Bytes {
        match &self.place {
            Place::Host(bytes) => bytes,
            Place::Device(on_device) => on_device.look().unwrap_or(&NOTHING),
        }
    }
}

impl From<Bytes> for Buffer {
    fn from(bytes: Bytes) -> Self {
        Self { place: Place::Host(bytes), external: false }
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.device() {
            Some(span) => write!(f, "Buffer({} bytes on GPU {})", self.len(), span.device_id),
            None => write!(f, "Buffer({} bytes)", self.len()),
        }
    }
}

// === impl BufferMut ===

impl BufferMut {
    /// Allocates `length_bytes` zeroed bytes.
    pub fn zeroed(length_bytes: usize) -> Self {
        let lines = bytemuck::allocation::zeroed_vec(length_bytes.div_ceil(ALIGNMENT_BYTES));
        Self { memory: Memory::Private(lines), length_bytes }
    }

    /// The first `length_bytes` bytes of external memory, as they are; `None` when there are fewer.
    pub fn external(memory: Box<dyn ExternalBytes>, length_bytes: usize) -> Option<Self> {
        let fits = length_bytes <= (*memory).as_ref().len();
        fits.then_some(Self { memory: Memory::External(memory), length_bytes })
    }

    /// A private, aligned copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut buffer = Self::zeroed(bytes.len());
        buffer.as_mut_slice().copy_from_slice(bytes);
        buffer
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.length_bytes
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.length_bytes == 0
    }

    /// The bytes written so far.
    pub fn as_slice(&self) -> &[u8] {
        let all = match &self.memory {
            Memory::Private(lines) => bytemuck::cast_slice(lines),
            Memory::External(memory) => (**memory).as_ref(),
        };
        all.get(..self.length_bytes).unwrap_or_default()
    }

    /// The bytes to write.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let all = match &mut self.memory {
            Memory::Private(lines) => bytemuck::cast_slice_mut(lines),
            Memory::External(memory) => (**memory).as_mut(),
        };
        all.get_mut(..self.length_bytes).unwrap_or_default()
    }

    /// Makes the memory shareable; it is read-only from now on. Costs no copy.
    pub fn freeze(self) -> Buffer {
        let external = matches!(self.memory, Memory::External(_));
        Buffer { place: Place::Host(Bytes::from_owner(self)), external }
    }
}

impl AsRef<[u8]> for BufferMut {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

#[cfg(test)]
mod tests;
