//! Which input of a model a guest's tensor is for.
//!
//! Inputs have names here. Guests of `wasi:nn` write them, or positions in the order of the model's configuration (`"0"`), or, where their
//! host had no use for names, anything: then the order of the list counts. A list that does both is refused, because nobody
//! can say what was meant.

use std::sync::Arc;

use nereid_inference::{InferError, NamedTensor, Signature};

/// The tensors under the model's own names.
///
/// # Errors
/// `InvalidArgument`: a tensor is for no input, or two are for the same.
pub(super) fn assign(signature: &Signature, mut inputs: Vec<NamedTensor>) -> Result<Vec<NamedTensor>, InferError> {
    let is_meant = |name: &str| signature.input(name).is_some() || position(name).is_some();
    let by_order = !inputs.iter().any(|input| is_meant(&input.name));
    let mut taken: Vec<Arc<str>> = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.iter_mut().enumerate() {
        let place = if by_order { Some(index) } else { position(&input.name) };
        let named = signature.input(&input.name);
        let spec = named.or_else(|| signature.inputs.get(place?)).ok_or_else(|| nowhere(signature, &input.name))?;
        if taken.contains(&spec.name) {
            let text = format!("two tensors are given for input '{}' of model '{}'", spec.name, signature.model_name);
            return Err(InferError::invalid_argument(text));
        }
        taken.push(spec.name.clone());
        input.name = spec.name.clone();
    }
    Ok(inputs)
}

fn position(name: &str) -> Option<usize> {
    name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse().ok())?
}

fn nowhere(signature: &Signature, name: &str) -> InferError {
    let inputs: Vec<&str> = signature.inputs.iter().map(|input| &*input.name).collect();
    InferError::invalid_argument(format!(
        "model '{}' has no input '{name}': its inputs are {}, also known by their positions from 0 on",
        signature.model_name,
        inputs.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use nereid_inference::TensorSpec;
    use nereid_tensor::{DataType, Tensor};

    use super::*;

    /// What the tensors called `given` are called by a model of inputs `left`, `right` and `1`.
    fn check(given: &[&str], expected: Result<&[&str], &str>) {
        let spec = |name: &&str| TensorSpec {
            name: (*name).into(),
            data_type: DataType::Uint8,
            dims: vec![1],
            optional: false,
        };
        let inputs = ["left", "right", "1"].iter().map(spec).collect();
        let signature = Signature { model_name: "m".into(), inputs, ..Signature::default() };
        let tensor = |name: &&str| NamedTensor::new(*name, Tensor::from_elements([1], &[0_u8]).unwrap());
        let assigned = assign(&signature, given.iter().map(tensor).collect());
        match (assigned, expected) {
            (Ok(found), Ok(expected)) => {
                assert_eq!(found.iter().map(|input| &*input.name).collect::<Vec<_>>(), expected, "{given:?}");
            }
            (Err(error), Err(expected)) => assert_eq!(error.message(), expected, "{given:?}"),
            (found, _) => panic!("{given:?}: {found:?}"),
        }
    }

    #[test]
    fn names_come_before_positions_and_positions_before_order() {
        check(&["right", "1", "left"], Ok(&["right", "1", "left"]));
        check(&["2", "0"], Ok(&["1", "left"]));
        check(&["a", "b", "c"], Ok(&["left", "right", "1"]));
        check(&[""], Ok(&["left"]));
        check(&[], Ok(&[]));
    }

    #[test]
    fn what_could_be_meant_in_two_ways_is_refused() {
        let none = |name: &str| {
            format!(
                "model 'm' has no input '{name}': its inputs are left, right, 1, also known by their positions from 0 on"
            )
        };
        check(&["left", "b"], Err(&none("b")));
        check(&["0", "3"], Err(&none("3")));
        check(&["a", "b", "c", "d"], Err(&none("d")));
        check(&["left", "99999999999999999999999"], Err(&none("99999999999999999999999")));
        check(&["0", "left"], Err("two tensors are given for input 'left' of model 'm'"));
    }
}
