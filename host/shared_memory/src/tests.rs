//! The life of regions over real objects of the system.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use nereid_inference::{CudaRegistration, InferError, MemoryRegions, SystemRegion};
use nereid_tensor::Buffer;
use rustix::{
    fs::Mode,
    shm::{OFlags, open, unlink},
};

use crate::{SharedMemory, SharedMemoryError, SharedMemoryLimits, SharedMemorySettings};

/// An object that is gone with the test.
struct Object {
    key: String,
    file: std::fs::File,
}

impl Object {
    fn new(length_bytes: u64) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let key = format!("/nereid_unit_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
        let file = std::fs::File::from(open(&key, flags, Mode::RUSR | Mode::WUSR).unwrap());
        file.set_len(length_bytes).unwrap();
        Self { key, file }
    }

    fn region(&self, name: &str, offset: u64, byte_size: u64) -> SystemRegion {
        SystemRegion { name: name.into(), key: self.key.clone(), offset, byte_size }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let _ = unlink(&self.key);
    }
}

fn allowed() -> SharedMemory {
    SharedMemory::new(SharedMemorySettings::new(true))
}

fn registered(byte_size: u64) -> (SharedMemory, Object) {
    let (memory, object) = (allowed(), Object::new(byte_size));
    memory.register(object.region("R", 0, byte_size)).unwrap();
    (memory, object)
}

fn names(memory: &SharedMemory) -> Vec<String> {
    memory.status(None).unwrap().into_iter().map(|region| region.name).collect()
}

#[track_caller]
fn check_refused<T: std::fmt::Debug>(outcome: Result<T, impl Into<InferError>>, code: &str, text: &str) {
    let error: InferError = outcome.unwrap_err().into();
    assert_eq!((error.kind().title(), error.message()), (code, text));
}

#[test]
fn a_span_is_the_objects_own_memory_from_the_regions_offset_on() {
    use std::os::unix::fs::FileExt;

    let (memory, object) = (allowed(), Object::new(8192));
    memory.register(object.region("R", 100, 200)).unwrap();
    let span = memory.span("R", 10, 4).unwrap();
    object.file.write_at(b"abcd", 110).unwrap();
    assert_eq!(span.view().as_slice(), b"abcd");

    span.write(&Buffer::from(b"WXYZ12".to_vec())).unwrap();
    let mut target = span.target(2).unwrap();
    target.as_mut_slice().copy_from_slice(b"__");
    let mut found = [0; 6];
    object.file.read_at(&mut found, 110).unwrap();
    assert_eq!(&found, b"__YZ\0\0", "written in place, and not beyond the span");
    assert!(span.target(5).is_none());
}

#[test]
fn a_write_of_what_is_there_already_and_one_that_overlaps_are_both_right() {
    let (memory, _object) = registered(16);
    let (whole, shifted) = (memory.span("R", 0, 4).unwrap(), memory.span("R", 2, 4).unwrap());
    whole.write(&Buffer::from(b"abcd".to_vec())).unwrap();
    whole.write(&whole.view()).unwrap();
    shifted.write(&whole.view()).unwrap();
    assert_eq!(shifted.view().as_slice(), b"abcd");
}

#[test]
fn status_lists_regions_as_they_were_registered() {
    let (memory, object) = (allowed(), Object::new(64));
    memory.register(object.region("b", 0, 32)).unwrap();
    memory.register(object.region("a", 32, 32)).unwrap();
    assert_eq!(names(&memory), ["a", "b"]);
    assert_eq!(memory.status(Some("a")).unwrap(), [object.region("a", 32, 32)]);
    check_refused(memory.status(Some("c")), "Not found", "Unable to find system shared memory region: 'c'");
    memory.unregister(Some("c")).unwrap();
    memory.unregister(Some("a")).unwrap();
    assert_eq!(names(&memory), ["b"]);
    memory.unregister(None).unwrap();
    assert!(names(&memory).is_empty());
}

#[test]
fn a_region_in_use_goes_with_its_last_view() {
    let (memory, _object) = registered(8);
    let span = memory.span("R", 0, 8).unwrap();
    let view = span.view();
    memory.unregister(None).unwrap();
    drop(span);
    assert_eq!(names(&memory), ["R"]);
    let again = memory.register(SystemRegion { name: "R".into(), key: "/x".into(), offset: 0, byte_size: 1 });
    check_refused(again, "Already exists", "shared memory region 'R' already in manager");
    let part = view.slice(2..4).unwrap();
    drop(view);
    assert_eq!((names(&memory).len(), part.as_slice()), (1, &[0, 0][..]));
    drop(part);
    assert!(names(&memory).is_empty());
}

#[test]
fn a_region_that_was_used_and_is_not_any_more_goes_at_once() {
    let (memory, _object) = registered(8);
    drop(memory.span("R", 0, 8).unwrap());
    assert_eq!(names(&memory), ["R"], "nobody unregistered it");
    memory.unregister(Some("R")).unwrap();
    assert!(names(&memory).is_empty());
}

#[test]
fn a_view_outlives_the_registry_and_the_object() {
    let (memory, object) = registered(8);
    memory.span("R", 0, 8).unwrap().write(&Buffer::from(vec![7; 8])).unwrap();
    let view = memory.span("R", 4, 4).unwrap().view();
    drop((memory, object));
    assert_eq!(view.as_slice(), [7; 4]);
}

#[test]
fn spans_beyond_the_end_are_refused_in_tritons_words() {
    let (memory, _object) = registered(64);
    let span = |offset, length| memory.span("R", offset, length).map(|span| span.length_bytes());
    assert_eq!(span(0, 64).unwrap(), 64);
    assert_eq!(span(63, 0).unwrap(), 0);
    let invalid = "Invalid argument";
    check_refused(span(64, 0), invalid, "Invalid offset for shared memory region: 'R'");
    check_refused(span(1, 64), invalid, "Invalid offset + byte size for shared memory region: 'R'");
    check_refused(
        span(1, u64::MAX),
        invalid,
        "Integer overflow detected: byte_size (18446744073709551615) + offset (1) exceeds maximum value \
         (18446744073709551615) for region 'R'",
    );
    let unknown = memory.span("S", 0, 1).map(|_| ());
    check_refused(unknown, "Not found", "Unable to find shared memory region: 'S'");
}

#[test]
fn regions_beyond_their_object_are_refused() {
    let (memory, object) = (allowed(), Object::new(64));
    for (offset, byte_size) in [(0, 65), (64, 1), (1, 64), (u64::MAX, 2), (0, u64::MAX)] {
        let error = memory.register(object.region("R", offset, byte_size)).unwrap_err();
        let is_expected = match error {
            SharedMemoryError::OutOfBounds { .. } => {
                error.to_string().starts_with("failed to register shared memory region 'R': invalid args: ")
            }
            SharedMemoryError::TooManyBytes { .. } => byte_size == u64::MAX,
            _ => false,
        };
        assert!(is_expected, "{offset} {byte_size}: {error}");
    }
    check_refused(
        memory.register(object.region("R", 0, 0)),
        "Invalid argument",
        "failed to register shared memory region 'R': invalid args: 'byte_size' is 0",
    );
    assert!(names(&memory).is_empty());
}

#[test]
fn what_is_no_object_is_refused() {
    let memory = allowed();
    let key = format!("/nereid_unit_link_{}", std::process::id());
    let region = SystemRegion { name: "R".into(), key: key.clone(), offset: 0, byte_size: 1 };
    let start = format!("Unable to open shared memory region: '{key}': ");
    let error = memory.register(region.clone()).unwrap_err().to_string();
    assert!(error.starts_with(&start), "there is none: {error}");

    let path = format!("/dev/shm{key}");
    std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
    let error = memory.register(region.clone()).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    assert!(error.starts_with(&start), "links are not followed: {error}");

    std::fs::create_dir(&path).unwrap();
    let error = memory.register(region).unwrap_err().to_string();
    std::fs::remove_dir(&path).unwrap();
    assert!(error.starts_with(&start), "a folder cannot be written: {error}");
}

#[test]
fn limits_are_kept() {
    let limits =
        SharedMemoryLimits { regions_max: 2, mapped_bytes_max: 100, tensor_bytes_max: 50, ..Default::default() };
    let settings = SharedMemorySettings { is_allowed: true, limits };
    let (memory, object) = (SharedMemory::new(settings), Object::new(4096));
    memory.register(object.region("a", 0, 60)).unwrap();
    check_refused(
        memory.register(object.region("b", 0, 41)),
        "Resource exhausted",
        "cannot register shared memory region 'b' of 41 bytes: all regions together may have 100 bytes, and 60 are \
         registered",
    );
    assert_eq!(memory.span("a", 10, 50).unwrap().length_bytes(), 50);
    check_refused(
        memory.span("a", 0, 51).map(|_| ()),
        "Invalid argument",
        "a tensor of 51 bytes in shared memory region 'a' is too large: 50 bytes are allowed; send it in parts",
    );
    memory.register(object.region("b", 0, 40)).unwrap();
    check_refused(
        memory.register(object.region("c", 0, 1)),
        "Resource exhausted",
        "cannot register shared memory region 'c': 2 regions are registered, which is the limit; unregister one first",
    );
    memory.unregister(Some("a")).unwrap();
    memory.register(object.region("c", 0, 60)).unwrap();
    check_refused(
        memory.register(object.region("", 0, 1)),
        "Invalid argument",
        "'region name' is necessary to register system shared memory region",
    );
    let error = memory.register(object.region(&"n".repeat(1025), 0, 1)).unwrap_err();
    assert!(matches!(error, SharedMemoryError::NameTooLong { .. }), "{error}");
}

fn on_device(name: &str) -> CudaRegistration {
    CudaRegistration { name: name.into(), raw_handle: vec![0; 64], device_id: 0, byte_size: 8 }
}

#[test]
fn nothing_is_registered_where_it_is_not_allowed() {
    let (memory, object) = (SharedMemory::new(SharedMemorySettings::new(false)), Object::new(8));
    let text = "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.";
    check_refused(memory.register(object.region("R", 0, 8)), "Unsupported", text);
    check_refused(memory.unregister(None), "Unsupported", text);
    check_refused(memory.register_cuda(on_device("R")), "Unsupported", text);
    check_refused(memory.unregister_cuda(None), "Unsupported", text);
    assert!(names(&memory).is_empty() && memory.cuda_status(None).unwrap().is_empty());
}

#[test]
fn device_memory_is_refused_by_name() {
    let (memory, _object) = registered(8);
    let refused = memory.register_cuda(on_device("R"));
    let text = "failed to register CUDA shared memory region: 'R', GPUs not supported";
    check_refused(refused, "Invalid argument", text);
    let text = "'region name' is necessary to register cuda shared memory region";
    check_refused(memory.register_cuda(on_device("")), "Invalid argument", text);
    check_refused(memory.cuda_status(Some("S")), "Not found", "Unable to find cuda shared memory region: 'S'");
    let text = "The region named 'R' is registered as system shared memory, not CUDA shared memory";
    check_refused(memory.cuda_status(Some("R")), "Not found", text);
    memory.unregister_cuda(Some("R")).unwrap();
    assert_eq!(names(&memory), ["R"]);
}

#[test]
fn uses_and_unregistrations_of_many_threads_leave_nothing_behind() {
    let memory = allowed();
    let object = Arc::new(Object::new(64));
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (memory, object) = (memory.clone(), Arc::clone(&object));
            scope.spawn(move || {
                for _ in 0..500 {
                    let name = format!("R{}", number / 2);
                    let _ = memory.register(object.region(&name, 0, 64));
                    let span = memory.span(&name, 0, 64);
                    memory.unregister(Some(&name)).unwrap();
                    drop(span.map(|span| span.view()));
                }
            });
        }
    });
    memory.unregister(None).unwrap();
    assert!(names(&memory).is_empty());
}
