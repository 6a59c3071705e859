//! Checkpoints written by hand, and lies in them.

use super::*;
use crate::Evaluator;

/// A checkpoint of 32-bit floats with one tree of three nodes: `x[0] OP 0.5` gives 1, otherwise 2.
#[derive(Clone)]
struct Checkpoint {
    version: [i32; 3],
    types: [u8; 2],
    tree_count: u64,
    task: u8,
    postprocessor: &'static [u8],
    optional_fields: i32,
    node_count: i32,
    kinds: Vec<u8>,
    left: Vec<i32>,
    operator: u8,
    default_left: u8,
    members_go_right: u8,
    categories: Vec<u32>,
    category_end: u64,
    leaf: f32,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self {
            version: [4, 8, 1],
            types: [2, 2],
            tree_count: 1,
            task: 1,
            postprocessor: b"identity",
            optional_fields: 0,
            node_count: 3,
            kinds: vec![1, 0, 0],
            left: vec![1, -1, -1],
            operator: 2,
            default_left: 1,
            members_go_right: 0,
            categories: vec![],
            category_end: 0,
            leaf: 1.0,
        }
    }
}

fn array<T: Copy, const N: usize>(bytes: &mut Vec<u8>, elements: &[T], encode: fn(T) -> [u8; N]) {
    bytes.extend((elements.len() as u64).to_le_bytes());
    bytes.extend(elements.iter().flat_map(|element| encode(*element)));
}

impl Checkpoint {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.version.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        bytes.extend(self.types);
        bytes.extend(self.tree_count.to_le_bytes());
        bytes.extend(2_i32.to_le_bytes());
        bytes.extend([self.task, 0]);
        bytes.extend(1_i32.to_le_bytes());
        array(&mut bytes, &[1_i32], i32::to_le_bytes);
        array(&mut bytes, &[1_i32, 1], i32::to_le_bytes);
        array(&mut bytes, &[0_i32], i32::to_le_bytes);
        array(&mut bytes, &[0_i32], i32::to_le_bytes);
        array(&mut bytes, self.postprocessor, |byte| [byte]);
        bytes.extend(1.0_f32.to_le_bytes());
        bytes.extend(1.0_f32.to_le_bytes());
        array(&mut bytes, &[0.25_f64], f64::to_le_bytes);
        array(&mut bytes, b"{}", |byte| [byte]);
        bytes.extend(self.optional_fields.to_le_bytes());
        self.tree(&mut bytes);
        bytes
    }

    fn tree(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.node_count.to_le_bytes());
        bytes.push(0);
        array(bytes, &self.kinds, |byte| [byte]);
        array(bytes, &self.left, i32::to_le_bytes);
        array(bytes, &[2_i32, -1, -1], i32::to_le_bytes);
        array(bytes, &[0_i32, -1, -1], i32::to_le_bytes);
        array(bytes, &[self.default_left, 0, 0], |byte| [byte]);
        array(bytes, &[0.0_f32, self.leaf, 2.0], f32::to_le_bytes);
        array(bytes, &[0.5_f32, 0.0, 0.0], f32::to_le_bytes);
        array(bytes, &[self.operator, 0, 0], |byte| [byte]);
        array(bytes, &[self.members_go_right, 0, 0], |byte| [byte]);
        // No leaf vectors.
        array(bytes, &[] as &[f32], f32::to_le_bytes);
        array(bytes, &[0_u64; 3], u64::to_le_bytes);
        array(bytes, &[0_u64; 3], u64::to_le_bytes);
        array(bytes, &self.categories, u32::to_le_bytes);
        array(bytes, &[0_u64; 3], u64::to_le_bytes);
        array(bytes, &[self.category_end, 0, 0], u64::to_le_bytes);
        // No statistics: counts, Hessians and gains, each with what says where they are.
        for _ in 0..6 {
            array(bytes, &[] as &[u8], |byte| [byte]);
        }
        bytes.extend([0; 8]);
    }

    fn score(&self, value: f32) -> f32 {
        let forest = read(&self.bytes()).unwrap_or_else(|error| panic!("{error}"));
        let mut scores = [f32::NAN];
        Evaluator::new(&forest).scores(&[value, 0.0], &mut scores, None);
        scores[0] - 0.25
    }
}

#[test]
fn every_operator_is_a_comparison_to_one_side() {
    for (operator, [below, equal, above]) in
        [(2, [1.0, 2.0, 2.0]), (3, [1.0, 1.0, 2.0]), (4, [2.0, 2.0, 1.0]), (5, [2.0, 1.0, 1.0])]
    {
        for (default_left, missing) in [(1, 1.0), (0, 2.0)] {
            let checkpoint = Checkpoint { operator, default_left, ..Checkpoint::default() };
            let found = [0.4, 0.5, 0.6, f32::NAN].map(|value| checkpoint.score(value));
            assert_eq!(found, [below, equal, above, missing], "operator {operator}");
        }
    }
}

#[test]
fn members_go_to_the_side_that_is_written() {
    let set = Checkpoint { kinds: vec![2, 0, 0], categories: vec![3, 70], category_end: 2, ..Checkpoint::default() };
    for (members_go_right, [inside, outside]) in [(0, [1.0, 2.0]), (1, [2.0, 1.0])] {
        let set = Checkpoint { members_go_right, ..set.clone() };
        assert_eq!([3.0, 70.5, -0.5, 4.0].map(|value| set.score(value)), [inside, inside, outside, outside]);
        assert_eq!(set.score(f32::NAN), 1.0);
    }
}

#[test]
fn lies_are_told_by_place() {
    let right = Checkpoint::default();
    for (checkpoint, problem) in [
        (Checkpoint { version: [3, 9, 0], ..right.clone() }, "the checkpoint says that Treelite 3.9.0 wrote it"),
        (Checkpoint { types: [2, 3], ..right.clone() }, "threshold_type: types [2, 3], expected"),
        (Checkpoint { tree_count: 1 << 60, ..right.clone() }, "target_id: has 1 numbers for 1152921504606846976 trees"),
        (Checkpoint { task: 9, ..right.clone() }, "task_type: is 9, expected 0 to 4"),
        (Checkpoint { postprocessor: b"magic", ..right.clone() }, "postprocessor 'magic' is not known to Treelite 4"),
        (Checkpoint { optional_fields: -1, ..right.clone() }, "byte 138: num_opt_field_per_model: is -1, expected"),
        (Checkpoint { optional_fields: 1, ..right.clone() }, "byte "),
        (
            Checkpoint { node_count: i32::MAX, ..right.clone() },
            "byte 154: node_type: has 3 elements, expected 2147483647",
        ),
        (Checkpoint { node_count: -1, ..right.clone() }, "byte 142: num_nodes: is -1, expected a number from 0"),
        (Checkpoint { kinds: vec![], ..right.clone() }, "byte "),
        (Checkpoint { kinds: vec![7, 0, 0], ..right.clone() }, "tree 0, node 0: is of kind 7, expected 0, 1 or 2"),
        (Checkpoint { left: vec![0, -1, -1], ..right.clone() }, "tree 0, node 0: has child 0, which is the root"),
        (Checkpoint { left: vec![-5, -1, -1], ..right.clone() }, "tree 0, node 0: has child -5, expected a node"),
        (Checkpoint { left: vec![9, -1, -1], ..right.clone() }, "tree 0, node 0: node 9 is named, but the tree has 3"),
        (Checkpoint { operator: 1, ..right.clone() }, "tree 0, node 0: compares with operator Some(1), expected <"),
        (Checkpoint { leaf: f32::NAN, ..right.clone() }, "tree 0, node 1: is a leaf whose value is NaN"),
        (Checkpoint { category_end: 1, ..right.clone() }, "byte "),
    ] {
        let found = read(&checkpoint.bytes()).unwrap_err().to_string();
        assert!(found.starts_with(problem), "{found}, expected {problem}");
    }
}

#[test]
fn a_file_that_is_cut_off_or_longer_is_refused() {
    let whole = Checkpoint::default().bytes();
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).is_err(), "{length} bytes are enough");
    }
    let longer = [whole.as_slice(), b"x"].concat();
    assert!(read(&longer).unwrap_err().to_string().ends_with("1 bytes follow the last tree"));
}
