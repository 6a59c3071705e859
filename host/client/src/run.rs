//! The whole call: connect, ask what the model takes, send, show.

use std::{
    future::Future,
    io::Write,
    num::NonZeroU64,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use crate::{
    arguments::{InputArgument, ShapeArgument},
    connection::{Answer, Connection, InferCall},
    description::Description,
    destination::Destination,
    error::ClientError,
    inputs::{self, InputArguments},
    latencies::Latencies,
    output,
    picture::Scale,
};

/// Most ready models that an error lists.
const MODELS_LISTED_MAX: usize = 20;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Call {
    pub destination: Destination,
    pub model: String,
    pub version: Option<u64>,
    pub inputs: Vec<InputArgument>,
    pub shapes: Vec<ShapeArgument>,
    pub scale: Scale,
    /// Empty for all of them.
    pub outputs: Vec<String>,
    pub classes: Option<u32>,
    pub json: bool,
    pub timeout: Duration,
    /// How often, one after the other; only the last answer is shown.
    pub count: NonZeroU64,
}

/// Makes the call and writes what came of it.
///
/// # Errors
/// Whatever went wrong, in one line.
pub async fn run(call: &Call, output: &mut (dyn Write + Send)) -> Result<(), ClientError> {
    let connection = call.limited(Connection::open(&call.destination, call.timeout)).await?;
    let description = match call.limited(connection.describe(&call.model, call.version)).await {
        Err(ClientError::Refused { message, .. }) => return Err(call.unknown_model(&connection, message).await),
        description => description?,
    };
    description.check_outputs(&call.outputs)?;
    let arguments = InputArguments { inputs: &call.inputs, shapes: &call.shapes, scale: call.scale };
    let inputs = inputs::build(arguments, &description)?;
    let outputs = call.wanted_outputs(&description);
    let infer_call = InferCall {
        model: &call.model,
        version: call.version,
        inputs: &inputs,
        outputs: &outputs,
        classes: call.classes,
    };
    match call.count.get() {
        1 => once(call, &connection, &infer_call, &description, output).await,
        _ => repeated(call, &connection, &infer_call, &description, output).await,
    }
}

/// Shows every answer when it comes.
async fn once(
    call: &Call,
    connection: &Connection,
    infer_call: &InferCall<'_>,
    description: &Description,
    output: &mut (dyn Write + Send),
) -> Result<(), ClientError> {
    let started = Instant::now();
    let mut each = |answer: Answer| call.show(&answer, started.elapsed(), output);
    call.limited(connection.infer(infer_call, description, &mut each)).await
}

/// Shows the last answer and how long all of them took.
async fn repeated(
    call: &Call,
    connection: &Connection,
    infer_call: &InferCall<'_>,
    description: &Description,
    output: &mut (dyn Write + Send),
) -> Result<(), ClientError> {
    let mut durations = Vec::new();
    let mut last = None;
    for _ in 0..call.count.get() {
        let started = Instant::now();
        let mut each = |answer: Answer| {
            last = Some((answer, started.elapsed()));
            Ok(())
        };
        call.limited(connection.infer(infer_call, description, &mut each)).await?;
        durations.push(started.elapsed());
    }
    if let Some((answer, took)) = last {
        call.show(&answer, took, output)?;
    }
    let latencies = Latencies::new(durations);
    // Programs read the answers; people read how long they took.
    if call.json {
        eprintln!("{latencies}")
    } else {
        writeln!(output, "{latencies}")?
    }
    Ok(())
}

// === impl Call ===

impl Call {
    async fn limited<T>(&self, work: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
        let late = |_| ClientError::Timeout { endpoint: self.destination.endpoint.clone(), timeout: self.timeout };
        timeout(self.timeout, work).await.map_err(late)?
    }

    async fn unknown_model(&self, connection: &Connection, message: String) -> ClientError {
        let ready = match self.limited(connection.ready_models()).await {
            Ok(names) if names.is_empty() => "no model is ready there".to_owned(),
            Ok(names) => {
                let more = names.len().saturating_sub(MODELS_LISTED_MAX);
                let listed: Vec<String> = names.into_iter().take(MODELS_LISTED_MAX).collect();
                let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("ready are {}{and_more}", listed.join(", "))
            }
            Err(error) => format!("which models are ready is not known: {error}"),
        };
        ClientError::UnknownModel {
            model: self.model.clone(),
            endpoint: self.destination.endpoint.clone(),
            message,
            ready,
        }
    }

    /// Classes are asked for output by output.
    fn wanted_outputs(&self, description: &Description) -> Vec<String> {
        if self.outputs.is_empty() && self.classes.is_some() {
            return description.outputs.iter().map(|output| output.name.clone()).collect();
        }
        self.outputs.clone()
    }

    fn show(&self, answer: &Answer, took: Duration, output: &mut dyn Write) -> Result<(), ClientError> {
        match self.json {
            true => output::write_json(answer, took, output)?,
            false => output::write_text(answer, took, self.classes.is_some(), output)?,
        }
        Ok(())
    }
}
