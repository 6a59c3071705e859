//! `nereid check`: what is wrong with a repository, without serving it.
//!
//! Reads, completes and validates every configuration as a start would, and loads no model. Findings stand first and
//! the table of models last, so that the end of a long output says how it went.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use nereid_backend_python::PythonLimits;
use nereid_backend_wasm::PluginPorts;
use nereid_gpu::{GpuSettings, Gpus};
use nereid_inference::{NAMESPACE_SEPARATOR, ServiceHandle};
use nereid_pipeline::{GpuRules, InstanceRules, Loader, LoaderSettings, PipelineLimits};
use nereid_repository::{ControlMode, Finding, RepositoryLimits, RepositorySettings, Severity};
use nereid_telemetry::{MetricsSettings, Telemetry};
use tokio::runtime::Runtime;

use crate::{
    arguments::CheckArguments,
    backends::{Backends, backends},
    error::ServerError,
    operator_file::OperatorFile,
    table::Table,
};

/// Checks the repositories and prints the outcome; exit code 1 when a model would not load.
///
/// # Errors
/// A repository cannot be read.
pub(crate) fn check(arguments: &CheckArguments) -> Result<ExitCode, ServerError> {
    let mut models = BTreeSet::new();
    for directory in &arguments.directories {
        let names = model_names(directory)?.into_iter();
        let namespace = arguments.model_namespacing.then(|| format!("{}{NAMESPACE_SEPARATOR}", directory.display()));
        models.extend(names.map(|name| format!("{}{name}", namespace.as_deref().unwrap_or_default())));
    }
    let runtime = Runtime::new().map_err(ServerError::Runtime)?;
    let operator = OperatorFile::load(arguments.backends.server_config.as_deref())?;
    let telemetry = Telemetry::new(MetricsSettings::default());
    let gpus = Gpus::discover(&GpuSettings::default());
    let limits = (operator.plugins.into(), PythonLimits::default(), &gpus);
    let Backends { list: backends, agents, strategies } =
        backends(&arguments.backends, PluginPorts::default(), limits, &telemetry)?;
    let loader = Loader::new(LoaderSettings {
        backends,
        telemetry,
        service: ServiceHandle::default(),
        rules: InstanceRules { gpus: GpuRules { gpus, ..GpuRules::default() }, ..InstanceRules::default() },
        runtime: runtime.handle().clone(),
        limits: PipelineLimits::default(),
        cache: None,
        memory: None,
        huge_pages: None,
        agents: Some(agents),
        strategies: Some(strategies),
    });
    let findings = nereid_repository::check(&settings(arguments), &*loader)?;

    let has_errors = findings.iter().any(|finding| finding.severity == Severity::Error);
    // A reader that closes the pipe early, `head` for example, has read enough.
    let _ = io::stdout().write_all(report(&models, &findings).as_bytes());
    Ok(if has_errors { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn settings(arguments: &CheckArguments) -> RepositorySettings {
    RepositorySettings {
        paths: arguments.directories.clone(),
        has_namespaces: arguments.model_namespacing,
        control_mode: ControlMode::None,
        load_models: Vec::new(),
        auto_complete: !arguments.disable_auto_complete_config,
        strict_readiness: true,
        load_thread_count: 1,
        load_retry_count: 0,
        config_name: None,
        limits: RepositoryLimits::default(),
    }
}

/// What the repository takes for models: every directory that is not hidden.
fn model_names(directory: &Path) -> Result<BTreeSet<String>, ServerError> {
    let listed = || {
        let mut names = BTreeSet::new();
        for entry in directory.read_dir()? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() && !name.starts_with('.') {
                names.insert(name);
            }
        }
        Ok(names)
    };
    listed().map_err(|error: io::Error| ServerError::repository(directory, &error))
}

/// The findings, then the table of all models.
fn report(models: &BTreeSet<String>, findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        text.push_str(&paragraph(finding));
    }
    let mut table = Table::new(["Model", "Status"]);
    let mut by_model: BTreeMap<&str, Vec<&Finding>> = models.iter().map(|name| (name.as_str(), Vec::new())).collect();
    for finding in findings {
        by_model.entry(&finding.model).or_default().push(finding);
    }
    for (model, findings) in by_model {
        table.push([model.to_owned(), status(&findings)]);
    }
    // Writing to a string does not fail.
    let _ = write!(text, "{table}");
    text
}

/// One finding with a line in front that says whose it is; the file is named unless the text begins with it.
fn paragraph(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let file = finding.file.display().to_string();
    let place = if finding.text.contains(&file) { String::new() } else { format!(" ({file})") };
    format!("{severity}: model '{}'{place}: {}\n\n", finding.model, finding.text.trim_end())
}

fn status(findings: &[&Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => "OK".to_owned(),
        (0, warnings) => format!("OK, {}", counted(warnings, "warning")),
        (errors, _) => counted(errors, "error"),
    }
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(model: &str, severity: Severity, text: &str) -> Finding {
        Finding {
            model: model.to_owned(),
            severity,
            file: format!("r/{model}/config.pbtxt").into(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn findings_come_first_and_every_model_has_a_line() {
        let models = ["good", "odd", "bad"].map(str::to_owned).into();
        let findings = [
            finding("bad", Severity::Error, "r/bad/config.pbtxt:1:7: expected a number\n  dims: [ a ]\n          ^\n"),
            finding("odd", Severity::Warning, "version directory '01' is ignored"),
        ];
        let expected = "\
error: model 'bad': r/bad/config.pbtxt:1:7: expected a number
  dims: [ a ]
          ^

warning: model 'odd' (r/odd/config.pbtxt): version directory '01' is ignored

+-------+---------------+
| Model | Status        |
+-------+---------------+
| bad   | 1 error       |
| good  | OK            |
| odd   | OK, 1 warning |
+-------+---------------+
";
        assert_eq!(report(&models, &findings), expected);
    }
}
