//! Clients that take their memory away while it is used: the process lives, and the loss is noticed.
#![allow(unsafe_code)] // Faults on purpose, and a signal handler of the tests' own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::{
    ffi::c_int,
    fs::File,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus},
    sync::atomic::{AtomicUsize, Ordering},
};

use memmap2::MmapRaw;
use nereid_inference::{ErrorKind, MemoryRegions, SystemRegion};
use nereid_shared_memory::{SharedMemory, SharedMemorySettings};
use nereid_tensor::Buffer;
use rustix::{
    fs::Mode,
    shm::{OFlags, open, unlink},
};

const REGION_BYTES: u64 = 1 << 20;
const CHILD: &str = "NEREID_TEST_CHILD";
const HANDLED_BY_PREVIOUS: c_int = 42;

/// A new object, unlinked at once: the file keeps it.
fn object(key: &str) -> File {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
    let file = File::from(open(key, flags, Mode::RUSR | Mode::WUSR).unwrap());
    file.set_len(REGION_BYTES).unwrap();
    file
}

fn register(memory: &SharedMemory, name: &str) -> File {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let key = format!("/nereid_hostile_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let file = object(&key);
    let registered =
        memory.register(SystemRegion { name: name.into(), key: key.clone(), offset: 0, byte_size: REGION_BYTES });
    unlink(&key).unwrap();
    registered.unwrap();
    file
}

fn memory() -> SharedMemory {
    SharedMemory::new(SharedMemorySettings::new(true))
}

#[test]
fn an_object_that_was_cut_short_reads_as_zeroes_and_is_named_as_damaged() {
    let memory = memory();
    let (file, _other_file) = (register(&memory, "cut"), register(&memory, "other"));
    let span = memory.span("cut", 0, REGION_BYTES).unwrap();
    span.write(&Buffer::from(vec![7; REGION_BYTES as usize])).unwrap();
    span.check().unwrap();
    file.set_len(8192).unwrap();
    span.check().expect("nothing was lost yet, for nobody looked");

    let copy = span.view().into_private().unwrap();
    assert!(copy.as_slice()[..8192].iter().all(|byte| *byte == 7));
    assert!(copy.as_slice()[8192..].iter().all(|byte| *byte == 0));
    let error = span.check().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().starts_with("shared memory region 'cut' is damaged: its object '/nereid_hostile_"));

    // The same from now on for whoever wants to use it, and for nobody else.
    assert_eq!(memory.span("cut", 0, 1).unwrap_err().message(), error.message());
    span.write(&Buffer::from(vec![1; REGION_BYTES as usize])).unwrap();
    let other = memory.span("other", 0, REGION_BYTES).unwrap();
    other.write(&Buffer::from(vec![3; 4])).unwrap();
    other.check().unwrap();

    drop((span, copy));
    memory.unregister(Some("cut")).unwrap();
    let _whole = register(&memory, "cut");
    memory.span("cut", 0, REGION_BYTES).unwrap().check().unwrap();
}

#[test]
fn an_output_written_to_lost_memory_is_noticed_too() {
    let memory = memory();
    let file = register(&memory, "out");
    let span = memory.span("out", 0, REGION_BYTES).unwrap();
    file.set_len(0).unwrap();
    let mut target = span.target(100).unwrap();
    target.as_mut_slice().fill(1);
    assert!(span.check().is_err());
}

#[test]
fn threads_that_read_while_objects_are_cut_short_go_on() {
    let memory = memory();
    for _ in 0..100 {
        let file = register(&memory, "race");
        let span = memory.span("race", 0, REGION_BYTES).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| assert_eq!(span.view().as_slice().iter().map(|byte| u64::from(*byte)).sum::<u64>(), 0));
            }
            scope.spawn(|| file.set_len(0).unwrap());
        });
        drop(span);
        memory.unregister(None).unwrap();
    }
}

/// Touches lost memory that is none of the registry's.
fn fault_elsewhere() {
    let key = format!("/nereid_elsewhere_{}", std::process::id());
    let file = object(&key);
    unlink(&key).unwrap();
    let mapping = MmapRaw::map_raw(&file).unwrap();
    file.set_len(0).unwrap();
    // SAFETY: the address is mapped; that the page is lost is the point, and the process is to end here.
    let byte = unsafe { mapping.as_mut_ptr().read_volatile() };
    panic!("read {byte} from a page that is not there");
}

/// Registers a region, loses it, survives, and then faults elsewhere.
fn use_and_fault_elsewhere() {
    let memory = memory();
    let file = register(&memory, "own");
    let span = memory.span("own", 0, REGION_BYTES).unwrap();
    file.set_len(0).unwrap();
    assert_eq!(span.view().into_private().unwrap().as_slice()[0], 0);
    fault_elsewhere();
}

/// Runs this very test in a process of its own, with `CHILD` set.
fn outcome_of_child(test: &str) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--test-threads=1"]).env(CHILD, "1");
    let output = command.output().unwrap();
    eprintln!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    output.status
}

#[test]
fn a_fault_elsewhere_still_ends_the_process() {
    if std::env::var_os(CHILD).is_some() {
        return use_and_fault_elsewhere();
    }
    let status = outcome_of_child("a_fault_elsewhere_still_ends_the_process");
    assert_eq!(status.signal(), Some(libc::SIGBUS), "{status}");
}

extern "C" fn previous_handler(_: c_int) {
    // SAFETY: ends the process at once, which a handler may do.
    unsafe { libc::_exit(HANDLED_BY_PREVIOUS) };
}

#[test]
fn a_fault_elsewhere_goes_to_whoever_handled_it_before() {
    if std::env::var_os(CHILD).is_some() {
        let handler: extern "C" fn(c_int) = previous_handler;
        // SAFETY: the handler has the form that the call asks for.
        unsafe { libc::signal(libc::SIGBUS, handler as usize) };
        return use_and_fault_elsewhere();
    }
    let status = outcome_of_child("a_fault_elsewhere_goes_to_whoever_handled_it_before");
    assert_eq!(status.code(), Some(HANDLED_BY_PREVIOUS), "{status}");
}
