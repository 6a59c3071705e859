//! Regions by name: register, look, use, unregister.
//!
//! A region that is unregistered while requests use it goes with the last of them; until then it keeps its name and is
//! seen in status answers.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use nereid_gpu::Gpus;
use nereid_inference::{ExternalMemory, InferError, MemoryRegions, SystemRegion};
use parking_lot::Mutex;

use crate::{
    cuda::DeviceRegions,
    error::SharedMemoryError,
    key,
    limits::{SharedMemoryLimits, SharedMemorySettings},
    mapping::Mapping,
    region::Region,
    span::Span,
};

/// The regions of a server; clones are the same.
#[derive(Clone)]
pub struct SharedMemory {
    pub(crate) settings: Arc<SharedMemorySettings>,
    regions: Arc<Regions>,
    pub(crate) gpus: Gpus,
    pub(crate) devices: Arc<Mutex<DeviceRegions>>,
}

/// What spans refer back to.
#[derive(Default)]
pub(crate) struct Regions(Mutex<BTreeMap<String, Arc<Region>>>);

// === impl SharedMemory ===

impl SharedMemory {
    /// No region yet, and no devices.
    pub fn new(settings: SharedMemorySettings) -> Self {
        let (regions, devices) = (Arc::default(), Arc::default());
        Self { settings: Arc::new(settings), regions, gpus: Gpus::none(), devices }
    }

    /// Maps a region. The object must have all of its bytes now; it may be unlinked afterwards.
    ///
    /// # Errors
    /// Whatever [`SharedMemoryError`] has to say about names, keys, limits and objects.
    pub fn register(&self, description: SystemRegion) -> Result<(), SharedMemoryError> {
        self.check_allowed()?;
        self.check_name(&description.name, "system")?;
        let name = &description.name;
        let mut regions = self.regions.0.lock();
        if regions.contains_key(name) || self.is_cuda(name) {
            return Err(SharedMemoryError::AlreadyRegistered { name: name.clone() });
        }
        self.check_limits(&regions, &description)?;
        let object = key::open(name, &description.key)?;
        let length_bytes = check_bounds(&description, object.length_bytes)?;
        let mapping = Mapping::new(&object.file, description.offset, length_bytes)
            .map_err(|source| SharedMemoryError::Map { name: name.clone(), source })?;
        tracing::debug!("registered shared memory region '{name}' of {length_bytes} bytes");
        regions.insert(name.clone(), Arc::new(Region::new(description, mapping)));
        Ok(())
    }

    /// The region called `name`, or all of them in the order of their names.
    ///
    /// # Errors
    /// There is no such region.
    pub fn status(&self, name: Option<&str>) -> Result<Vec<SystemRegion>, SharedMemoryError> {
        let regions = self.regions.0.lock();
        let Some(name) = name else { return Ok(regions.values().map(|region| region.description.clone()).collect()) };
        match regions.get(name) {
            Some(region) => Ok(vec![region.description.clone()]),
            None if self.is_cuda(name) => Err(SharedMemoryError::NotSystemMemory { name: name.to_owned() }),
            None => Err(SharedMemoryError::NotFound { memory: "system ", name: name.to_owned() }),
        }
    }

    /// Lets the region called `name` go, or all of them; those in use go with the last request that uses them. An unknown
    /// name is no error.
    ///
    /// # Errors
    /// Shared memory is not allowed.
    pub fn unregister(&self, name: Option<&str>) -> Result<(), SharedMemoryError> {
        self.check_allowed()?;
        let mut regions = self.regions.0.lock();
        let (gone, kept): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut *regions)
            .into_iter()
            .partition(|(key, region)| name.is_none_or(|name| name == key) && region.retire());
        *regions = kept;
        // Unmapping takes time; nobody waits for it.
        drop(regions);
        drop(gone);
        Ok(())
    }

    /// Whether clients may register and unregister.
    ///
    /// # Errors
    /// They may not.
    pub fn check_allowed(&self) -> Result<(), SharedMemoryError> {
        if self.settings.is_allowed { Ok(()) } else { Err(SharedMemoryError::Disabled) }
    }

    /// Whether a region can have this name.
    pub(crate) fn check_name(&self, name: &str, memory: &'static str) -> Result<(), SharedMemoryError> {
        let limit_bytes = self.settings.limits.name_bytes_max;
        match name.len() {
            0 => Err(SharedMemoryError::NoName { memory }),
            found_bytes if found_bytes > limit_bytes => {
                Err(SharedMemoryError::NameTooLong { found_bytes, limit_bytes })
            }
            _ => Ok(()),
        }
    }

    fn check_limits(
        &self,
        regions: &BTreeMap<String, Arc<Region>>,
        description: &SystemRegion,
    ) -> Result<(), SharedMemoryError> {
        let name = || description.name.clone();
        let SharedMemoryLimits { regions_max: limit, mapped_bytes_max: limit_bytes, .. } = self.settings.limits;
        if regions.len() >= limit {
            return Err(SharedMemoryError::TooManyRegions { name: name(), limit });
        }
        let byte_size = description.byte_size;
        let found_bytes = regions.values().map(|region| region.description.byte_size).sum::<u64>();
        if byte_size > (limit_bytes as u64).saturating_sub(found_bytes) {
            return Err(SharedMemoryError::TooManyBytes { name: name(), byte_size, found_bytes, limit_bytes });
        }
        Ok(())
    }
}

impl MemoryRegions for SharedMemory {
    fn span(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Arc<dyn ExternalMemory>, InferError> {
        let regions = self.regions.0.lock();
        let Some(region) = regions.get(name) else {
            let on_device = self.device_span(name, (offset_bytes, length_bytes));
            let not_found = || Err(SharedMemoryError::NotFound { memory: "", name: name.to_owned() });
            return Ok(on_device.unwrap_or_else(not_found)?);
        };
        let limit_bytes = self.settings.limits.tensor_bytes_max;
        let range = span_range(name, region.mapping.len(), (offset_bytes, length_bytes), limit_bytes)?;
        region.check()?;
        Ok(Arc::new(Span::new(region, Arc::downgrade(&self.regions), range)))
    }
}

// === impl Regions ===

impl Regions {
    /// Removes `region` unless it was removed, or is used again.
    pub(crate) fn remove_if_over(&self, region: &Arc<Region>) {
        let name = &region.description.name;
        let mut regions = self.0.lock();
        if regions.get(name).is_some_and(|found| Arc::ptr_eq(found, region) && region.is_over()) {
            regions.remove(name);
        }
    }
}

/// The length of the mapping, if the object has the bytes.
fn check_bounds(description: &SystemRegion, object_bytes: u64) -> Result<usize, SharedMemoryError> {
    let SystemRegion { name, key, offset, byte_size } = description;
    let out_of_bounds = |problem| SharedMemoryError::OutOfBounds { name: name.clone(), problem };
    if *byte_size == 0 {
        return Err(out_of_bounds("'byte_size' is 0".to_owned()));
    }
    let is_inside = offset.checked_add(*byte_size).is_some_and(|end| end <= object_bytes);
    usize::try_from(*byte_size).ok().filter(|_| is_inside).ok_or_else(|| {
        out_of_bounds(format!("{byte_size} bytes from byte {offset} are not all in '{key}', which has {object_bytes}"))
    })
}

/// The bytes of a region of `length` bytes that a tensor asks for, as offset and size.
pub(crate) fn span_range(
    name: &str,
    length: usize,
    (offset, byte_size): (u64, u64),
    limit_bytes: usize,
) -> Result<Range<usize>, SharedMemoryError> {
    let start = usize::try_from(offset).ok().filter(|start| *start < length);
    let start = start.ok_or_else(|| SharedMemoryError::InvalidOffset { name: name.to_owned() })?;
    let end = offset.checked_add(byte_size).ok_or_else(|| SharedMemoryError::Overflow {
        name: name.to_owned(),
        offset,
        byte_size,
    })?;
    let end = usize::try_from(end).ok().filter(|end| *end <= length);
    let range = start..end.ok_or_else(|| SharedMemoryError::InvalidSpan { name: name.to_owned() })?;
    match range.len() {
        byte_size if byte_size > limit_bytes => {
            Err(SharedMemoryError::TensorTooLarge { name: name.to_owned(), byte_size, limit_bytes })
        }
        _ => Ok(range),
    }
}
