//! Which shape the elements have that were given, when the model leaves dimensions open or adds one for the batch.

use nereid_tensor::Shape;

use crate::description::{TensorDescription, dims_text};

/// What is known of the elements before the model is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// So many in a row, of no shape of their own.
    Flat(u64),
    /// Shaped by their source (nested lists, `.npy`) or by the user.
    Shaped(Vec<u64>),
}

/// The shape that fits the input.
///
/// # Errors
/// None does, or several do; the text says what was expected and found.
pub(crate) fn fit(given: &Given, input: &TensorDescription, has_batching: bool) -> Result<Shape, String> {
    match given {
        Given::Shaped(dims) => fit_shaped(dims, input, has_batching),
        Given::Flat(elements) => fit_flat(*elements, &input.dims, has_batching),
    }
    .map(|dims| Shape::new(&dims))
}

fn fit_shaped(dims: &[u64], input: &TensorDescription, has_batching: bool) -> Result<Vec<u64>, String> {
    if agree(dims, &input.dims) {
        return Ok(dims.to_vec());
    }
    // One request of a batch may be given without the dimension that counts them.
    if has_batching && input.dims.get(1..).is_some_and(|inner| agree(dims, inner)) {
        return Ok(std::iter::once(1).chain(dims.iter().copied()).collect());
    }
    // A plain list is only a way to write elements.
    if let [elements] = dims {
        return fit_flat(*elements, &input.dims, has_batching);
    }
    Err(format!("expected shape {}, found {}", dims_text(&input.dims), dims_text(dims)))
}

fn agree(dims: &[u64], expected: &[i64]) -> bool {
    let fits = |(dim, expected): (&u64, &i64)| *expected < 0 || i64::try_from(*dim) == Ok(*expected);
    dims.len() == expected.len() && dims.iter().zip(expected).all(fits)
}

fn fit_flat(elements: u64, expected: &[i64], has_batching: bool) -> Result<Vec<u64>, String> {
    let mut dims = expected.to_vec();
    let open_inside = dims.iter().skip(usize::from(has_batching)).filter(|dim| **dim < 0).count();
    // With another dimension to deduce the elements are those of one request.
    if has_batching
        && open_inside > 0
        && let Some(batch) = dims.first_mut()
    {
        *batch = 1;
    }
    let open = dims.iter().filter(|dim| **dim < 0).count();
    if open > 1 {
        let text = "more than one dimension of the model's shape is open";
        return Err(format!("{text}, {}: say which shape is meant with --shape", dims_text(expected)));
    }
    let fixed = dims.iter().filter_map(|dim| u64::try_from(*dim).ok()).try_fold(1_u64, u64::checked_mul);
    let fixed = fixed.ok_or_else(|| format!("shape {} is too large", dims_text(expected)))?;
    let mismatch = || match open {
        0 => format!("expected {fixed} elements for shape {}, found {elements}", dims_text(expected)),
        _ => format!("expected a multiple of {fixed} elements for shape {}, found {elements}", dims_text(expected)),
    };
    let deduced = match open {
        0 if fixed == elements => 0,
        1 if fixed != 0 && elements.is_multiple_of(fixed) => elements / fixed,
        _ => return Err(mismatch()),
    };
    Ok(dims.into_iter().map(|dim| u64::try_from(dim).unwrap_or(deduced)).collect())
}

#[cfg(test)]
mod tests {
    use nereid_tensor::DataType;

    use super::*;

    #[track_caller]
    fn check(given: Given, dims: &[i64], has_batching: bool, expected: Result<&[u64], &str>) {
        let (name, dims) = ("X".to_owned(), dims.to_vec());
        let input = TensorDescription { name, data_type: DataType::Fp32, dims, layout: None, is_optional: false };
        let found = fit(&given, &input, has_batching);
        assert_eq!(found, expected.map(Shape::new).map_err(str::to_owned), "{given:?}");
    }

    #[test]
    fn open_dimensions_are_deduced_from_the_count() {
        check(Given::Flat(6), &[-1], false, Ok(&[6]));
        check(Given::Flat(6), &[2, -1], false, Ok(&[2, 3]));
        check(Given::Flat(0), &[-1], false, Ok(&[0]));
        check(Given::Flat(6), &[-1, 3], true, Ok(&[2, 3]));
        check(Given::Flat(6), &[-1, -1], true, Ok(&[1, 6]));
        check(Given::Flat(1), &[], false, Ok(&[]));
    }

    #[test]
    fn a_count_that_does_not_fit_is_refused_with_both_sides() {
        check(Given::Flat(5), &[2, 3], false, Err("expected 6 elements for shape [2,3], found 5"));
        check(Given::Flat(5), &[-1, 3], true, Err("expected a multiple of 3 elements for shape [-1,3], found 5"));
        check(
            Given::Flat(4),
            &[-1, -1],
            false,
            Err("more than one dimension of the model's shape is open, [-1,-1]: say which shape is meant with --shape"),
        );
    }

    #[test]
    fn a_shape_may_leave_the_batch_out() {
        check(Given::Shaped(vec![2, 3]), &[-1, -1], false, Ok(&[2, 3]));
        check(Given::Shaped(vec![1, 28, 28]), &[-1, 1, 28, 28], true, Ok(&[1, 1, 28, 28]));
        check(Given::Shaped(vec![4]), &[2, 2], false, Ok(&[2, 2]));
        check(Given::Shaped(vec![2, 3]), &[3, 2], false, Err("expected shape [3,2], found [2,3]"));
        check(Given::Shaped(vec![28, 28]), &[1, 1, 28, 28], false, Err("expected shape [1,1,28,28], found [28,28]"));
    }
}
