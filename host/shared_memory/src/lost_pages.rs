//! Pages that a client takes away while the server uses them.
//!
//! A client can cut its object short at any time. Whoever then touches a page beyond the new end gets the signal SIGBUS,
//! which ends the process. The handler here puts zeroed memory where the lost pages were, marks the mapping as damaged
//! and lets the thread go on; the request finds the mark before it is answered. A fault anywhere else goes to whoever
//! handled the signal before.
//!
//! Costs nothing while no page is lost. Refused: copying every tensor first, which is what shared memory is to avoid, and
//! asking for the object's length before each access, which a client can outrun.
//!
//! The handler runs in the middle of anything, so it takes no lock, allocates nothing, and looks only at a static table
//! of atomics.
#![allow(unsafe_code)] // Signal handlers and the table they read; every block says what it relies on.

use std::{
    ffi::{c_int, c_void},
    io, mem, ptr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use crate::limits::REGIONS_MAX;

/// The guard of one mapping; the handler knows the mapping as long as this lives, which must be no longer than the
/// mapping itself.
pub(crate) struct Guard(&'static Slot);

/// One mapping as the handler sees it: free while `start` is 0.
struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    is_damaged: AtomicBool,
}

static SLOTS: [Slot; REGIONS_MAX] = [const { Slot::free() }; REGIONS_MAX];

/// Orders those who take a place; the handler does not take it.
static TAKING: Mutex<()> = Mutex::new(());

/// Who handled the signal before; set before our handler is.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

/// Set before our handler is: asking for it within a handler is not allowed.
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(4096);

// === impl Guard ===

impl Guard {
    /// Guards `length_bytes` bytes at `start`; `None` when every place of the table is taken.
    ///
    /// # Errors
    /// The system refuses the handler.
    pub(crate) fn new(start: *const u8, length_bytes: usize) -> io::Result<Option<Self>> {
        let _taking = TAKING.lock();
        install()?;
        let Some(slot) = SLOTS.iter().find(|slot| slot.start.load(Ordering::Acquire) == 0) else { return Ok(None) };
        slot.is_damaged.store(false, Ordering::Relaxed);
        slot.end.store(start as usize + length_bytes, Ordering::Relaxed);
        // Last, and with a release: a handler that sees the start sees the end that belongs to it.
        slot.start.store(start as usize, Ordering::Release);
        Ok(Some(Self(slot)))
    }

    /// Whether pages of the mapping were lost.
    pub(crate) fn is_damaged(&self) -> bool {
        self.0.is_damaged.load(Ordering::Acquire)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.start.store(0, Ordering::Release);
    }
}

// === impl Slot ===

impl Slot {
    const fn free() -> Self {
        Self { start: AtomicUsize::new(0), end: AtomicUsize::new(0), is_damaged: AtomicBool::new(false) }
    }

    /// The end of the mapping, if `address` is in it.
    ///
    /// A place that changes hands between the two looks cannot hold the faulting mapping: whoever faults uses it.
    fn end_around(&self, address: usize) -> Option<usize> {
        let start = self.start.load(Ordering::Acquire);
        let end = self.end.load(Ordering::Relaxed);
        let is_same = self.start.load(Ordering::Acquire) == start;
        (start != 0 && is_same && (start..end).contains(&address)).then_some(end)
    }
}

/// Installs the handler, once; the caller holds [`TAKING`].
fn install() -> io::Result<()> {
    if PREVIOUS.get().is_some() {
        return Ok(());
    }
    // SAFETY: the call has no preconditions.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    PAGE_BYTES.store(usize::try_from(page_bytes).map_err(io::Error::other)?, Ordering::Relaxed);
    // SAFETY: the structure is plain data for which all zeroes is the default action.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    let mut previous = action;
    // SAFETY: a null action only asks; `previous` is written for the duration of the call.
    succeeded(unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), &mut previous) })?;
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_bus_error;
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    let _ = PREVIOUS.set(previous);
    // SAFETY: the handler has the form that SA_SIGINFO asks for and calls only what a handler may call.
    succeeded(unsafe { libc::sigaction(libc::SIGBUS, &action, ptr::null_mut()) })
}

fn succeeded(status: c_int) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

extern "C" fn on_bus_error(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid structure, in which the code is always set.
    let code = unsafe { (*info).si_code };
    if code == libc::BUS_ADRERR {
        // SAFETY: as above; with this code the address is set too.
        let address = unsafe { (*info).si_addr() } as usize;
        if replace_pages(address) {
            return;
        }
    }
    hand_on(signal, info, context);
}

/// Puts zeroes where `address` and all behind it in the same mapping are; false when it is in no mapping of ours.
fn replace_pages(address: usize) -> bool {
    let Some((slot, end)) = SLOTS.iter().find_map(|slot| Some((slot, slot.end_around(address)?))) else { return false };
    let page = address & !(PAGE_BYTES.load(Ordering::Relaxed) - 1);
    let flags = libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    slot.is_damaged.store(true, Ordering::Release);
    // SAFETY: the pages lie in a mapping of ours that is in use by this very thread, so it is not unmapped meanwhile, and
    // nothing else can lie between the page and the mapping's end. `mmap` is a system call that needs no lock.
    let mapped =
        unsafe { libc::mmap(page as *mut c_void, end - page, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    mapped != libc::MAP_FAILED
}

/// Does what would have been done without us.
fn hand_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    match PREVIOUS.get() {
        Some(previous) if ![libc::SIG_DFL, libc::SIG_IGN].contains(&previous.sa_sigaction) => {
            if previous.sa_flags & libc::SA_SIGINFO == 0 {
                // SAFETY: without SA_SIGINFO the value is the address of a function of this form.
                let handler = unsafe { mem::transmute::<usize, extern "C" fn(c_int)>(previous.sa_sigaction) };
                handler(signal);
            } else {
                type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
                // SAFETY: with SA_SIGINFO the value is the address of a function of this form.
                let handler = unsafe { mem::transmute::<usize, Handler>(previous.sa_sigaction) };
                handler(signal, info, context);
            }
        }
        // SAFETY: both calls are allowed in a handler. The signal is blocked until the handler returns and then takes its
        // default action, which ends the process.
        _ => unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        },
    }
}
