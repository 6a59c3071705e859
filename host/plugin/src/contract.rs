//! Whether a component fits the contract, in words.
//!
//! wasmtime would say so too, for the first misfit and in its own terms; here every missing import is listed with what to do.

use wasmtime::component::Component;

use crate::failure::PluginError;

/// The package that `wit/` holds.
pub(crate) const PACKAGE: &str = "nereid:plugin";

/// The package that `wit/async/` holds, for guests that await.
pub(crate) const ASYNC_PACKAGE: &str = "nereid:plugin-async";

/// The version of the contract that this host serves, in both packages.
pub const CONTRACT_VERSION: &str = "1.0.0";

/// The interfaces that a plugin may import.
pub(crate) const OFFERED: [&str; 15] = [
    "types",
    "tensors",
    "operations",
    "serving",
    "inference",
    "logging",
    "settings",
    "metrics",
    "tracing",
    "tokenizers",
    "state",
    "files",
    "secrets",
    "control",
    "http",
];

/// Those of the other package.
pub(crate) const OFFERED_ASYNC: [&str; 2] = ["inference", "sending"];

/// The interfaces of WASI 0.2 that a plugin may import, by package. They are there for runtimes of languages, and empty.
const WASI: [(&str, &[&str]); 8] = [
    (
        "wasi:cli",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("wasi:clocks", &["monotonic-clock", "wall-clock"]),
    ("wasi:filesystem", &["preopens", "types"]),
    (HTTP, &["outgoing-handler", "types"]),
    ("wasi:io", &["error", "poll", "streams"]),
    (NN, &["errors", "graph", "inference", "tensor"]),
    ("wasi:random", &["insecure", "insecure-seed", "random"]),
    (
        "wasi:sockets",
        &["instance-network", "ip-name-lookup", "network", "tcp", "tcp-create-socket", "udp", "udp-create-socket"],
    ),
];

/// The package of requests to other servers, which needs a grant.
const HTTP: &str = "wasi:http";

/// The package of inference, which is a draft: no two of its versions are compatible.
const NN: &str = "wasi:nn";

const NN_VERSION: &str = "0.2.0-rc-2024-10-28";

/// The version of WASI whose interfaces the others are; patches only add.
const WASI_VERSION: &str = "0.2.";

/// Those of the interfaces that a batching strategy may import: two of them for their types.
const FOR_STRATEGIES: [&str; 3] = ["types", "tensors", "logging"];

/// The interfaces of which a plugin exports one.
const EXPORTED: [&str; 5] = [TRANSFORM, MODEL, ASYNC_MODEL, AGENT, BATCHING];

/// What a plugin may export besides, and beside which of them.
pub(crate) const ADDITIONAL: [(&str, &[&str]); 5] = [
    (COMPLETION, &[TRANSFORM, MODEL, ASYNC_MODEL]),
    (READINESS, &[MODEL]),
    (DRAINING, &[MODEL]),
    (ASYNC_READINESS, &[ASYNC_MODEL]),
    (ASYNC_DRAINING, &[ASYNC_MODEL]),
];

/// Completes its model's configuration.
pub(crate) const COMPLETION: &str = "completion";

/// Says whether an instance can work.
pub(crate) const READINESS: &str = "readiness";

/// Has something to do before an instance goes.
pub(crate) const DRAINING: &str = "draining";

/// What begins the names here of the other package's interfaces that plugins export.
const AWAITS: &str = "async ";

/// The twins of those two.
pub(crate) const ASYNC_READINESS: &str = "async readiness";
pub(crate) const ASYNC_DRAINING: &str = "async draining";

/// One request at a time.
pub(crate) const TRANSFORM: &str = "transform";

/// A batch at a time.
pub(crate) const MODEL: &str = "model";

/// A batch at a time, awaiting: the interface `model` of the other package.
pub(crate) const ASYNC_MODEL: &str = "async model";

/// The worlds of plugins that export something besides.
pub(crate) const FULL_MODEL_WORLD: &str = "full-model-plugin";
pub(crate) const FULL_ASYNC_MODEL_WORLD: &str = "full-async-model-plugin";

/// Asked when models are loaded and unloaded.
pub(crate) const AGENT: &str = "agent";

/// Asked which requests share a batch.
pub(crate) const BATCHING: &str = "batching";

/// Compares a component's imports with the contract: by interface; functions and types are compared by wasmtime.
pub(crate) fn check_imports(origin: &str, component: &Component) -> Result<(), PluginError> {
    let component_type = component.component_type();
    let missing: Vec<String> = component_type
        .imports(component.engine())
        .filter_map(|(name, _)| Some(format!("  {name}: {}", why_missing(name)?)))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(PluginError::Imports { origin: origin.to_owned(), missing })
}

/// Which of the interfaces that the host calls a component exports.
pub(crate) fn exported(origin: &str, component: &Component) -> Result<&'static str, PluginError> {
    let component_type = component.component_type();
    let exports: Vec<&str> = component_type.exports(component.engine()).map(|(name, _)| name).collect();
    let has = |interface: &str| exports.iter().any(|name| is_export(name, interface));
    let found: Vec<&'static str> = EXPORTED.into_iter().filter(|interface| has(interface)).collect();
    let alone = |only: &str| ADDITIONAL.iter().find(|(extra, beside)| has(extra) && !beside.contains(&only));
    match found.as_slice() {
        [only] => match alone(only) {
            None => Ok(only),
            Some((extra, beside)) => Err(PluginError::Exports {
                origin: origin.to_owned(),
                expected: format!("{extra} beside {}", beside.join(" or ")),
                found: exports.join(", "),
                advice: format!("Leave {extra} out, or build it for the world {}", world_with(beside)),
            }),
        },
        [] => Err(PluginError::Exports {
            origin: origin.to_owned(),
            expected: EXPORTED.map(full_name).join(" or "),
            found: if exports.is_empty() { "no exports at all".to_owned() } else { exports.join(", ") },
            advice:
                "Build it for one of the worlds transform-plugin, model-plugin, full-model-plugin, async-model-plugin, \
                     full-async-model-plugin, agent-plugin and batching-plugin, with a Nereid SDK"
                    .to_owned(),
        }),
        _ => Err(PluginError::Exports {
            origin: origin.to_owned(),
            expected: format!("one of {}", EXPORTED.join(" and ")),
            found: exports.join(", "),
            advice: "A component is one plugin: build two".to_owned(),
        }),
    }
}

/// Whether a component exports this interface.
pub(crate) fn exports(component: &Component, interface: &str) -> bool {
    component.component_type().exports(component.engine()).any(|(name, _)| is_export(name, interface))
}

/// Compares what a batching strategy imports with what it is offered: the log, and its language's runtime.
pub(crate) fn check_strategy_imports(origin: &str, component: &Component) -> Result<(), PluginError> {
    let component_type = component.component_type();
    let names = component_type.imports(component.engine()).map(|(name, _)| name);
    let why = "a batching strategy has the log, and reaches nothing else";
    let missing: Vec<String> =
        names.filter(|name| !is_for_strategies(name)).map(|name| format!("  {name}: {why}")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(PluginError::Imports { origin: origin.to_owned(), missing })
}

fn is_for_strategies(import: &str) -> bool {
    let name = import.split_once('@').map_or(import, |(name, _)| name);
    match name.split_once('/') {
        Some((PACKAGE, interface)) => FOR_STRATEGIES.contains(&interface),
        Some((package, _)) => ![HTTP, NN, ASYNC_PACKAGE].contains(&package),
        None => false,
    }
}

/// Whether a component can make requests to other servers.
pub(crate) fn calls_servers(component: &Component) -> bool {
    let component_type = component.component_type();
    component_type
        .imports(component.engine())
        .any(|(name, _)| name.split_once('/').is_some_and(|(package, _)| package == HTTP))
}

/// Why an import cannot be had; `None` when it can.
pub(crate) fn why_missing(import: &str) -> Option<String> {
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    let Some((package, interface)) = name.split_once('/') else {
        return Some(format!("plugins may import interfaces of {PACKAGE} only"));
    };
    if package.starts_with("wasi:") {
        return why_not_wasi(package, interface, version);
    }
    let offered: &[&str] = match package {
        PACKAGE => &OFFERED,
        ASYNC_PACKAGE => &OFFERED_ASYNC,
        _ => return Some(format!("unknown; plugins may import {PACKAGE}/{{{}}}", OFFERED.join(", "))),
    };
    if !offered.contains(&interface) {
        return Some(format!("not part of {package}@{CONTRACT_VERSION}, which offers {}", offered.join(", ")));
    }
    (!is_compatible(version)).then(|| {
        format!("this server offers {package}@{CONTRACT_VERSION}; build the plugin again with an SDK of that version")
    })
}

fn why_not_wasi(package: &str, interface: &str, version: &str) -> Option<String> {
    let offered = WASI.iter().any(|(name, interfaces)| *name == package && interfaces.contains(&interface));
    let is_offered_version = if package == NN { version == NN_VERSION } else { version.starts_with(WASI_VERSION) };
    if offered && is_offered_version {
        return None;
    }
    if package == NN {
        let interfaces = "errors, graph, inference and tensor";
        return Some(format!(
            "of wasi:nn, plugins have {interfaces} in version {NN_VERSION}; build it against that version"
        ));
    }
    let packages: Vec<&str> = WASI.iter().map(|(name, _)| *name).collect();
    Some(format!(
        "of WASI, plugins have {} in version 0.2, with nothing behind sockets; grant http to call other servers",
        packages.join(", ")
    ))
}

pub(crate) fn is_export(export: &str, interface: &str) -> bool {
    let (name, version) = export.split_once('@').unwrap_or((export, ""));
    name.split_once('/') == Some(place(interface)) && is_compatible(version)
}

/// The package and the name in it of an interface that plugins export.
fn place(interface: &str) -> (&'static str, &str) {
    interface.strip_prefix(AWAITS).map_or((PACKAGE, interface), |name| (ASYNC_PACKAGE, name))
}

/// The world that has what may be exported beside these.
fn world_with(beside: &[&str]) -> &'static str {
    if beside.contains(&MODEL) { FULL_MODEL_WORLD } else { FULL_ASYNC_MODEL_WORLD }
}

fn full_name(interface: &str) -> String {
    let (package, name) = place(interface);
    format!("{package}/{name}@{CONTRACT_VERSION}")
}

/// Versions of the same major number up to the server's minor one are compatible: later ones only add.
fn is_compatible(version: &str) -> bool {
    let numbers = |version: &str| {
        let mut parts = version.splitn(3, '.').map(str::parse::<u32>);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    };
    match (numbers(version), numbers(CONTRACT_VERSION)) {
        (Some((major, minor)), Some((own_major, own_minor))) => major == own_major && minor <= own_minor,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_missing_import_has_its_own_advice() {
        for (import, expected) in [
            ("nereid:plugin/tensors@1.0.0", None),
            ("nereid:plugin/tensors@1.0.7", None),
            ("nereid:plugin/tensors@1.1.0", Some("this server offers nereid:plugin@1.0.0")),
            ("nereid:plugin/tensors@0.1.0", Some("this server offers nereid:plugin@1.0.0")),
            ("nereid:plugin/sockets@1.0.0", Some("not part of nereid:plugin@1.0.0")),
            ("nereid:plugin-async/sending@1.0.0", None),
            (
                "nereid:plugin-async/files@1.0.0",
                Some("not part of nereid:plugin-async@1.0.0, which offers inference, sen"),
            ),
            ("nereid:plugin-async/inference@2.0.0", Some("this server offers nereid:plugin-async@1.0.0")),
            ("wasi:cli/environment@0.2.3", None),
            ("wasi:cli/environment@0.3.0", Some("of WASI, plugins have wasi:cli, wasi:clocks,")),
            ("wasi:sockets/tcp@0.2.12", None),
            ("wasi:http/outgoing-handler@0.2.3", None),
            ("wasi:http/incoming-handler@0.2.3", Some("of WASI, plugins have wasi:cli")),
            ("wasi:nn/graph@0.2.0-rc-2024-10-28", None),
            ("wasi:nn/errors@0.2.0-rc-2024-10-28", None),
            (
                "wasi:nn/graph@0.2.0-rc-2024-06-25",
                Some("of wasi:nn, plugins have errors, graph, inference and tensor in version 0.2.0-rc"),
            ),
            ("wasi:nn/training@0.2.0-rc-2024-10-28", Some("of wasi:nn, plugins have errors, graph,")),
            ("acme:things/x@1.0.0", Some("unknown; plugins may import nereid:plugin/{types")),
            ("do-it", Some("plugins may import interfaces of nereid:plugin only")),
        ] {
            let found = why_missing(import);
            assert_eq!(found.is_some(), expected.is_some(), "{import}: {found:?}");
            assert!(found.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{import}");
        }
    }

    #[test]
    fn the_list_is_that_of_the_wit_files() {
        let additional = ADDITIONAL.iter().map(|(interface, _)| interface);
        let of_contract = OFFERED.iter().chain(&EXPORTED).chain(additional).map(|interface| place(interface));
        for (package, name) in of_contract.chain(OFFERED_ASYNC.map(|name| (ASYNC_PACKAGE, name))) {
            let folder = if package == ASYNC_PACKAGE { "wit/async" } else { "wit" };
            let path = format!("{}/../../{folder}/{name}.wit", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(&format!("package {package}@{CONTRACT_VERSION};")), "{path}");
            assert!(text.contains(&format!("interface {name} {{")), "{path}");
        }
    }
}
