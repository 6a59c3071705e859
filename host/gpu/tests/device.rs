//! Memory, copies and streams on a real device. Without one every test says so and passes; with `NEREID_REQUIRE_GPU=1` it
//! fails instead.

use std::{sync::Arc, thread, time::Instant};

use nereid_gpu::{Gpu, GpuSettings, Gpus, Readings};
use nereid_tensor::Buffer;

/// The first device; `None` where there is none and none is required.
fn gpu() -> Option<(Gpus, Arc<Gpu>)> {
    let gpus = Gpus::discover(&GpuSettings::default());
    if let Some(gpu) = gpus.all().first().cloned() {
        return Some((gpus, gpu));
    }
    let absence = gpus.absence().unwrap_or_default();
    assert!(std::env::var_os("NEREID_REQUIRE_GPU").is_none(), "no GPU: {absence}");
    eprintln!("skipped: {absence}");
    None
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

#[test]
fn what_is_uploaded_is_read_back() {
    let Some((_gpus, gpu)) = gpu() else { return };
    for length in [0, 1, 4096, (64 << 10) + 3, 9 << 20] {
        let source = bytes(length);
        let buffer = gpu.upload(&source.clone().into()).unwrap().into_buffer();
        assert_eq!(buffer.device().map(|span| (span.device_id, span.length_bytes)), Some((gpu.ordinal(), length)));
        assert!(buffer.on_host().unwrap().as_slice() == source, "{length} bytes came back changed");
    }
}

#[test]
fn parts_are_gathered_from_host_and_device_and_sliced() {
    let Some((_gpus, gpu)) = gpu() else { return };
    let stream = gpu.stream().unwrap();
    let first: Buffer = bytes(1000).into();
    let second = gpu.upload(&bytes(500).into()).unwrap().into_buffer();
    let mut whole = stream.allocate(1500).unwrap();
    stream.fill(&mut whole, 0, &first).unwrap();
    stream.fill(&mut whole, 1000, &second).unwrap();
    stream.synchronise().unwrap();
    let error = stream.fill(&mut whole, 1001, &second).unwrap_err();
    assert!(error.to_string().contains("500 bytes at byte 1001 do not fit an allocation of 1500 bytes"), "{error}");
    let whole = whole.into_buffer();
    assert_eq!(whole.slice(1000..1500).unwrap().on_host().unwrap().as_slice(), bytes(500));
    assert_eq!(whole.slice(990..1010).unwrap().as_slice(), [&bytes(1000)[990..], &bytes(10)].concat());
}

#[test]
fn a_recording_is_done_with_what_its_memory_holds_when_it_is_launched() {
    let Some((_gpus, gpu)) = gpu() else { return };
    let stream = gpu.stream().unwrap().spinning(true);
    let mut source = stream.allocate(500).unwrap();
    stream.fill(&mut source, 0, &bytes(500).into()).unwrap();
    let source = Arc::new(source);
    let (view, mut target) = (Buffer::external_of_device(source.clone()), stream.allocate(1000).unwrap());
    stream.clear(&mut target, 0..1000).unwrap();
    stream.synchronise().unwrap();
    let mut graph = stream.record(|| stream.fill(&mut target, 250, &view).map_err(|error| error.to_string())).unwrap();
    assert_eq!(gpu.read(target.address(), 1000).unwrap(), vec![0; 1000], "it was done while it was recorded");
    // Until here the stream keeps what it copies from.
    stream.synchronise().unwrap();
    drop(view);
    let mut source = Arc::into_inner(source).unwrap();
    for round in [1, 2] {
        stream.fill(&mut source, 0, &vec![round; 500].into()).unwrap();
        graph.launch().unwrap();
        stream.synchronise().unwrap();
        let expected = [vec![0; 250], vec![round; 500], vec![0; 250]].concat();
        assert_eq!(gpu.read(target.address(), 1000).unwrap(), expected);
    }
    let error = stream.clear(&mut target, 900..1001).unwrap_err();
    assert!(error.to_string().contains("bytes 900..1001 are not all in an allocation of 1000 bytes"), "{error}");
}

#[test]
fn what_cannot_be_recorded_is_an_error_and_the_stream_works_on() {
    let Some((_gpus, gpu)) = gpu() else { return };
    let stream = gpu.stream().unwrap();
    let refused = stream.record(|| stream.synchronise().map_err(|error| error.to_string())).err().unwrap();
    assert!(refused.to_string().contains("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"), "{refused}");
    let spoilt = stream.record(|| stream.synchronise().or(Ok(()))).err().unwrap();
    assert!(spoilt.to_string().contains("what was recorded cannot be launched: "), "{spoilt}");
    let told = stream.record(|| Err("no".to_owned())).err().unwrap();
    assert_eq!(told.to_string(), format!("GPU {}: no", gpu.ordinal()));
    let mut target = stream.allocate(10).unwrap();
    stream.fill(&mut target, 0, &vec![7; 10].into()).unwrap();
    stream.synchronise().unwrap();
    assert_eq!(target.into_buffer().as_slice(), [7; 10]);
}

#[test]
fn page_locked_memory_is_used_again_and_limited() {
    let Some(_) = gpu() else { return };
    let gpus = Gpus::discover(&GpuSettings { pinned_pool_bytes: 1 << 20, ..GpuSettings::default() });
    let gpu = gpus.all()[0].clone();
    let memory = gpu.upload(&bytes(600 << 10).into()).unwrap();
    let first = gpu.read(memory.address(), 600 << 10).unwrap();
    assert_eq!(gpus.pinned_usage().used_bytes, 1 << 20);
    let second = gpu.read(memory.address(), 600 << 10).unwrap();
    assert_eq!(gpus.pinned_usage().used_bytes, 1 << 20, "the pool grew past its limit");
    assert!(first == second);
    let address = first.as_ptr();
    drop(first);
    assert_eq!(gpus.pinned_usage().used_bytes, 0);
    assert_eq!(gpu.read(memory.address(), 600 << 10).unwrap().as_ptr(), address);
}

#[test]
fn memory_comes_back_when_it_is_dropped() {
    let Some((_gpus, gpu)) = gpu() else { return };
    for _ in 0..200 {
        let length = 1 << 30;
        let memory = gpu.allocate(length).unwrap();
        assert_eq!(memory.len(), length);
    }
    let huge = gpu.memory().unwrap().total_bytes * 2;
    let error = gpu.allocate(huge).unwrap_err();
    assert!(error.to_string().contains("could not be allocated: out of memory"), "{error}");
    assert_eq!(gpu.upload(&vec![7; 10].into()).unwrap().into_buffer().as_slice(), [7; 10], "after the refusal");
}

#[test]
fn threads_copy_at_the_same_time() {
    let Some((_gpus, gpu)) = gpu() else { return };
    thread::scope(|scope| {
        for thread in 0..8_usize {
            let gpu = &gpu;
            scope.spawn(move || {
                for round in 0..50 {
                    let source = bytes(10_000 * (thread + 1) + round);
                    let buffer = gpu.upload(&source.clone().into()).unwrap().into_buffer();
                    assert!(buffer.on_host().unwrap().as_slice() == source);
                }
            });
        }
    });
}

#[test]
fn an_address_that_is_none_is_refused() {
    let Some((_gpus, gpu)) = gpu() else { return };
    let error = gpu.read(0x10, 16).unwrap_err();
    assert!(error.to_string().starts_with(&format!("GPU {}: 16 bytes could not be copied", gpu.ordinal())), "{error}");
    let error = gpu.open_ipc([7; 64], 16).unwrap_err();
    assert!(error.to_string().contains("the handle of the memory could not be opened"), "{error}");
    assert_eq!(gpu.upload(&vec![7; 10].into()).unwrap().into_buffer().as_slice(), [7; 10], "after the refusals");
}

#[test]
fn the_device_says_what_it_does() {
    let Some((gpus, gpu)) = gpu() else { return };
    let readings = Readings::open(&gpus).unwrap().read();
    eprintln!("{gpu:?} {} {:?} {:?} {readings:?}", gpu.uuid(), gpu.compute_capability(), gpu.memory());
    assert_eq!(readings[0].uuid, gpu.uuid());
    let total = readings[0].memory_total_bytes.unwrap();
    assert!(total >= gpu.memory().unwrap().total_bytes as u64, "{total}");
}

#[test]
fn figures_of_copies() {
    let Some((_gpus, gpu)) = gpu() else { return };
    let source: Buffer = bytes(64 << 20).into();
    let rate = |what: &str, mut copy: Box<dyn FnMut() + '_>| {
        copy();
        let start = Instant::now();
        (0..20).for_each(|_| copy());
        let gigabytes = 20.0 * source.len() as f64 / 1e9;
        eprintln!("FIGURE {what} {:.1} GB/s", gigabytes / start.elapsed().as_secs_f64());
    };
    rate("copy_to_device", Box::new(|| drop(gpu.upload(&source).unwrap())));
    let memory = gpu.upload(&source).unwrap();
    rate("copy_to_host_pinned", Box::new(|| drop(gpu.read(memory.address(), source.len()).unwrap())));
    let stream = gpu.stream().unwrap();
    let mut pageable = vec![0; source.len()];
    rate("copy_to_host_pageable", Box::new(|| stream.copy_out(memory.address(), &mut pageable).unwrap()));
    let pinned = Buffer::from(gpu.read(memory.address(), source.len()).unwrap());
    rate("copy_to_device_from_pinned", Box::new(|| drop(gpu.upload(&pinned).unwrap())));
}
