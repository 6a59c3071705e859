//! How a case went, for the eye.

use std::{collections::BTreeMap, fmt, time::Duration};

use nereid_client::{tensor_head, tensor_text};
use nereid_inference::InferResponse;

use crate::stage::Answered;

/// Responses of a step that are shown.
const RESPONSES_SHOWN_MAX: usize = 5;

/// One case.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub case: String,
    pub(crate) steps_in_all: usize,
    /// To the first that failed.
    pub steps: Vec<StepVerdict>,
}

/// One request of it.
#[derive(Clone, Debug)]
pub struct StepVerdict {
    pub responses: Vec<Result<InferResponse, String>>,
    /// From the request to the last response.
    pub took: Duration,
    /// How long the guest, or an operation of the host for it, occupied a thread.
    pub cpu_time: Duration,
    /// The most linear memory that its guest had.
    pub memory_bytes: u64,
    /// How often it called each import.
    pub imports: BTreeMap<&'static str, u64>,
    /// What is not as it was expected; empty when the step passed.
    pub problems: Vec<String>,
}

// === impl Verdict ===

impl Verdict {
    /// Whether all was as it was expected.
    pub fn is_pass(&self) -> bool {
        self.steps.iter().all(|step| step.problems.is_empty())
    }

    /// Of all steps together.
    fn figures(&self) -> String {
        let took: Duration = self.steps.iter().map(|step| step.took).sum();
        let cpu_time: Duration = self.steps.iter().map(|step| step.cpu_time).sum();
        let memory_bytes = self.steps.iter().map(|step| step.memory_bytes).max().unwrap_or_default();
        let memory = memory_bytes as f64 / f64::from(1 << 20);
        format!("{}, CPU {}, memory {memory:.1} MiB", milliseconds(took), milliseconds(cpu_time))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_pass() { "PASS" } else { "FAIL" };
        writeln!(f, "{word}  {}  ({})", self.case, self.figures())?;
        for (index, step) in self.steps.iter().enumerate() {
            if self.steps_in_all > 1 {
                writeln!(f, "  step {} of {}", index + 1, self.steps_in_all)?;
            }
            write!(f, "{step}")?;
        }
        Ok(())
    }
}

// === impl StepVerdict ===

impl StepVerdict {
    pub(crate) fn new(answered: Answered, problems: Vec<String>) -> Self {
        let Answered { responses, took, reports } = answered;
        let mut imports = BTreeMap::new();
        for (import, count) in reports.iter().flat_map(|report| &report.imports) {
            *imports.entry(*import).or_default() += count;
        }
        Self {
            responses,
            took,
            cpu_time: reports.iter().map(|report| report.cpu_time).sum(),
            memory_bytes: reports.iter().map(|report| report.memory_bytes).max().unwrap_or_default(),
            imports,
            problems,
        }
    }

    fn write_response(&self, index: usize, response: &InferResponse, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.responses.len() > 1 {
            writeln!(f, "    response {index}")?;
        }
        for output in &response.outputs {
            writeln!(f, "    {}  {}  {}", output.name, tensor_head(&output.tensor), tensor_text(&output.tensor))?;
        }
        response.parameters.iter().try_for_each(|(name, value)| writeln!(f, "    parameter {name}  {value:?}"))
    }
}

impl fmt::Display for StepVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "    {}", problem.trim_end().replace('\n', "\n      "))?;
        }
        // One that was not expected is among the problems.
        let expected_errors = self.responses.iter().filter_map(|response| response.as_ref().err());
        for error in expected_errors.filter(|_| self.problems.is_empty()) {
            writeln!(f, "    error  {}", error.trim_end().replace('\n', "\n      "))?;
        }
        for (index, response) in self.responses.iter().flatten().take(RESPONSES_SHOWN_MAX).enumerate() {
            self.write_response(index, response, f)?;
        }
        if let Some(more) = self.responses.len().checked_sub(RESPONSES_SHOWN_MAX + 1) {
            writeln!(f, "    … {} more responses", more + 1)?;
        }
        if !self.imports.is_empty() {
            let imports: Vec<String> = self.imports.iter().map(|(name, count)| format!("{name} {count}")).collect();
            writeln!(f, "    imports  {}", imports.join(", "))?;
        }
        Ok(())
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use nereid_inference::NamedTensor;
    use nereid_plugin::CallReport;
    use nereid_tensor::Tensor;

    use super::*;

    fn step(responses: Vec<Result<InferResponse, String>>, problems: &[&str]) -> StepVerdict {
        let report = CallReport {
            cpu_time: Duration::from_micros(250),
            memory_bytes: 3 << 19,
            model_calls: 1,
            imports: [("tensors.read", 2), ("inference.infer", 1)].into(),
        };
        let answered =
            Answered { responses, took: Duration::from_micros(1_500), reports: vec![report.clone(), report] };
        StepVerdict::new(answered, problems.iter().map(|problem| (*problem).to_owned()).collect())
    }

    fn response(value: f32) -> Result<InferResponse, String> {
        let tensor = Tensor::from_elements([1], &[value]).unwrap();
        Ok(InferResponse::new(vec![NamedTensor::new("Y", tensor)]))
    }

    #[test]
    fn a_pass_shows_outputs_figures_and_imports() {
        let verdict =
            Verdict { case: "doubles".to_owned(), steps_in_all: 1, steps: vec![step(vec![response(2.0)], &[])] };
        let expected = "\
PASS  doubles  (1.50 ms, CPU 0.50 ms, memory 1.5 MiB)
    Y  FP32 [1]  2
    imports  inference.infer 2, tensors.read 4
";
        assert_eq!(verdict.to_string(), expected);
    }

    #[test]
    fn a_failure_shows_what_differs_and_which_step_it_was() {
        let steps = vec![step(vec![response(2.0)], &[]), step(vec![Err("boom".to_owned())], &["line 1\nline 2"])];
        let verdict = Verdict { case: "x".to_owned(), steps_in_all: 3, steps };
        let text = verdict.to_string();
        assert!(text.starts_with("FAIL  x  (3.00 ms, CPU 1.00 ms, memory 1.5 MiB)\n  step 1 of 3\n"), "{text}");
        assert!(text.contains("  step 2 of 3\n    line 1\n      line 2\n"), "{text}");
    }

    #[test]
    fn an_error_that_was_expected_is_shown_and_one_that_was_not_is_shown_once() {
        let text = step(vec![Err("boom".to_owned())], &[]).to_string();
        assert!(text.starts_with("    error  boom\n"), "{text}");
        let text = step(vec![Err("boom".to_owned())], &["boom"]).to_string();
        assert_eq!(text.matches("boom").count(), 1, "{text}");
    }

    #[test]
    fn of_many_responses_the_first_are_shown() {
        let responses = (0..8).map(|value| response(value as f32)).collect();
        let text = step(responses, &[]).to_string();
        assert!(text.contains("    response 4\n    Y  FP32 [1]  4\n    … 3 more responses\n"), "{text}");
    }
}
