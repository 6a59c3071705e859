//! A component around a core module whose bindings say which world it is of.
//!
//! Names of functions stay, because the error of a trap tells them; what else is for debuggers goes: ten times the program.

use std::{fs, path::Path};

use nereid_toolchains::Failure;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

/// The module's bytes.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read(module: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(module).map_err(Failure::io(format_args!("read {}", module.display())))
}

/// Makes it of the bytes of `module`. What the module asks of WASI's first preview goes through the adapter to the second.
///
/// # Errors
/// The module does not fit its world, or the component cannot be written.
pub(crate) fn write(bytes: &[u8], module: &Path, component: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::new(format!("{} makes no component: {error:#}", module.display()));
    let encoder = ComponentEncoder::default().validate(true).module(&without_debug_sections(bytes)).map_err(failed)?;
    let adapted = encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER);
    let encoded = adapted.map_err(failed)?.encode().map_err(failed)?;
    fs::write(component, encoded).map_err(Failure::io(format_args!("write {}", component.display())))
}

/// Magic number and version.
const HEADER_BYTES: usize = 8;

/// The module without its custom sections for debuggers. What is no module is left as it is: the encoder says what is wrong.
fn without_debug_sections(module: &[u8]) -> Vec<u8> {
    let mut kept = module.get(..HEADER_BYTES).unwrap_or(module).to_vec();
    let mut rest = module.get(HEADER_BYTES..).unwrap_or_default();
    while let Some((section, after)) = split_section(rest) {
        if !is_for_debuggers(section) {
            kept.extend_from_slice(section);
        }
        rest = after;
    }
    kept.extend_from_slice(rest);
    kept
}

/// The first section, its number and length included, and what follows.
fn split_section(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, content) = leb128(bytes.get(1..)?)?;
    let header = bytes.len() - content.len();
    bytes.split_at_checked(header.checked_add(length)?)
}

fn is_for_debuggers(section: &[u8]) -> bool {
    let content = section.strip_prefix(&[0]).and_then(leb128).map(|(_, content)| content);
    let name = content.and_then(leb128).and_then(|(length, content)| content.get(..length));
    name.is_some_and(|name| name.starts_with(b".debug"))
}

/// An unsigned number of seven bits a byte, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let length = bytes.iter().take(5).position(|byte| byte & 0x80 == 0)? + 1;
    let (number, rest) = bytes.split_at_checked(length)?;
    let value = number.iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(name: &str, content: &[u8]) -> Vec<u8> {
        let mut section = vec![0, (1 + name.len() + content.len()) as u8, name.len() as u8];
        section.extend_from_slice(name.as_bytes());
        section.extend_from_slice(content);
        section
    }

    #[test]
    fn only_what_is_for_debuggers_goes() {
        let header = b"\0asm\x01\0\0\0".to_vec();
        let (types, names) = (vec![1, 2, 0x60, 0], custom("name", b"f"));
        let module =
            [header.clone(), custom(".debug_info", b"x"), types.clone(), custom(".debug_line", &[]), names.clone()];
        assert_eq!(without_debug_sections(&module.concat()), [header, types, names].concat());
    }

    #[test]
    fn what_is_no_module_stays_as_it_is() {
        for bytes in [&b""[..], b"\0asm", b"\0asm\x01\0\0\0\0\xff\xff\xff\xff\xff\xff", b"\0asm\x01\0\0\0\0\x7f.debug"]
        {
            assert_eq!(without_debug_sections(bytes), bytes);
        }
    }
}
