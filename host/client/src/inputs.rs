//! From `-i` arguments to tensors that fit the model.

use nereid_inference::NamedTensor;
use nereid_tensor::{Shape, Tensor};

use crate::{
    arguments::{InputArgument, InputSource, ShapeArgument},
    description::{Description, TensorDescription},
    error::ClientError,
    files, literal,
    picture::Scale,
    shapes::{Given, fit},
};

/// What the user said about inputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InputArguments<'a> {
    pub(crate) inputs: &'a [InputArgument],
    pub(crate) shapes: &'a [ShapeArgument],
    pub(crate) scale: Scale,
}

/// One tensor per input; an input that is given several times has its values one after the other in one batch.
///
/// # Errors
/// An input that the model does not have, one that it needs and was not given, or a value that does not fit.
pub(crate) fn build(arguments: InputArguments<'_>, model: &Description) -> Result<Vec<NamedTensor>, ClientError> {
    for name in arguments.inputs.iter().map(|input| &input.name).chain(arguments.shapes.iter().map(|shape| &shape.name))
    {
        model.input(name)?;
    }
    let mut tensors = Vec::new();
    for input in &model.inputs {
        let given: Vec<&InputArgument> = arguments.inputs.iter().filter(|given| given.name == input.name).collect();
        if given.is_empty() {
            if input.is_optional {
                continue;
            }
            let needed = input.to_text();
            let text = format!("model '{}' needs the input {needed} too: add -i {}=…", model.name, input.name);
            return Err(ClientError::Arguments(text));
        }
        let parts: Result<Vec<Tensor>, ClientError> =
            given.into_iter().map(|given| tensor(given, arguments, input, model.has_batching)).collect();
        tensors.push(NamedTensor::new(input.name.as_str(), join(parts?, input, model)?));
    }
    Ok(tensors)
}

fn tensor(
    given: &InputArgument,
    arguments: InputArguments<'_>,
    input: &TensorDescription,
    has_batching: bool,
) -> Result<Tensor, ClientError> {
    let refused = |problem: String| ClientError::input(&input.name, problem);
    let mut elements = match &given.source {
        InputSource::File(path) => files::read(path, input, has_batching, arguments.scale)?,
        InputSource::Literal(text) => {
            literal::parse(text, input.data_type, fixed_elements(input, has_batching)).map_err(refused)?
        }
    };
    if let Some(shape) = arguments.shapes.iter().rfind(|shape| shape.name == input.name) {
        elements.given = Given::Shaped(shape.dims.clone());
    }
    let shape = fit(&elements.given, input, has_batching).map_err(refused)?;
    Tensor::new(input.data_type, shape, elements.bytes.into()).map_err(|error| refused(error.to_string()))
}

/// How many elements one request has, where the model says.
fn fixed_elements(input: &TensorDescription, has_batching: bool) -> Option<u64> {
    let inner = input.dims.iter().skip(usize::from(has_batching));
    inner.map(|dim| u64::try_from(*dim).ok()).try_fold(1_u64, |product, dim| product.checked_mul(dim?))
}

/// Tensors of equal inner shape along the batch dimension.
fn join(mut parts: Vec<Tensor>, input: &TensorDescription, model: &Description) -> Result<Tensor, ClientError> {
    let first = match parts.len() {
        1 => return parts.pop().ok_or_else(|| ClientError::input(&input.name, "has no value")),
        _ if !model.has_batching => {
            let text = format!("was given more than once, and model '{}' takes no batches", model.name);
            return Err(ClientError::input(&input.name, text));
        }
        _ => parts.first().map(|first| first.shape().clone()).unwrap_or_default(),
    };
    if let Some(other) = parts.iter().find(|part| part.shape().inner() != first.inner()) {
        let text = format!(
            "its values cannot be one batch: shapes {first} and {} differ behind the first dimension",
            other.shape()
        );
        return Err(ClientError::input(&input.name, text));
    }
    let rows = parts.iter().filter_map(|part| part.shape().first()).sum();
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.buffer().as_slice()).copied().collect();
    let shape: Shape = first.with_outermost(rows);
    Tensor::new(input.data_type, shape, bytes.into())
        .map_err(|error| ClientError::input(&input.name, error.to_string()))
}

#[cfg(test)]
mod tests {
    use nereid_tensor::DataType;

    use super::*;

    fn model(has_batching: bool, inputs: &[(&str, DataType, &[i64])]) -> Description {
        let inputs = inputs.iter().map(|(name, data_type, dims)| TensorDescription {
            name: (*name).to_owned(),
            data_type: *data_type,
            dims: dims.to_vec(),
            layout: None,
            is_optional: false,
        });
        let inputs = inputs.collect();
        Description { name: "m".to_owned(), inputs, outputs: vec![], has_batching, is_decoupled: false }
    }

    fn build_from(model: &Description, inputs: &[&str], shapes: &[&str]) -> Result<Vec<NamedTensor>, String> {
        let inputs: Vec<InputArgument> = inputs.iter().map(|text| text.parse().unwrap()).collect();
        let shapes: Vec<ShapeArgument> = shapes.iter().map(|text| text.parse().unwrap()).collect();
        let arguments = InputArguments { inputs: &inputs, shapes: &shapes, scale: Scale::None };
        build(arguments, model).map_err(|error| error.to_string())
    }

    /// Asserts shape and bytes of the first tensor.
    #[track_caller]
    fn check(model: &Description, inputs: &[&str], shapes: &[&str], shape: &[u64], bytes: &[u8]) {
        let tensors = build_from(model, inputs, shapes).unwrap();
        assert_eq!(tensors[0].tensor.shape(), &Shape::new(shape));
        assert_eq!(tensors[0].tensor.buffer().as_slice(), bytes);
    }

    #[track_caller]
    fn check_refused(model: &Description, inputs: &[&str], expected: &str) {
        assert_eq!(build_from(model, inputs, &[]).unwrap_err(), expected);
    }

    #[test]
    fn values_take_the_model_s_type_and_shape() {
        check(&model(false, &[("X", DataType::Uint8, &[-1])]), &["X=1,2,3"], &[], &[3], &[1, 2, 3]);
        check(&model(false, &[("X", DataType::Uint8, &[-1, -1])]), &["X=1,2"], &["X=2,1"], &[2, 1], &[1, 2]);
        check(&model(true, &[("T", DataType::Bytes, &[-1, 1])]), &["T=hi"], &[], &[1, 1], b"\x02\0\0\0hi");
    }

    #[test]
    fn an_input_given_twice_is_a_batch_of_two() {
        check(
            &model(true, &[("X", DataType::Uint8, &[-1, 2])]),
            &["X=1,2", "X=[[3,4],[5,6]]"],
            &[],
            &[3, 2],
            &[1, 2, 3, 4, 5, 6],
        );
        let once = "input 'X': was given more than once, and model 'm' takes no batches";
        check_refused(&model(false, &[("X", DataType::Uint8, &[1])]), &["X=1", "X=2"], once);
        let differ =
            "input 'X': its values cannot be one batch: shapes [1,1] and [1,2] differ behind the first dimension";
        check_refused(&model(true, &[("X", DataType::Uint8, &[-1, -1])]), &["X=1", "X=1,2"], differ);
    }

    #[test]
    fn what_is_missing_or_unknown_is_named_with_what_there_is() {
        let two = model(false, &[("X", DataType::Uint8, &[1]), ("Y", DataType::Fp32, &[2])]);
        check_refused(&two, &["X=1"], "model 'm' needs the input 'Y' FP32 [2] too: add -i Y=…");
        check_refused(&two, &["Z=1"], "input 'Z': model 'm' has no such input; it has 'X' UINT8 [1], 'Y' FP32 [2]");
        check_refused(&two, &["X=1,2", "Y=1,2"], "input 'X': expected 1 elements for shape [1], found 2");
    }

    #[test]
    fn files_are_texts_or_raw_elements() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.bin");
        std::fs::write(&path, [1, 0, 2]).unwrap();
        let argument = format!("X=@{}", path.display());
        check(&model(false, &[("X", DataType::Bytes, &[1])]), &[&argument], &[], &[1], &[3, 0, 0, 0, 1, 0, 2]);
        check(&model(false, &[("X", DataType::Int8, &[3])]), &[&argument], &[], &[3], &[1, 0, 2]);
        let shown = path.display();
        let odd = format!("input 'X': {shown}: expected a multiple of 2 bytes for INT16 elements, found 3");
        check_refused(&model(false, &[("X", DataType::Int16, &[-1])]), &[&argument], &odd);
        let missing =
            build_from(&model(false, &[("X", DataType::Int16, &[-1])]), &["X=@/no/such/file"], &[]).unwrap_err();
        assert!(missing.starts_with("input 'X': /no/such/file cannot be read: "), "{missing}");
    }
}
