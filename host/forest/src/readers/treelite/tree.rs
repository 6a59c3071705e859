//! One tree of a checkpoint: arrays with an element per node, some of them left empty.

use crate::{
    ForestError,
    forest::LeafOutputs,
    growth::{FileNode, Grove, Question},
    readers::treelite::{
        Float,
        cursor::{Array, Cursor},
    },
};

const LEAF: u8 = 0;
const NUMERICAL: u8 = 1;
const CATEGORICAL: u8 = 2;

struct Arrays<'a> {
    float: Float,
    kinds: Array<'a>,
    left: Array<'a>,
    right: Array<'a>,
    features: Array<'a>,
    default_left: Array<'a>,
    leaf_values: Array<'a>,
    thresholds: Array<'a>,
    comparisons: Array<'a>,
    members_go_right: Array<'a>,
    leaf_vectors: Segments<'a>,
    categories: Segments<'a>,
    counts: Array<'a>,
    has_count: Array<'a>,
    hessians: Array<'a>,
    has_hessian: Array<'a>,
}

/// Elements of all nodes, and where those of each begin and end.
struct Segments<'a> {
    all: Array<'a>,
    starts: Array<'a>,
    ends: Array<'a>,
}

/// Reads a tree.
pub(crate) fn read_tree(
    grove: &mut Grove,
    cursor: &mut Cursor<'_>,
    float: Float,
    outputs: LeafOutputs,
) -> Result<(), ForestError> {
    let node_count = cursor.size("num_nodes")?;
    cursor.bool("has_categorical_split")?;
    let arrays = Arrays::read(cursor, node_count, float)?;
    cursor.skip_optional_fields("num_opt_field_per_tree")?;
    cursor.skip_optional_fields("num_opt_field_per_node")?;
    if arrays.kinds.is_empty() && node_count > 0 {
        let problem = format!("tree {} declares {node_count} nodes and has none", grove.len());
        return Err(cursor.error("node_type", &problem));
    }
    grove.grow(node_count, outputs, |node| arrays.node(node, outputs.count))
}

// === impl Float ===

impl Float {
    fn size(self) -> usize {
        match self {
            Self::Single => size_of::<f32>(),
            Self::Double => size_of::<f64>(),
        }
    }

    fn at(self, array: Array<'_>, index: usize) -> Option<f64> {
        match self {
            Self::Single => array.f32(index).map(f64::from),
            Self::Double => array.f64(index),
        }
    }
}

// === impl Arrays ===

impl<'a> Arrays<'a> {
    /// In the order of the file.
    fn read(cursor: &mut Cursor<'a>, count: usize, float: Float) -> Result<Self, ForestError> {
        let size = float.size();
        let kinds = cursor.array_of(1, count, "node_type")?;
        let left = cursor.array_of(4, count, "cleft")?;
        let right = cursor.array_of(4, count, "cright")?;
        let features = cursor.array_of(4, count, "split_index")?;
        let default_left = cursor.array_of(1, count, "default_left")?;
        let leaf_values = cursor.array_of(size, count, "leaf_value")?;
        let thresholds = cursor.array_of(size, count, "threshold")?;
        let comparisons = cursor.array_of(1, count, "cmp")?;
        let members_go_right = cursor.array_of(1, count, "category_list_right_child")?;
        let leaf_vectors = Segments::read(cursor, size, count, "leaf_vector")?;
        let categories = Segments::read(cursor, 4, count, "category_list")?;
        let counts = cursor.array_of(8, count, "data_count")?;
        let has_count = cursor.array_of(1, count, "data_count_present")?;
        let hessians = cursor.array_of(8, count, "sum_hess")?;
        let has_hessian = cursor.array_of(1, count, "sum_hess_present")?;
        cursor.array_of(8, count, "gain")?;
        cursor.array_of(1, count, "gain_present")?;
        Ok(Self {
            float,
            kinds,
            left,
            right,
            features,
            default_left,
            leaf_values,
            thresholds,
            comparisons,
            members_go_right,
            leaf_vectors,
            categories,
            counts,
            has_count,
            hessians,
            has_hessian,
        })
    }

    fn node(&self, node: usize, value_count: usize) -> Result<(FileNode, f64), String> {
        let kind = self.kinds.u8(node).ok_or("has no kind")?;
        let file_node = match kind {
            LEAF => FileNode::Leaf(self.leaf(node, value_count)?),
            NUMERICAL => self.numerical(node)?,
            CATEGORICAL => self.categorical(node)?,
            other => return Err(format!("is of kind {other}, expected 0, 1 or 2")),
        };
        Ok((file_node, self.cover(node)))
    }

    fn leaf(&self, node: usize, value_count: usize) -> Result<Vec<f64>, String> {
        let vector = self.leaf_vectors.of(node, self.float.size())?;
        if vector.is_empty() && value_count == 1 {
            return Ok(vec![self.float.at(self.leaf_values, node).ok_or("is a leaf without a value")?]);
        }
        Ok((0..).map_while(|index| self.float.at(vector, index)).collect())
    }

    fn children(&self, node: usize) -> Result<[usize; 2], String> {
        let child = |array: Array<'_>| {
            let number = array.i32(node).ok_or("has no children")?;
            usize::try_from(number).map_err(|_| format!("has child {number}, expected a node"))
        };
        Ok([child(self.left)?, child(self.right)?])
    }

    fn feature(&self, node: usize) -> Result<usize, String> {
        let number = self.features.i32(node).ok_or("asks for no feature")?;
        usize::try_from(number).map_err(|_| format!("asks for feature {number}"))
    }

    fn defaults_left(&self, node: usize) -> bool {
        self.default_left.u8(node).is_some_and(|byte| byte != 0)
    }

    /// Four comparisons are two: the others hold for the other child.
    fn numerical(&self, node: usize) -> Result<FileNode, String> {
        let threshold = self.float.at(self.thresholds, node).ok_or("has no threshold")?;
        let (question, swapped) = match self.comparisons.u8(node) {
            Some(2) => (Question::Below(threshold), false),
            Some(3) => (Question::AtMost(threshold), false),
            Some(4) => (Question::AtMost(threshold), true),
            Some(5) => (Question::Below(threshold), true),
            other => return Err(format!("compares with operator {other:?}, expected <, <=, > or >= (2 to 5)")),
        };
        self.split(node, question, swapped)
    }

    fn categorical(&self, node: usize) -> Result<FileNode, String> {
        let list = self.categories.of(node, 4)?;
        let categories = (0..).map_while(|index| list.u32(index)).collect();
        let swapped = self.members_go_right.u8(node).is_some_and(|byte| byte != 0);
        self.split(node, Question::Member { categories, truncates: false }, swapped)
    }

    fn split(&self, node: usize, question: Question, swapped: bool) -> Result<FileNode, String> {
        let [left, right] = self.children(node)?;
        Ok(FileNode::Split {
            feature: self.feature(node)?,
            question,
            default_left: self.defaults_left(node) != swapped,
            zero_is_missing: false,
            children: if swapped { [right, left] } else { [left, right] },
        })
    }

    /// Hessians before counts, as in Triton's backend.
    fn cover(&self, node: usize) -> f64 {
        let is_there = |array: Array<'_>| array.u8(node).is_some_and(|byte| byte != 0);
        if is_there(self.has_hessian) {
            return self.hessians.f64(node).unwrap_or(f64::NAN);
        }
        if is_there(self.has_count) {
            return self.counts.u64(node).map_or(f64::NAN, |count| count as f64);
        }
        f64::NAN
    }
}

// === impl Segments ===

impl<'a> Segments<'a> {
    fn read(cursor: &mut Cursor<'a>, size: usize, count: usize, name: &str) -> Result<Self, ForestError> {
        let all = cursor.array(size, name)?;
        let starts = cursor.array_of(8, count, &format!("{name}_begin"))?;
        let ends = cursor.array_of(8, count, &format!("{name}_end"))?;
        // Each element belongs to one node; segments that overlap could make much out of little.
        let lengths = (0..).map_while(|node| Some(ends.u64(node)?.saturating_sub(starts.u64(node)?)));
        let total = lengths.fold(0, u64::saturating_add);
        if all.part(size, 0, total).is_none() {
            return Err(cursor.error(name, &format!("the nodes have {total} elements together, which are not there")));
        }
        Ok(Self { all, starts, ends })
    }

    /// The elements of a node; none where nothing is said.
    fn of(&self, node: usize, size: usize) -> Result<Array<'a>, String> {
        let (Some(start), Some(end)) = (self.starts.u64(node), self.ends.u64(node)) else {
            return self.all.part(size, 0, 0).ok_or_else(|| "has no elements".to_owned());
        };
        self.all.part(size, start, end).ok_or_else(|| format!("has elements {start} to {end}, which are not there"))
    }
}
