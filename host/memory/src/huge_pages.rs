//! Huge pages for what libraries allocate while they load a model, which is mostly weights.
//!
//! A run that reads all weights touches more pages of 4 KiB than the processor remembers the places of, and looks most of
//! them up again; pages of 2 MiB it remembers. Libraries allocate weights in pieces, and the kernel gives huge pages of its own accord
//! to nobody who did not ask, so the server gathers the pieces after the load (`MADV_COLLAPSE`, madvise(2), Linux 6.1).
//!
//! Only blocks whose every page is resident are gathered, so that no more memory is used than before. What is in them
//! does not change, and whoever uses them meanwhile waits for a millisecond. Where the kernel's setting is `never`, or it cannot do
//! it, nothing happens.
#![allow(unsafe_code)] // madvise(2), once.

use std::{
    fs::{self, File},
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    sync::Arc,
    thread,
    time::Instant,
};

use parking_lot::Mutex;

const MAPS: &str = "/proc/self/maps";
const PAGEMAP: &str = "/proc/self/pagemap";
const SETTING: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const SIZE: &str = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";

const PAGE_BYTES: usize = 4 << 10;
const BLOCK_BYTES: usize = 2 << 20;
const PAGES_PER_BLOCK: usize = BLOCK_BYTES / PAGE_BYTES;

/// One entry of the page map, and the bit of it that says that the page is resident; source: the kernel's `pagemap.rst`.
const ENTRY_BYTES: usize = 8;
const IS_PRESENT: u64 = 1 << 63;

/// After so many blocks in a row that the kernel has no huge page for it is left in peace.
const REFUSALS_MAX: usize = 8;

/// Gathers pages, for one model at a time; clones are the same.
#[derive(Clone, Debug)]
pub struct HugePages {
    turn: Arc<Mutex<()>>,
}

/// What was mapped before a load.
#[derive(Debug)]
pub struct Mapped {
    ranges: Vec<Range<usize>>,
    pages: HugePages,
}

// === impl HugePages ===

impl HugePages {
    /// `None` where the kernel has none of 2 MiB, or is told to give none.
    pub fn where_allowed() -> Option<Self> {
        let setting = fs::read_to_string(SETTING).ok()?;
        let has_size = fs::read_to_string(SIZE).ok()?.trim().parse() == Ok(BLOCK_BYTES);
        (has_size && !setting.contains("[never]")).then(|| Self { turn: Arc::default() })
    }

    /// What is mapped now, to be told from what a load adds.
    pub fn mapped(&self) -> Mapped {
        let maps = fs::read_to_string(MAPS).unwrap_or_default();
        Mapped { ranges: anonymous_ranges(&maps), pages: self.clone() }
    }
}

// === impl Mapped ===

impl Mapped {
    /// Gathers what was mapped since then, on a thread of its own; `what` is named in the log.
    pub fn gather_since(self, what: String) {
        let gather = move || {
            let _turn = self.pages.turn.lock();
            let started = Instant::now();
            match gather(&self.ranges) {
                Ok(0) => {}
                Ok(bytes) => {
                    let seconds = started.elapsed().as_secs_f64();
                    tracing::info!("{what}: {} MiB of it are in huge pages now ({seconds:.1} s)", bytes >> 20);
                }
                Err(error) => tracing::debug!("{what}: no huge pages: {error}"),
            }
        };
        let started = thread::Builder::new().name("nereid-pages".to_owned()).spawn(gather);
        if let Err(error) = started {
            tracing::debug!("no thread for huge pages: {error}");
        }
    }
}

/// Gathers the blocks that are mapped and were not; how many bytes they have.
fn gather(before: &[Range<usize>]) -> io::Result<usize> {
    let pagemap = File::open(PAGEMAP)?;
    let (mut gathered, mut refusals) = (0, 0);
    for block in new_blocks(before, &anonymous_ranges(&fs::read_to_string(MAPS)?)) {
        if !is_resident(&pagemap, block)? {
            continue;
        }
        match collapse(block) {
            Ok(()) => (gathered, refusals) = (gathered + BLOCK_BYTES, 0),
            // Unmapped since it was listed, in use by a device, or no huge page is free.
            Err(_) if refusals < REFUSALS_MAX => refusals += 1,
            Err(error) if gathered == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(gathered)
}

/// Private memory without a file that may be read and written, in the order of addresses, neighbours as one; from the lines of
/// `/proc/PID/maps`, proc(5).
fn anonymous_ranges(maps: &str) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for range in maps.lines().filter_map(anonymous_range) {
        match ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => ranges.push(range),
        }
    }
    ranges
}

fn anonymous_range(line: &str) -> Option<Range<usize>> {
    let mut words = line.split_whitespace();
    let (addresses, rights, _offset, _device, inode) =
        (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    let is_memory = words.next().is_none_or(|name| name == "[heap]" || name.starts_with("[anon"));
    let (start, end) = addresses.split_once('-')?;
    let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
    (rights == "rw-p" && inode == "0" && is_memory).then_some(range)
}

/// Addresses of the whole blocks in `after` that have no byte in `before`; both are in order.
fn new_blocks(before: &[Range<usize>], after: &[Range<usize>]) -> Vec<usize> {
    let mut blocks = Vec::new();
    for range in after {
        let first = range.start.next_multiple_of(BLOCK_BYTES);
        for block in (first..range.end).step_by(BLOCK_BYTES).filter(|block| block + BLOCK_BYTES <= range.end) {
            let next = before.partition_point(|old| old.end <= block);
            if before.get(next).is_none_or(|old| old.start >= block + BLOCK_BYTES) {
                blocks.push(block);
            }
        }
    }
    blocks
}

fn is_resident(pagemap: &File, block: usize) -> io::Result<bool> {
    let mut entries = [0; PAGES_PER_BLOCK * ENTRY_BYTES];
    pagemap.read_exact_at(&mut entries, (block / PAGE_BYTES * ENTRY_BYTES) as u64)?;
    let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
    Ok(entries.iter().all(|entry| u64::from_ne_bytes(*entry) & IS_PRESENT != 0))
}

/// Puts a block into one huge page.
fn collapse(block: usize) -> io::Result<()> {
    /// Source: `mman-common.h` of Linux 6.1; the crate does not have it.
    const MADV_COLLAPSE: libc::c_int = 25;
    // SAFETY: this advice changes where the kernel keeps bytes, never what they are; addresses that are not mapped, or not
    // of that kind, are refused.
    let result = unsafe { libc::madvise(block as *mut libc::c_void, BLOCK_BYTES, MADV_COLLAPSE) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn only_private_memory_without_a_file_counts() {
        let maps = "\
            200000-400000 rw-p 00000000 00:00 0 \n\
            400000-600000 rw-p 00000000 00:00 0                          [heap]\n\
            600000-800000 r--p 00000000 00:00 0 \n\
            800000-a00000 rw-s 00000000 00:05 77                         /memfd:guest (deleted)\n\
            a00000-c00000 rw-p 00000000 fe:00 99                         /usr/lib/libx.so\n\
            c00000-e00000 rw-p 00000000 00:00 0                          [stack]\n\
            e00000-f00000 rw-p 00000000 00:00 0                          [anon:weights]\n\
            not a line\n";
        assert_eq!(anonymous_ranges(maps), [0x20_0000..0x60_0000, 0xe0_0000..0xf0_0000]);
    }

    #[test]
    fn blocks_are_whole_aligned_and_new() {
        // As one line of /proc/PID/maps each.
        let ranges =
            |lines: &[(usize, usize)]| lines.iter().map(|&(start, end)| start * MIB..end * MIB).collect::<Vec<_>>();
        let blocks = |before: &[(usize, usize)], after: (usize, usize)| {
            let blocks = new_blocks(&ranges(before), &ranges(&[after]));
            blocks.iter().map(|block| block / MIB).collect::<Vec<_>>()
        };
        assert_eq!(blocks(&[], (1, 9)), [2, 4, 6]);
        assert_eq!(blocks(&[(0, 3)], (0, 8)), [4, 6], "a part of the second block was there before");
        assert_eq!(blocks(&[(0, 2), (6, 7)], (0, 10)), [2, 4, 8]);
        assert!(blocks(&[(0, 20)], (0, 10)).is_empty());
    }

    /// Bytes in huge pages of the mapping that has `address`.
    fn huge_bytes(address: usize) -> usize {
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = maps.lines();
        lines.find(|line| anonymous_range(line).is_some_and(|range| range.contains(&address))).unwrap();
        let line = lines.find_map(|line| line.strip_prefix("AnonHugePages:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() << 10
    }

    #[test]
    fn what_is_resident_is_gathered_and_keeps_its_bytes() {
        let Some(pages) = HugePages::where_allowed() else {
            return eprintln!("skipped: the kernel gives no huge pages");
        };
        let before = pages.mapped();
        let mut weights: Vec<u8> = (0..16 * MIB).map(|index| (index % 251) as u8).collect();
        let untouched: Vec<u8> = vec![0; 64 * MIB];
        match gather(&before.ranges) {
            // Other tests allocate too.
            Ok(bytes) => assert!(bytes >= 12 * MIB, "{bytes}"),
            Err(error) => return eprintln!("skipped: the kernel does not gather: {error}"),
        }
        assert!(huge_bytes(weights.as_ptr().addr()) >= 12 * MIB);
        let inside = (untouched.as_ptr().addr() + MIB).next_multiple_of(BLOCK_BYTES);
        assert!(!is_resident(&File::open(PAGEMAP).unwrap(), inside).unwrap(), "memory that nobody touched was taken");
        assert!(weights.iter().enumerate().all(|(index, byte)| *byte == (index % 251) as u8));
        weights[5 * MIB] = 255;
        assert_eq!((weights[5 * MIB], untouched[MIB]), (255, 0));
    }
}
