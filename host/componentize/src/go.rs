//! Plugins in Go: the plugin's module, with the SDK and the contract's bindings as the module `nereid`.
//!
//! Bindings want a small runtime, which the SDK has of its own (`sdk/go/internal/wit`) instead of the generator's: one that Go's
//! collector can run beside. They are turned to it by what they import, and by nothing else.

use std::{borrow::Cow, fs, path::Path};

use nereid_toolchains::{Failure, Home, Sources, folders::copy_folder, go};
use wit_bindgen_go::{Format, Opts};

use crate::{bindings::Contract, component};

/// Where the bindings lie in the SDK's module.
const BINDINGS: &str = "nereid/internal/contract";

/// What bindings import, and what they import instead. The second is Go's own `runtime`, of which they use what keeps memory where
/// it is and what drops forgotten handles.
const IMPORTS: [(&str, &str); 2] = [
    ("\"go.bytecodealliance.org/pkg/wit/", "\"nereid/internal/wit/"),
    ("\"runtime\"", "runtime \"nereid/internal/wit/runtime\""),
];

/// Makes a component of the plugin in Go.
///
/// # Errors
/// There are no sources, or the compiler refuses them (and has said why).
pub fn componentize(home: &Home, sources: &Sources<'_>, component: &Path) -> Result<(), Failure> {
    let scratch = home.scratch(&format!("go-{}", std::process::id()))?;
    let built = build(home, sources, &scratch, component);
    let removed = fs::remove_dir_all(&scratch).map_err(Failure::io(format_args!("remove {}", scratch.display())));
    built.and(removed)
}

fn build(home: &Home, sources: &Sources<'_>, scratch: &Path, component: &Path) -> Result<(), Failure> {
    let sdk = scratch.join("sdk");
    copy_folder(sources.sdk, &sdk, &|name| !name.starts_with("template"))?;
    let mut contract = Contract::read(sources)?;
    let options = Opts { format: Format::False, pkg_name: Some(BINDINGS.to_owned()), ..Opts::default() };
    contract.write(options.build(), &sdk.join("internal/contract"), turned)?;
    let module = scratch.join("plugin.wasm");
    let tag = format!("nereid_{}", sources.world.replace('-', "_"));
    go::compile(home, &go::Compilation { plugin: sources.plugin, sdk: &sdk, tag: &tag, scratch }, &module)?;
    let mut bytes = component::read(&module)?;
    contract.embed(&mut bytes)?;
    component::write(&bytes, &module, component)
}

/// The bindings with other imports.
fn turned(text: &[u8]) -> Cow<'_, [u8]> {
    let text = String::from_utf8_lossy(text);
    IMPORTS.iter().fold(text.into_owned(), |text, (theirs, ours)| text.replace(theirs, ours)).into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_import_the_runtime_of_the_sdk() {
        let text =
            "import (\n\"runtime\"\nwitRuntime \"go.bytecodealliance.org/pkg/wit/runtime\"\n\"unsafe\"\n)\nruntime.X()";
        let expected = "import (\nruntime \"nereid/internal/wit/runtime\"\nwitRuntime \"nereid/internal/wit/runtime\"\n\"unsafe\"\n)\nruntime.X()";
        assert_eq!(turned(text.as_bytes()), expected.as_bytes());
    }
}
