//! Which device an instance of `KIND_GPU` gets, or why none.
//!
//! Both the server and LibTorch have to know the device. The LibTorch that `cargo xtask backend pytorch` installs is for the
//! processor; with the whole one in its place the same shim serves both.

use std::sync::Arc;

use nereid_gpu::{Gpu, Gpus};

use crate::ffi::Torch;

/// The device called `ordinal`.
///
/// # Errors
/// What is missing and what to do, for a sentence that names the instance.
pub(crate) fn device(gpus: &Gpus, torch: &Torch, ordinal: i32) -> Result<Arc<Gpu>, String> {
    let ordinals: Vec<i32> = gpus.all().iter().map(|gpu| gpu.ordinal()).collect();
    refuse(gpus.absence(), &ordinals, ordinal, || torch.cuda())?;
    gpus.get(ordinal).cloned().ok_or_else(|| unknown(&ordinals))
}

/// Asks LibTorch last: asking loads its part for CUDA.
fn refuse(
    absence: Option<&str>,
    ordinals: &[i32],
    wanted: i32,
    cuda: impl FnOnce() -> Result<i32, String>,
) -> Result<(), String> {
    if let Some(absence) = absence {
        return Err(format!("{absence}; use kind: KIND_CPU"));
    }
    if !ordinals.contains(&wanted) {
        return Err(unknown(ordinals));
    }
    match cuda() {
        Ok(devices) if wanted < devices => Ok(()),
        Ok(devices) => Err(format!("LibTorch can use {devices} of the server's GPUs; use kind: KIND_CPU")),
        Err(problem) => Err(format!(
            "LibTorch has no part for CUDA here ({problem}): put the whole LibTorch (torch/lib of `pip install torch` in the \
             shim's version) in place of the folder 'lib' beside the shim and start the server again, or use kind: KIND_CPU"
        )),
    }
}

fn unknown(ordinals: &[i32]) -> String {
    let listed: Vec<String> = ordinals.iter().map(i32::to_string).collect();
    format!("the server's GPUs are {}; name one of them in 'gpus'", listed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(absence: Option<&str>, wanted: i32, cuda: Result<i32, &str>) -> Option<String> {
        refuse(absence, &[0, 1], wanted, || cuda.map_err(str::to_owned)).err()
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(refusal(None, 1, Ok(2)), None);
        let text = "the CUDA driver (libcuda.so.1) is not installed";
        assert_eq!(refusal(Some(text), 0, Ok(2)), Some(format!("{text}; use kind: KIND_CPU")));
        let text = "the server's GPUs are 0, 1; name one of them in 'gpus'";
        assert_eq!(refusal(None, 7, Ok(2)).as_deref(), Some(text));
        assert_eq!(refusal(None, -1, Ok(2)).as_deref(), Some(text));
        let text = "LibTorch can use 1 of the server's GPUs; use kind: KIND_CPU";
        assert_eq!(refusal(None, 1, Ok(1)).as_deref(), Some(text));
        let refused = refusal(None, 0, Err("/x/lib/libtorch_cuda.so does not exist")).unwrap();
        assert!(
            refused.starts_with("LibTorch has no part for CUDA here (/x/lib/libtorch_cuda.so does not exist): put")
        );
    }

    #[test]
    fn libtorch_is_not_asked_about_devices_that_do_not_exist() {
        let asked = || -> Result<i32, String> { panic!("it was asked") };
        assert!(refuse(Some("no driver"), &[], 0, asked).is_err());
        assert!(refuse(None, &[0], 1, asked).is_err());
    }
}
