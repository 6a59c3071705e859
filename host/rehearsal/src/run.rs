//! One case on the stage: its requests one after the other, each answer compared with what was expected.

use nereid_inference::InferResponse;

use crate::{
    case::{Case, Expected},
    compare,
    stage::{Answered, Stage},
    verdict::{StepVerdict, Verdict},
};

/// Plays the case to its first step that fails.
pub async fn run(stage: &mut Stage, case: &Case) -> Verdict {
    stage.play(case);
    let mut steps = Vec::new();
    for step in &case.steps {
        let answered = stage.answer(step.request.clone()).await;
        let problems = problems(&step.expected, &answered, case.tolerance);
        let failed = !problems.is_empty();
        steps.push(StepVerdict::new(answered, problems));
        if failed {
            break;
        }
    }
    Verdict { case: case.name.clone(), steps_in_all: case.steps.len(), steps }
}

fn problems(expected: &Expected, answered: &Answered, tolerance: f64) -> Vec<String> {
    let error = answered.responses.iter().find_map(|response| response.as_ref().err());
    match (expected, error) {
        (Expected::Error(part), Some(error)) if error.contains(part) => vec![],
        (Expected::Error(part), Some(error)) => vec![format!("expected an error with '{part}', found: {error}")],
        (Expected::Error(part), None) => {
            let count = answered.responses.len();
            vec![format!("expected an error with '{part}', found {}", counted(count))]
        }
        (_, Some(error)) => vec![error.clone()],
        (Expected::Success, None) => vec![],
        (Expected::Responses(expected), None) => {
            let found: Vec<&InferResponse> = answered.responses.iter().flatten().collect();
            compared(expected, &found, tolerance)
        }
    }
}

fn compared(expected: &[InferResponse], found: &[&InferResponse], tolerance: f64) -> Vec<String> {
    if expected.len() != found.len() {
        return vec![format!("expected {}, found {}", counted(expected.len()), counted(found.len()))];
    }
    let several = expected.len() > 1;
    let of_one = |(index, (expected, found)): (usize, (&InferResponse, &&InferResponse))| {
        let place = if several { format!("response {index}: ") } else { String::new() };
        let lines = compare::responses(expected, found, tolerance).into_iter();
        lines.map(move |line| format!("{place}{line}")).collect::<Vec<_>>()
    };
    expected.iter().zip(found).enumerate().flat_map(of_one).collect()
}

fn counted(responses: usize) -> String {
    if responses == 1 { "1 response".to_owned() } else { format!("{responses} responses") }
}
