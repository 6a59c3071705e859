//! Repository agents that are components: `FOLDER/NAME/agent.wasm`, with a `plugin.toml` beside it like any plugin's.
//!
//! Promises: an agent sees the model's directory and writes into a folder of its own, which is removed when the model is gone, and what a
//! killed server left with the next load; one
//! that was told of a load that began is told how it ended. Every question compiles nothing anew, and costs a guest.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    thread,
};

use nereid_inference::{
    AgentedLoad, AgentedModel, InferError, LoadClock, ModelConfig, ModelIdentity, ModelSource, RepositoryAgents,
    Signature,
};
use nereid_plugin::{
    AgentAction, AgentPlace, AgentTask, CompiledPlugin, FolderGrant, Grants, LifeSettings, Plugin, PluginKind,
    PluginLimits, PluginSpec, ask_agent,
};
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::{backend::WasmBackend, scratch::Scratch};

/// An agent's component in its folder.
const AGENT_FILE: &str = "agent.wasm";

/// Where an agent sees the model, and where it writes what is to be loaded instead.
const MODEL_PATH: &str = "/model";
const OUT_PATH: &str = "/out";

/// Folders of a model that are made for an agent to write into.
const FOLDERS_MAX: usize = 10_000;

/// The agents of a server.
pub struct WasmAgents {
    backend: Arc<WasmBackend>,
    folder: Option<PathBuf>,
    /// Where agents write; it is there while something is in it.
    scratch: Mutex<Weak<Scratch>>,
}

/// What one load keeps: who is to be told, and what was made.
struct Load {
    agents: Vec<Agent>,
    model: AgentedModel,
    directory: PathBuf,
    /// Removed with it.
    made: Vec<Made>,
    stage: Mutex<Stage>,
}

/// A folder that an agent wrote into, before what it lies in.
struct Made {
    _folder: TempDir,
    _scratch: Arc<Scratch>,
}

/// What the agents know of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Asked,
    Served,
    /// It failed, or is gone.
    Over,
}

/// An agent that was asked.
#[derive(Clone)]
struct Agent {
    backend: Arc<WasmBackend>,
    name: String,
    compiled: CompiledPlugin,
    limits: PluginLimits,
    grants: Grants,
    parameters: BTreeMap<String, String>,
}

// === impl WasmAgents ===

impl WasmAgents {
    /// Agents in this folder, with the limits, grants and engine of the backend's plugins; without a folder there are none.
    pub fn new(backend: Arc<WasmBackend>, folder: Option<PathBuf>) -> Self {
        Self { backend, folder, scratch: Mutex::default() }
    }

    fn scratch(&self) -> Result<Arc<Scratch>, InferError> {
        let mut scratch = self.scratch.lock();
        if let Some(scratch) = scratch.upgrade() {
            return Ok(scratch);
        }
        let parent = std::env::temp_dir();
        let made = Scratch::make(&parent).map(Arc::new).map_err(|error| {
            let text = format!("agents have no folder to write to in '{}': {error}", parent.display());
            InferError::internal(text).with_source(error)
        })?;
        *scratch = Arc::downgrade(&made);
        Ok(made)
    }

    fn find(&self, name: &str, parameters: BTreeMap<String, String>) -> Result<Agent, InferError> {
        let missing =
            |text: String| InferError::invalid_argument(format!("there is no repository agent '{name}': {text}"));
        let folder = self.folder.as_ref().ok_or_else(|| {
            missing(
                "start the server with --repoagent-directory=FOLDER, in which NAME/agent.wasm is an agent".to_owned(),
            )
        })?;
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err(missing("this is no name of a folder".to_owned()));
        }
        let directory = folder.join(name);
        let path = directory.join(AGENT_FILE);
        if !path.is_file() {
            return Err(missing(format!("'{}' is no file", path.display())));
        }
        let compiled = self.backend.compile_file(&path)?;
        if compiled.kind() != PluginKind::Agent {
            let world = compiled.kind().world();
            return Err(missing(format!("'{}' is built for the world {world}, not for agent-plugin", path.display())));
        }
        let source = ModelSource {
            identity: ModelIdentity::new(Arc::<str>::from(name), 0),
            model_directory: directory.clone(),
            version_directory: directory,
            config: ModelConfig { name: name.to_owned(), ..ModelConfig::default() },
            clock: LoadClock::default(),
        };
        let (limits, grants) = self.backend.settle(&source)?;
        Ok(Agent { backend: self.backend.clone(), name: name.to_owned(), compiled, limits, grants, parameters })
    }
}

impl RepositoryAgents for WasmAgents {
    fn begin(&self, model: AgentedModel) -> Result<Arc<dyn AgentedLoad>, InferError> {
        let agents: Result<Vec<Agent>, InferError> =
            model.agents.iter().map(|agent| self.find(&agent.name, agent.parameters.clone())).collect();
        let directory = model.directory.clone();
        let mut load = Load { agents: Vec::new(), model, directory, made: Vec::new(), stage: Mutex::new(Stage::Asked) };
        let (agents, scratch) = (agents?, self.scratch()?);
        for agent in agents {
            if let Err(error) = load.ask(agent, &scratch) {
                load.failed();
                return Err(error);
            }
        }
        Ok(Arc::new(load))
    }
}

// === impl Load ===

impl Load {
    /// Asks one more agent.
    fn ask(&mut self, agent: Agent, scratch: &Arc<Scratch>) -> Result<(), InferError> {
        let refused = |error: InferError| error.prefixed(&format!("repository agent '{}': ", agent.name));
        let out = self
            .out(scratch)
            .map_err(|error| refused(InferError::internal(format!("no folder to write to: {error}"))))?;
        let mut folders = vec![self.model_folder().map_err(refused)?];
        folders.push(open(OUT_PATH, out.path(), true).map_err(refused)?);
        let place = agent.act(AgentAction::Load, &self.model, folders);
        let name = agent.name.clone();
        self.agents.push(agent);
        let place = place.map_err(|error| error.prefixed(&format!("repository agent '{name}': ")))?;
        if place == AgentPlace::Replaced {
            out.path().clone_into(&mut self.directory);
            self.made.push(Made { _folder: out, _scratch: scratch.clone() });
        }
        Ok(())
    }

    /// An empty folder with the folders that the model has, because not every language can make some.
    fn out(&self, scratch: &Scratch) -> io::Result<TempDir> {
        let out = scratch.folder()?;
        let mut left = vec![PathBuf::new()];
        let mut count = 0;
        while let Some(inside) = left.pop() {
            for entry in fs::read_dir(self.directory.join(&inside))? {
                let entry = entry?;
                count += 1;
                if entry.file_type()?.is_dir() && count <= FOLDERS_MAX {
                    let inside = inside.join(entry.file_name());
                    fs::create_dir(out.path().join(&inside))?;
                    left.push(inside);
                }
            }
        }
        Ok(out)
    }

    fn model_folder(&self) -> Result<FolderGrant, InferError> {
        open(MODEL_PATH, &self.directory, false)
    }

    /// Tells everybody who was asked, last one first. What they say against it is a line of the log.
    fn tell(&self, action: AgentAction) {
        for agent in self.agents.iter().rev() {
            let told = self.model_folder().and_then(|folder| agent.act(action, &self.model, vec![folder]));
            if let Err(error) = told {
                tracing::warn!(
                    "repository agent '{}' of model '{}' ({action:?}): {error}",
                    agent.name,
                    self.model.name
                );
            }
        }
    }
}

impl AgentedLoad for Load {
    fn directory(&self) -> &Path {
        &self.directory
    }

    fn completed(&self) {
        *self.stage.lock() = Stage::Served;
        self.tell(AgentAction::LoadComplete);
    }

    fn failed(&self) {
        *self.stage.lock() = Stage::Over;
        self.tell(AgentAction::LoadFail);
    }
}

/// What agents made is removed at once, and then they are told, on a thread of its own: who lets go of a model may hold a lock, and
/// a guest takes its time.
impl Drop for Load {
    fn drop(&mut self) {
        self.made.clear();
        let action = match *self.stage.lock() {
            Stage::Asked => AgentAction::LoadFail,
            Stage::Served => AgentAction::Unload,
            Stage::Over => return,
        };
        let gone = Self {
            agents: std::mem::take(&mut self.agents),
            model: self.model.clone(),
            directory: self.model.directory.clone(),
            made: Vec::new(),
            stage: Mutex::new(Stage::Over),
        };
        let told = thread::Builder::new().name("agents".to_owned()).spawn(move || gone.tell(action));
        if let Err(error) = told {
            tracing::warn!("the agents of model '{}' are not told what became of it: {error}", self.model.name);
        }
    }
}

impl std::fmt::Debug for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.agents.iter().map(|agent| agent.name.as_str()).collect();
        write!(f, "Load({} by {}, from {})", self.model.name, names.join(", "), self.directory.display())
    }
}

// === impl Agent ===

impl Agent {
    fn act(
        &self,
        action: AgentAction,
        model: &AgentedModel,
        folders: Vec<FolderGrant>,
    ) -> Result<AgentPlace, InferError> {
        let mut grants = self.grants.clone();
        grants.folders.extend(folders);
        // No model is called so: what it counts and keeps is its own.
        let name: Arc<str> = format!("agent:{}", self.name).into();
        let settings = &self.backend.settings;
        let spec = PluginSpec {
            plugin: AGENT_FILE.to_owned(),
            model: ModelIdentity::new(name.clone(), 0),
            signature: Signature {
                model_name: name.clone(),
                inputs: Vec::new(),
                outputs: Vec::new(),
                max_batch_size: 0,
            },
            decoupled: false,
            parameters: self.parameters.clone(),
            limits: self.limits.clone(),
            grants,
            service: self.backend.ports.service.clone(),
            control: self.backend.ports.control.clone(),
            state: self.backend.state_of(&name),
            meters: settings.metrics.of_model(&name),
            usage: settings.usage.of_model(&name),
            listener: None,
            fresh_guest_per_call: true,
            life: LifeSettings::default(),
        };
        let plugin = Plugin::new(self.backend.engine()?, self.compiled.clone(), spec);
        let task = AgentTask { action, model: &model.name, config: &model.config, parameters: &self.parameters };
        ask_agent(&plugin, &task)
    }
}

fn open(guest_path: &str, host_path: &Path, is_writable: bool) -> Result<FolderGrant, InferError> {
    let failed = |error: io::Error| {
        InferError::internal(format!("the folder '{}' cannot be opened: {error}", host_path.display()))
            .with_source(error)
    };
    FolderGrant::open(guest_path.to_owned(), host_path.to_owned(), is_writable).map_err(failed)
}
