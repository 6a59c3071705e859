//! What lies in the folder of compiled plugins and was not compiled by this server, or not for it, is never executed: whoever planted
//! it, and even where they have the key.
//!
//! Every planted file is code that traps, under the name of a component that gives its input back: an answer shows that the
//! component was compiled anew.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use nereid_plugin::{Plugin, PluginEngine, SandboxPool};
use support::{IDENTITY, component, request, spec, values};
use tempfile::TempDir;
use wasmtime::{Config, Engine, ModuleVersionStrategy, OptLevel};

/// What every file begins with; a copy, so that another layout is noticed here.
const MAGIC: &[u8; 16] = b"nereid cwasm  2\n";

/// A server's folder with the one file that it has compiled, and that file.
struct Served {
    directory: TempDir,
    artefact: PathBuf,
    sound: Vec<u8>,
}

fn good() -> Vec<u8> {
    component(&[], IDENTITY)
}

fn evil() -> Vec<u8> {
    component(&[], "unreachable")
}

/// Starts a server over this folder, which serves the component; what it answers.
async fn serve(cache: &Path, bytes: &[u8]) -> Result<Vec<f32>, String> {
    let engine = PluginEngine::start(Some(cache.to_owned())).unwrap();
    let compiled = engine.compile("model.wasm", bytes).unwrap();
    let pool = SandboxPool::start(Plugin::new(&engine, compiled, spec()), "m_0_0").unwrap();
    let answer = pool.run(&request(&[3.0]), || false).await;
    answer.map(|answer| values(&answer)).map_err(|error| error.message().to_owned())
}

fn only_artefact(cache: &Path) -> PathBuf {
    let [artefact] =
        fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>().try_into().unwrap();
    artefact
}

/// What an engine makes of a component that is like a server's but for this change.
fn artefact_of(change: impl FnOnce(&mut Config), component: &[u8]) -> Vec<u8> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.cranelift_opt_level(OptLevel::Speed);
    config.memory_init_cow(true);
    config.wasm_relaxed_simd(false);
    change(&mut config);
    Engine::new(&config).unwrap().precompile_component(component).unwrap()
}

// === impl Served ===

impl Served {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cache = directory.path().join("cache");
        assert_eq!(serve(&cache, &good()).await, Ok(vec![3.0]));
        let artefact = only_artefact(&cache);
        let sound = fs::read(&artefact).unwrap();
        Self { directory, artefact, sound }
    }

    fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    /// What somebody who has the server's key would write under the component's name.
    fn sealed(&self, artefact: &[u8]) -> Vec<u8> {
        let key: [u8; 32] = fs::read(self.directory.path().join("cache.key")).unwrap().try_into().unwrap();
        let name = self.artefact.file_stem().unwrap().to_str().unwrap();
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(artefact);
        [MAGIC, hasher.finalize().as_bytes().as_slice(), artefact].concat()
    }

    /// Plants a file; the next server must not execute it, and must put its own in its place.
    async fn check_refused(&self, planted: &[u8], what: &str) {
        fs::write(&self.artefact, planted).unwrap();
        assert_eq!(serve(&self.cache(), &good()).await, Ok(vec![3.0]), "{what}");
        let found = fs::read(&self.artefact).unwrap();
        assert!(found != planted && found.starts_with(MAGIC), "{what}: it still lies there");
    }
}

#[tokio::test]
async fn what_another_server_compiled_is_not_executed() {
    let served = Served::new().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let theirs = elsewhere.path().join("cache");
    assert!(serve(&theirs, &evil()).await.unwrap_err().contains("trapped"));
    let planted = fs::read(only_artefact(&theirs)).unwrap();
    served.check_refused(&planted, "sealed with another key").await;
    // The same without their key: what is below their seal under a seal of nobody's.
    let code = &planted[MAGIC.len() + blake3::OUT_LEN..];
    served.check_refused(code, "without a seal").await;
    let seal = blake3::hash(code);
    served.check_refused(&[MAGIC, seal.as_bytes().as_slice(), code].concat(), "sealed without a key").await;
}

#[tokio::test]
async fn what_this_server_compiled_is_executed_under_its_own_name_alone() {
    let served = Served::new().await;
    assert!(serve(&served.cache(), &evil()).await.unwrap_err().contains("trapped"));
    let mut files = fs::read_dir(served.cache()).unwrap().map(|entry| entry.unwrap().path());
    let other = files.find(|path| *path != served.artefact).unwrap();
    served.check_refused(&fs::read(other).unwrap(), "of another component").await;
}

/// The key is no use for code that the engine would not have made: wasmtime looks by itself.
#[tokio::test]
async fn code_of_another_configuration_or_version_is_not_executed_under_the_right_seal() {
    let served = Served::new().await;
    let not_stopped = artefact_of(|config| _ = config.epoch_interruption(false), &evil());
    served.check_refused(&served.sealed(&not_stopped), "code that no deadline ends").await;
    let other = ModuleVersionStrategy::Custom("47".to_owned());
    let older = artefact_of(|config| _ = config.module_version(other).unwrap(), &evil());
    served.check_refused(&served.sealed(&older), "of another version").await;
    let unlike = artefact_of(|config| _ = config.wasm_relaxed_simd(true), &evil());
    served.check_refused(&served.sealed(&unlike), "of other features").await;
    served.check_refused(&served.sealed(b"no code at all"), "no code").await;
    served.check_refused(&served.sealed(&good()), "a component that is not compiled").await;
    // What is under test is the engine, and not the seal: with it, the file as it was counts.
    fs::write(&served.artefact, served.sealed(&served.sound[MAGIC.len() + blake3::OUT_LEN..])).unwrap();
    assert_eq!(serve(&served.cache(), &good()).await, Ok(vec![3.0]));
    assert_eq!(fs::read(&served.artefact).unwrap(), served.sound);
}

#[tokio::test]
async fn a_link_and_a_file_that_others_may_write_are_not_followed() {
    let served = Served::new().await;
    fs::set_permissions(&served.artefact, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(serve(&served.cache(), &good()).await, Ok(vec![3.0]));
    assert_eq!(fs::metadata(&served.artefact).unwrap().permissions().mode() & 0o777, 0o600);
    let outside = served.directory.path().join("outside.cwasm");
    fs::rename(&served.artefact, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &served.artefact).unwrap();
    assert_eq!(serve(&served.cache(), &good()).await, Ok(vec![3.0]));
    assert!(fs::symlink_metadata(&served.artefact).unwrap().is_file(), "its own file is in the link's place");
}
