//! Memory of the host, of others and of devices, behind one type.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[test]
fn freezing_keeps_the_address_and_the_alignment() {
    let mut private = BufferMut::zeroed(100);
    private.as_mut_slice().fill(7);
    let address = private.as_slice().as_ptr();
    let shared = private.freeze();
    assert_eq!(shared.as_slice().as_ptr(), address);
    assert!(shared.is_aligned_to(ALIGNMENT_BYTES));
    assert_eq!(shared.as_slice(), &[7; 100]);
}

struct Region(Vec<u8>);

impl AsRef<[u8]> for Region {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for Region {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl ExternalBytes for Region {}

#[test]
fn external_memory_is_written_in_place_and_stays_external() {
    let region = Box::new(Region(vec![9; 8]));
    let address = region.0.as_ptr();
    let mut target = BufferMut::external(region, 4).unwrap();
    target.as_mut_slice().fill(1);
    let written = target.freeze();
    assert_eq!((written.as_slice(), written.as_slice().as_ptr()), (&[1; 4][..], address));
    let part = written.slice(1..3).unwrap();
    assert!(part.is_external());
    let copy = part.into_private().unwrap();
    assert!(!copy.is_external() && copy.as_slice() == [1, 1]);
}

#[test]
fn external_memory_that_is_too_short_is_refused() {
    assert!(BufferMut::external(Box::new(Region(vec![0; 3])), 4).is_none());
}

#[test]
fn private_memory_is_not_copied_to_be_private() {
    let buffer = Buffer::from(vec![1, 2]);
    let address = buffer.as_slice().as_ptr();
    assert_eq!(buffer.into_private().unwrap().as_slice().as_ptr(), address);
}

#[test]
fn slicing_beyond_the_end_is_refused() {
    let buffer = Buffer::from(vec![1, 2, 3]);
    assert!(buffer.slice(1..4).is_none());
    assert_eq!(buffer.slice(1..3).unwrap().as_slice(), &[2, 3]);
}

/// Eight bytes that count up, on a device that can fail.
#[derive(Debug, Default)]
struct Device {
    is_lost: bool,
    reads: AtomicUsize,
}

impl DeviceMemory for Device {
    fn device_id(&self) -> i32 {
        1
    }

    fn address(&self) -> u64 {
        0x1000
    }

    fn length_bytes(&self) -> usize {
        8
    }

    fn read(&self, range: Range<usize>) -> Result<Bytes, DeviceError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.is_lost {
            return Err(DeviceError { device_id: 1, problem: "lost".into() });
        }
        Ok((0..8).collect::<Vec<u8>>()[range].to_vec().into())
    }
}

#[test]
fn memory_of_a_device_is_copied_once_when_it_is_looked_at() {
    let device = Arc::new(Device::default());
    let buffer = Buffer::of_device(device.clone());
    let part = buffer.slice(2..5).unwrap().slice(1..3).unwrap();
    assert_eq!(part.device(), Some(DeviceSpan { device_id: 1, address: 0x1003, length_bytes: 2 }));
    assert!(buffer.is_aligned_to(4096) && !part.is_aligned_to(2) && buffer.slice(2..9).is_none());
    assert_eq!(device.reads.load(Ordering::SeqCst), 0, "copied before anybody looked");
    assert_eq!((part.as_slice(), part.len()), (&[3, 4][..], 2));
    assert_eq!(part.on_host().unwrap().as_slice().as_ptr(), part.clone().into_bytes().as_ptr());
    assert!(part.on_host().unwrap().device().is_none());
    assert_eq!(device.reads.load(Ordering::SeqCst), 1);
}

#[test]
fn memory_of_a_device_that_others_write_to_is_read_anew_to_be_private() {
    let device = Arc::new(Device::default());
    let buffer = Buffer::external_of_device(device.clone());
    assert_eq!(buffer.as_slice().len(), 8);
    let copy = buffer.clone().into_private().unwrap();
    assert!(buffer.is_external() && !copy.is_external() && copy.device().is_none());
    assert_eq!(device.reads.load(Ordering::SeqCst), 2);
}

#[test]
fn a_device_that_cannot_be_read_says_why() {
    let buffer = Buffer::of_device(Arc::new(Device { is_lost: true, ..Device::default() }));
    assert_eq!(buffer.on_host().unwrap_err().to_string(), "GPU 1: lost");
    assert!(buffer.as_slice().is_empty());
    assert!(buffer.on_host().is_err() && buffer.into_private().is_err());
}
