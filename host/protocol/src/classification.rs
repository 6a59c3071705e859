//! The classification extension: an output answered as its largest values, each with its index and its label.
//!
//! Promises: descending order, the lower index first among equals, NaN behind every number. Refuses, in Triton's words,
//! types that have no order and outputs that would be too expensive to rank.
//! Costs: a selection over the elements and a sort of what was asked for only.

use std::{cmp::Ordering, fmt::Display, num::NonZeroU64, sync::Arc};

use nereid_inference::{InferError, InferResponse, ServedModel};
use nereid_tensor::{DataType, Element, Shape, Tensor};
use smallvec::SmallVec;

/// The parameter of an output that asks for classes.
pub(crate) const CLASSIFICATION_PARAMETER: &str = "classification";

/// Elements of one batch item that are ranked at most; Triton's limit against costly requests.
pub const CLASSIFIED_ELEMENTS_MAX: u64 = 1_000_000;

/// How many classes a client asked for, by output; empty when it asked for none.
#[derive(Clone, Debug, Default)]
pub struct ClassCounts(SmallVec<[(Arc<str>, NonZeroU64); 1]>);

/// How one output is ranked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranking<'a> {
    pub(crate) count: NonZeroU64,
    /// The outermost dimension counts batch items, which are ranked one by one.
    pub(crate) batched: bool,
    /// Text per index; short lists and empty texts leave an index without a label.
    pub(crate) labels: &'a [Arc<str>],
}

/// A number that can be ranked and printed.
trait Rank: Element {
    /// The larger first.
    fn descending(&self, other: &Self) -> Ordering;

    fn print(&self) -> impl Display;
}

/// The classes of `tensor` as BYTES elements `value:index` or `value:index:label`.
///
/// # Errors
/// `InvalidArgument`: a type without an order, or too many elements.
pub(crate) fn classify(tensor: &Tensor, ranking: &Ranking<'_>) -> Result<Tensor, InferError> {
    let shape = tensor.shape();
    let (rows, item) = match shape.first() {
        Some(rows) if ranking.batched => (Some(*rows), shape.inner()),
        _ => (None, &**shape),
    };
    let elements = Shape::new(item).checked_element_count().unwrap_or(u64::MAX);
    if elements > CLASSIFIED_ELEMENTS_MAX && tensor.data_type() != DataType::Bytes {
        return Err(InferError::invalid_argument("classification output tensor too large"));
    }
    let classes = match tensor.data_type() {
        DataType::Uint8 => rank_items::<u8>(tensor, elements, ranking),
        DataType::Uint16 => rank_items::<u16>(tensor, elements, ranking),
        DataType::Uint32 => rank_items::<u32>(tensor, elements, ranking),
        DataType::Uint64 => rank_items::<u64>(tensor, elements, ranking),
        DataType::Int8 => rank_items::<i8>(tensor, elements, ranking),
        DataType::Int16 => rank_items::<i16>(tensor, elements, ranking),
        DataType::Int32 => rank_items::<i32>(tensor, elements, ranking),
        DataType::Int64 => rank_items::<i64>(tensor, elements, ranking),
        DataType::Fp32 => rank_items::<f32>(tensor, elements, ranking),
        DataType::Fp64 => rank_items::<f64>(tensor, elements, ranking),
        unordered @ (DataType::Bool | DataType::Fp16 | DataType::Bf16 | DataType::Bytes) => {
            let text = format!("class result not available for output due to unsupported type '{unordered}'");
            return Err(InferError::invalid_argument(text));
        }
    };
    let shape: Shape = rows.into_iter().chain([elements.min(ranking.count.get())]).collect();
    Tensor::from_byte_strings(shape, &classes)
        .map_err(|error| InferError::internal(format!("the classes of an output do not fill their tensor: {error}")))
}

/// The classes of every batch item, one after the other.
fn rank_items<T: Rank>(tensor: &Tensor, elements: u64, ranking: &Ranking<'_>) -> Vec<String> {
    let values = tensor.elements::<T>().unwrap_or_default();
    let item_elements = usize::try_from(elements).unwrap_or(usize::MAX).max(1);
    values.chunks_exact(item_elements).flat_map(|item| rank_item(item, ranking)).collect()
}

fn rank_item<T: Rank>(values: &[T], ranking: &Ranking<'_>) -> Vec<String> {
    let mut ranked: Vec<(usize, &T)> = values.iter().enumerate().collect();
    let order = |(i, a): &(usize, &T), (j, b): &(usize, &T)| a.descending(b).then(i.cmp(j));
    let count = usize::try_from(ranking.count.get()).unwrap_or(usize::MAX);
    if count < ranked.len() {
        ranked.select_nth_unstable_by(count, order);
        ranked.truncate(count);
    }
    ranked.sort_unstable_by(order);
    let describe = |(index, value): (usize, &T)| match ranking.labels.get(index) {
        Some(label) if !label.is_empty() => format!("{}:{index}:{label}", value.print()),
        _ => format!("{}:{index}", value.print()),
    };
    ranked.into_iter().map(describe).collect()
}

// === impl ClassCounts ===

impl ClassCounts {
    /// Notes that the output called `name` is to be answered as `count` classes.
    pub(crate) fn insert(&mut self, name: Arc<str>, count: NonZeroU64) {
        self.0.push((name, count));
    }

    /// Whether the output called `name` is to be answered as classes.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(asked, _)| &**asked == name)
    }

    /// The response as the client wants it: the outputs that it named replaced by their classes.
    ///
    /// # Errors
    /// `InvalidArgument`: an output of a type without an order, or one of too many elements.
    pub fn apply(&self, mut response: InferResponse, model: &dyn ServedModel) -> Result<InferResponse, InferError> {
        let batched = model.signature().max_batch_size > 0;
        for (name, count) in &self.0 {
            for output in response.outputs.iter_mut().filter(|output| output.name == *name) {
                let ranking = Ranking { count: *count, batched, labels: model.labels(name) };
                output.tensor = classify(&output.tensor, &ranking)?;
            }
        }
        Ok(response)
    }
}

// === impl Rank ===

macro_rules! rank_integers {
    ($($integer:ty),* $(,)?) => {
        $(impl Rank for $integer {
            fn descending(&self, other: &Self) -> Ordering {
                other.cmp(self)
            }

            fn print(&self) -> impl Display {
                *self
            }
        })*
    };
}

macro_rules! rank_floats {
    ($($float:ty),* $(,)?) => {
        $(impl Rank for $float {
            fn descending(&self, other: &Self) -> Ordering {
                let by_value = || other.partial_cmp(self).unwrap_or(Ordering::Equal);
                self.is_nan().cmp(&other.is_nan()).then_with(by_value)
            }

            /// As C's `%f`.
            fn print(&self) -> impl Display {
                match self.is_nan() {
                    true => "nan".to_owned(),
                    false => format!("{self:.6}"),
                }
            }
        })*
    };
}

rank_integers!(u8, u16, u32, u64, i8, i16, i32, i64);
rank_floats!(f32, f64);

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: &[&str] = &["cat", "dog", "", "emu"];

    /// The one door: shape and classes of a tensor, or what it is refused with.
    #[track_caller]
    fn check(tensor: &Tensor, (count, batched): (u64, bool), expected: &str) {
        let labels: Vec<Arc<str>> = LABELS.iter().map(|label| Arc::from(*label)).collect();
        let count = NonZeroU64::new(count).unwrap();
        let found = match classify(tensor, &Ranking { count, batched, labels: &labels }) {
            Ok(classes) => {
                let texts: Vec<_> = classes.byte_strings().map(|class| str::from_utf8(class).unwrap()).collect();
                assert_eq!(classes.data_type(), DataType::Bytes);
                format!("{} {}", classes.shape(), texts.join(" "))
            }
            Err(error) => error.message().to_owned(),
        };
        assert_eq!(found, expected);
    }

    fn floats(shape: &[u64], values: &[f32]) -> Tensor {
        Tensor::from_elements(shape, values).unwrap()
    }

    #[test]
    fn the_largest_come_first_with_index_and_label() {
        let tensor = floats(&[5], &[0.5, 2.0, 1.25, -1.0, 9.0]);
        check(&tensor, (3, false), "[3] 9.000000:4 2.000000:1:dog 1.250000:2");
        check(&tensor, (9, false), "[5] 9.000000:4 2.000000:1:dog 1.250000:2 0.500000:0:cat -1.000000:3:emu");
    }

    #[test]
    fn the_lower_index_wins_a_tie_also_at_the_cut() {
        check(&floats(&[4], &[1.0; 4]), (2, false), "[2] 1.000000:0:cat 1.000000:1:dog");
        check(&floats(&[3], &[-0.0, 0.0, 7.0]), (2, false), "[2] 7.000000:2 -0.000000:0:cat");
    }

    #[test]
    fn batch_items_are_ranked_one_by_one_and_inner_dimensions_together() {
        let tensor = floats(&[2, 2, 1], &[1.0, 2.0, 4.0, 3.0]);
        check(&tensor, (1, true), "[2,1] 2.000000:1:dog 4.000000:0:cat");
        check(&tensor, (1, false), "[1] 4.000000:2");
    }

    #[test]
    fn integers_are_printed_plain_over_their_whole_range() {
        check(&Tensor::from_elements([2], &[i64::MIN, i64::MAX]).unwrap(), (1, false), "[1] 9223372036854775807:1:dog");
        check(
            &Tensor::from_elements([2], &[0, u64::MAX]).unwrap(),
            (2, false),
            "[2] 18446744073709551615:1:dog 0:0:cat",
        );
        check(&Tensor::from_elements([2], &[-1_i8, -128]).unwrap(), (2, false), "[2] -1:0:cat -128:1:dog");
    }

    #[test]
    fn what_is_not_a_number_comes_last() {
        let tensor = floats(&[4], &[f32::NAN, f32::NEG_INFINITY, f32::INFINITY, 0.1]);
        check(&tensor, (4, false), "[4] inf:2 0.100000:3:emu -inf:1:dog nan:0:cat");
    }

    #[test]
    fn scalars_and_empty_tensors_have_as_many_classes_as_elements() {
        check(&floats(&[], &[3.0]), (2, false), "[1] 3.000000:0:cat");
        check(&floats(&[], &[3.0]), (2, true), "[1] 3.000000:0:cat");
        check(&floats(&[0, 4], &[]), (2, true), "[0,2] ");
        check(&floats(&[3, 0], &[]), (2, true), "[3,0] ");
    }

    #[test]
    fn types_without_an_order_are_refused_by_name() {
        for (data_type, bytes) in [(DataType::Bool, 1), (DataType::Fp16, 2), (DataType::Bf16, 2), (DataType::Bytes, 4)]
        {
            let tensor = Tensor::new(data_type, [1].into(), vec![0; bytes].into()).unwrap();
            let expected = format!("class result not available for output due to unsupported type '{data_type}'");
            check(&tensor, (1, false), &expected);
        }
    }

    #[test]
    fn the_size_limit_holds_for_one_batch_item() {
        let limit = CLASSIFIED_ELEMENTS_MAX;
        let zeroes = |shape: [u64; 2]| {
            Tensor::new(DataType::Uint8, shape.into(), vec![0; (shape[0] * shape[1]) as usize].into()).unwrap()
        };
        check(&zeroes([2, limit]), (1, true), "[2,1] 0:0:cat 0:0:cat");
        check(&zeroes([2, limit]), (1, false), "classification output tensor too large");
        check(&zeroes([1, limit + 1]), (1, true), "classification output tensor too large");
    }
}
