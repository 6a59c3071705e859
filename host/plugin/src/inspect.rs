//! What a component is, for its author: what it imports and exports, who made it, and in words why it does not fit.
//!
//! Unlike loading, which stops at the first misfit, this lists them all. Costs a compilation, or a look into the cache.

mod makers;
mod needs;

use wasmtime::component::{Component, types::ComponentItem};

pub use self::{
    makers::{Language, Maker},
    needs::Need,
};
use crate::{
    compile::{self, PluginKind},
    contract,
    engine::PluginEngine,
    failure::PluginError,
};

/// What each interface of the contract is for.
const PURPOSES: [(&str, &str); 15] = [
    ("types", "data types, parameters and errors"),
    ("tensors", "tensors in the host's memory: read, write, share, slice"),
    ("operations", "images and tensors at the host's speed: decode, resize, softmax, …"),
    ("serving", "the request: id, parameters, deadline, sender of many responses"),
    ("inference", "calls to the models that it is granted"),
    ("logging", "lines in the server's log"),
    ("settings", "the parameters of config.pbtxt, the model's name and tensors"),
    ("tokenizers", "texts to token numbers and back"),
    ("metrics", "counters, gauges and histograms on the metrics page"),
    ("tracing", "steps of its own in the traces of requests"),
    ("state", "values that are kept between calls"),
    ("files", "files of the folders that it is granted"),
    ("secrets", "the secrets that it is granted, by name"),
    ("control", "loading and unloading models, where that is granted"),
    ("http", "requests to the servers that it is granted"),
];

/// What those of the package for guests that await are for.
const ASYNC_PURPOSES: [(&str, &str); 2] = [
    ("inference", "calls to the models that it is granted, several awaited at once"),
    ("sending", "responses that are awaited until their client has room"),
];

/// What each package of WASI is for.
const WASI_PURPOSES: [(&str, &str); 8] = [
    ("wasi:cli", "the language runtime's arguments, environment, standard streams and exit"),
    ("wasi:clocks", "the time"),
    ("wasi:filesystem", "files"),
    ("wasi:http", "requests to other servers"),
    ("wasi:io", "streams, and waiting for clocks"),
    ("wasi:nn", "inference by the models that it is granted"),
    ("wasi:random", "random numbers"),
    ("wasi:sockets", "sockets"),
];

/// What is known of a component without running it.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// What it is built as; `None` when its exports fit nothing.
    pub kind: Option<PluginKind>,
    pub imports: Vec<ImportedInterface>,
    /// What it may have to be granted for them.
    pub needs: Vec<Need>,
    /// Names of what it exports.
    pub exports: Vec<String>,
    /// Each sentence says what does not fit and what to change; empty for a component that can be served.
    pub misfits: Vec<String>,
    pub language: Option<Language>,
    /// Programs that say in the file that they had a part in it.
    pub makers: Vec<Maker>,
    pub component_bytes: u64,
    /// Machine code, with the data that memories begin with.
    pub code_bytes: u64,
}

/// One interface that a component imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedInterface {
    /// With package and version.
    pub name: String,
    /// `None` for what this server does not know.
    pub purpose: Option<&'static str>,
    /// What it imports of it: functions by their names in WIT.
    pub functions: Vec<String>,
    /// Why it cannot be had.
    pub misfit: Option<String>,
}

// === impl Inspection ===

impl Inspection {
    /// The world of the contract that it is built for; `None` when its exports fit none.
    pub fn world(&self) -> Option<&'static str> {
        let has = |interface| self.exports.iter().any(|name| contract::is_export(name, interface));
        let is_full = contract::ADDITIONAL.iter().any(|(interface, _)| has(interface));
        self.kind.map(|kind| match kind {
            PluginKind::Model if is_full => contract::FULL_MODEL_WORLD,
            PluginKind::AsyncModel if is_full => contract::FULL_ASYNC_MODEL_WORLD,
            kind => kind.world(),
        })
    }
}

// === impl PluginEngine ===

impl PluginEngine {
    /// Looks at a component. `origin` is the file that texts name. May take seconds; blocks.
    ///
    /// # Errors
    /// The bytes are no component, or are damaged.
    pub fn inspect(&self, origin: &str, bytes: &[u8]) -> Result<Inspection, PluginError> {
        compile::recognise(origin, bytes)?;
        let component = self.component(origin, bytes)?;
        let imports = imports_of(&component);
        let exported = contract::exported(origin, &component);
        let kind = exported.as_ref().ok().map(|interface| PluginKind::of_interface(interface));
        let misfits = self.misfits(origin, bytes, &imports, exported.err());
        let makers = makers::of(bytes);
        let image = component.image_range();
        Ok(Inspection {
            kind,
            needs: needs::of(&imports),
            imports,
            exports: component.component_type().exports(component.engine()).map(|(name, _)| name.to_owned()).collect(),
            misfits,
            language: Language::of(bytes, &makers),
            makers,
            component_bytes: bytes.len() as u64,
            code_bytes: image.end.addr().saturating_sub(image.start.addr()) as u64,
        })
    }

    /// What an interface's functions look like is compared only where all interfaces are there and one is exported.
    fn misfits(
        &self,
        origin: &str,
        bytes: &[u8],
        imports: &[ImportedInterface],
        exports: Option<PluginError>,
    ) -> Vec<String> {
        let missing = imports.iter().filter_map(|import| Some((&import.name, import.misfit.as_ref()?)));
        let mut misfits: Vec<String> =
            missing.map(|(name, why)| format!("it imports {name}, which this server does not offer: {why}")).collect();
        misfits.extend(exports.map(|error| error.to_string()));
        if misfits.is_empty() {
            misfits.extend(self.compile(origin, bytes).err().map(|error| error.to_string()));
        }
        misfits
    }
}

fn imports_of(component: &Component) -> Vec<ImportedInterface> {
    let component_type = component.component_type();
    let imports = component_type.imports(component.engine()).map(|(name, item)| ImportedInterface {
        name: name.to_owned(),
        purpose: purpose(name),
        functions: match item.ty {
            ComponentItem::ComponentInstance(instance) => {
                let items = instance.exports(component.engine());
                let functions = items.filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
                functions.map(|(name, _)| name.to_owned()).collect()
            }
            _ => Vec::new(),
        },
        misfit: contract::why_missing(name),
    });
    imports.collect()
}

fn purpose(import: &str) -> Option<&'static str> {
    let (name, _) = import.split_once('@').unwrap_or((import, ""));
    let (package, interface) = name.split_once('/')?;
    let (table, key): (&[_], _) = match package {
        contract::PACKAGE => (&PURPOSES, interface),
        contract::ASYNC_PACKAGE => (&ASYNC_PURPOSES, interface),
        _ => (&WASI_PURPOSES, package),
    };
    table.iter().find(|(known, _)| *known == key).map(|(_, purpose)| *purpose)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_of_the_contract_has_a_purpose() {
        for interface in contract::OFFERED {
            let import = format!("{}/{interface}@{}", contract::PACKAGE, contract::CONTRACT_VERSION);
            assert!(purpose(&import).is_some(), "{import}");
        }
        for interface in contract::OFFERED_ASYNC {
            let import = format!("{}/{interface}@{}", contract::ASYNC_PACKAGE, contract::CONTRACT_VERSION);
            assert!(purpose(&import).is_some_and(|purpose| purpose.contains("awaited")), "{import}");
        }
        assert_eq!(purpose("wasi:random/insecure@0.2.6"), Some("random numbers"));
        assert!(purpose("wasi:nn/graph@0.2.0-rc-2024-10-28").is_some());
        assert_eq!((purpose("acme:things/x@1.0.0"), purpose("do-it")), (None, None));
    }
}
