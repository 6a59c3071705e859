//! From the nodes of a file to a tree that can be walked.
//!
//! Nodes are visited level by level from the root, each once, and renumbered in that order. What the root does not reach
//! is left out: XGBoost's pruning leaves such nodes behind. Refused are children that are not there, nodes with two
//! parents (cycles among them), trees beyond a depth, features out of range, and thresholds and leaves that are NaN.

use crate::{
    ForestError,
    forest::{LeafOutputs, Node, NodeKind, Tree},
    limits,
    test::{Split, Test},
};

/// A node as a file has it.
pub(crate) enum FileNode {
    Split {
        feature: usize,
        question: Question,
        default_left: bool,
        zero_is_missing: bool,
        /// Where rows go for which the question holds, and the others.
        children: [usize; 2],
    },
    /// As many values as the tree has outputs.
    Leaf(Vec<f64>),
}

/// What a node of a file asks.
pub(crate) enum Question {
    /// `x < threshold`.
    Below(f64),
    /// `x <= threshold`.
    AtMost(f64),
    /// The category is one of these.
    Member { categories: Vec<u32>, truncates: bool },
}

/// The trees that have grown so far, within limits that hold for all of them together.
pub(crate) struct Grove {
    feature_count: usize,
    trees: Vec<Tree>,
    node_count: usize,
    word_count: usize,
}

/// A tree while it grows.
struct Growth<'a> {
    grove: &'a Grove,
    tree: Tree,
    /// The numbers in the file of the nodes that were found, in the order of their new numbers.
    found: Vec<usize>,
    is_seen: Vec<bool>,
}

// === impl Grove ===

impl Grove {
    pub(crate) fn new(feature_count: usize) -> Self {
        Self { feature_count, trees: Vec::new(), node_count: 0, word_count: 0 }
    }

    /// How many trees there are; the number of the next one.
    pub(crate) fn len(&self) -> usize {
        self.trees.len()
    }

    pub(crate) fn into_trees(self) -> Vec<Tree> {
        self.trees
    }

    /// Grows the next tree from the node 0 of a file; `node` gives a node and its cover by the file's number.
    ///
    /// # Errors
    /// The first node that makes the tree impossible to walk, by its number in the file.
    pub(crate) fn grow(
        &mut self,
        node_count: usize,
        outputs: LeafOutputs,
        mut node: impl FnMut(usize) -> Result<(FileNode, f64), String>,
    ) -> Result<(), ForestError> {
        let index = self.len();
        let fail = |node, problem| ForestError::Node { tree: index, node, problem };
        if node_count > limits::NODES_MAX - self.node_count {
            let (most, before) = (limits::NODES_MAX, self.node_count);
            return Err(fail(
                0,
                format!("declares {node_count} nodes after {before}, but a forest has at most {most}"),
            ));
        }
        let mut growth = Growth::new(self, node_count, outputs);
        growth.find(0).map_err(|problem| fail(0, problem))?;
        let mut level_end = 1;
        let mut next = 0;
        while let Some(number) = growth.found.get(next).copied() {
            if next == level_end {
                growth.tree.depth += 1;
                level_end = growth.found.len();
            }
            if growth.tree.depth > limits::DEPTH_MAX {
                return Err(fail(number, format!("is more than {} steps from the root", limits::DEPTH_MAX)));
            }
            let placed = node(number).and_then(|(file_node, cover)| growth.place(file_node, cover));
            placed.map_err(|problem| fail(number, problem))?;
            next += 1;
        }
        let tree = growth.tree;
        self.node_count += tree.nodes.len();
        self.word_count += tree.words.len();
        self.trees.push(tree);
        Ok(())
    }
}

// === impl Growth ===

impl<'a> Growth<'a> {
    fn new(grove: &'a Grove, node_count: usize, outputs: LeafOutputs) -> Self {
        let tree = Tree { outputs, nodes: Vec::new(), leaf_values: Vec::new(), words: Vec::new(), depth: 0 };
        Self { grove, tree, found: Vec::new(), is_seen: vec![false; node_count] }
    }

    /// Appends a node that another one names, or the root.
    fn find(&mut self, node: usize) -> Result<(), String> {
        let count = self.is_seen.len();
        match self.is_seen.get_mut(node) {
            None => Err(format!("node {node} is named, but the tree has {count} nodes")),
            Some(true) => Err(format!("has child {node}, which is the root or has another parent already")),
            Some(seen) => {
                *seen = true;
                self.found.push(node);
                Ok(())
            }
        }
    }

    fn place(&mut self, node: FileNode, cover: f64) -> Result<(), String> {
        let kind = match node {
            FileNode::Leaf(values) => self.leaf(values)?,
            FileNode::Split { feature, question, default_left, zero_is_missing, children } => {
                let feature_count = self.grove.feature_count;
                if feature >= feature_count {
                    return Err(format!("asks for feature {feature}, but there are {feature_count}"));
                }
                let test = self.test(question)?;
                let left = self.found.len();
                children.into_iter().try_for_each(|child| self.find(child))?;
                NodeKind::Split(Split { feature, test, default_left, zero_is_missing, left })
            }
        };
        self.tree.nodes.push(Node { kind, cover });
        Ok(())
    }

    fn leaf(&mut self, values: Vec<f64>) -> Result<NodeKind, String> {
        let expected = self.tree.outputs.count;
        if values.len() != expected {
            return Err(format!("is a leaf of {} values, expected {expected}", values.len()));
        }
        if values.iter().any(|value| value.is_nan()) {
            return Err("is a leaf whose value is NaN".to_owned());
        }
        let start = self.tree.leaf_values.len();
        self.tree.leaf_values.extend(values);
        Ok(NodeKind::Leaf(start))
    }

    fn test(&mut self, question: Question) -> Result<Test, String> {
        match question {
            Question::Below(threshold) | Question::AtMost(threshold) if threshold.is_nan() => {
                Err("has a threshold that is NaN".to_owned())
            }
            Question::Below(threshold) => Ok(Test::below(threshold)),
            Question::AtMost(threshold) => Ok(Test::at_most(threshold)),
            Question::Member { categories, truncates } => self.set(&categories, truncates),
        }
    }

    fn set(&mut self, categories: &[u32], truncates: bool) -> Result<Test, String> {
        let largest = categories.iter().max().copied();
        if let Some(category) = largest.filter(|category| *category >= limits::CATEGORY_MAX) {
            return Err(format!("names category {category}, expected less than {}", limits::CATEGORY_MAX));
        }
        let start = self.tree.words.len();
        let end = start + largest.map_or(0, |category| category as usize / 32 + 1);
        if self.grove.word_count + end > limits::CATEGORY_WORDS_MAX {
            let bits = limits::CATEGORY_WORDS_MAX * 32;
            return Err(format!("needs more than the {bits} bits that the category sets of a forest may have"));
        }
        self.tree.words.resize(end, 0);
        for category in categories {
            if let Some(word) = self.tree.words.get_mut(start + *category as usize / 32) {
                *word |= 1 << (category % 32);
            }
        }
        Ok(Test::Member { words: start..end, truncates })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(children: [usize; 2]) -> FileNode {
        FileNode::Split {
            feature: 0,
            question: Question::Below(0.5),
            default_left: true,
            zero_is_missing: false,
            children,
        }
    }

    /// The tree whose nodes have these children; a node without any is a leaf with its own number as value.
    fn grown(children: &[Option<[usize; 2]>]) -> Result<Tree, String> {
        let node = |number: usize| {
            let kind = children[number].map_or_else(|| FileNode::Leaf(vec![number as f64]), split);
            Ok((kind, 1.0))
        };
        let mut grove = Grove::new(1);
        grove.grow(1, LeafOutputs::one(0), |_| Ok((FileNode::Leaf(vec![0.0]), 1.0))).unwrap();
        grove.grow(children.len(), LeafOutputs::one(0), node).map_err(|error| error.to_string())?;
        Ok(grove.into_trees().remove(1))
    }

    #[test]
    fn nodes_are_renumbered_level_by_level_and_the_unreachable_left_out() {
        let tree = grown(&[Some([4, 2]), None, Some([5, 3]), None, None, None]).unwrap();
        assert_eq!((tree.nodes.len(), tree.depth), (5, 2));
        assert_eq!(tree.leaf_values, [4.0, 5.0, 3.0]);
        let is_split = tree.nodes.iter().map(|node| matches!(node.kind, NodeKind::Split(_)));
        assert_eq!(is_split.collect::<Vec<_>>(), [true, false, true, false, false]);
    }

    #[test]
    fn cycles_shared_and_missing_children_are_refused_by_node() {
        for (children, problem) in [
            (vec![Some([1, 0]), None], "node 0: has child 0, which is the root or has another parent already"),
            (vec![Some([1, 2]), Some([2, 0]), None], "node 1: has child 2, which is the root or has another parent"),
            (vec![Some([1, 1]), None], "node 0: has child 1, which is the root or has another parent already"),
            (vec![Some([1, 7]), None], "node 0: node 7 is named, but the tree has 2 nodes"),
            (vec![], "node 0: node 0 is named, but the tree has 0 nodes"),
        ] {
            let found = grown(&children).unwrap_err();
            assert!(found.starts_with(&format!("tree 1, {problem}")), "{found}");
        }
    }

    #[test]
    fn a_chain_beyond_the_limit_is_refused() {
        let chain = |splits: usize| {
            // Every second node splits into a leaf and the next split.
            let mut children = vec![None; 2 * splits + 1];
            (0..splits).for_each(|split| children[2 * split] = Some([2 * split + 1, 2 * split + 2]));
            grown(&children)
        };
        assert_eq!(chain(limits::DEPTH_MAX).unwrap().depth, limits::DEPTH_MAX);
        let found = chain(limits::DEPTH_MAX + 1).unwrap_err();
        assert!(found.contains("is more than 4096 steps from the root"), "{found}");
    }

    #[test]
    fn two_to_the_31_declared_nodes_are_refused_before_memory_is_taken() {
        let mut grove = Grove::new(1);
        let found = grove.grow(1 << 31, LeafOutputs::one(0), |_| Err("not asked".to_owned())).unwrap_err().to_string();
        assert_eq!(found, "tree 0, node 0: declares 2147483648 nodes after 0, but a forest has at most 268435456");
    }

    #[test]
    fn what_no_row_can_be_compared_with_is_refused() {
        let with = |first: fn() -> FileNode| {
            let node = |number| Ok((if number == 0 { first() } else { FileNode::Leaf(vec![0.0]) }, 1.0));
            Grove::new(1).grow(3, LeafOutputs::one(0), node).map_err(|error| error.to_string())
        };
        fn asks(feature: usize, question: Question) -> FileNode {
            FileNode::Split { feature, question, default_left: true, zero_is_missing: false, children: [1, 2] }
        }
        fn member(category: u32) -> Question {
            Question::Member { categories: vec![category], truncates: false }
        }
        for (first, problem) in [
            ((|| asks(0, Question::Below(f64::NAN))) as fn() -> FileNode, "has a threshold that is NaN"),
            (|| asks(0, Question::AtMost(f64::NAN)), "has a threshold that is NaN"),
            (|| asks(1, Question::Below(0.0)), "asks for feature 1, but there are 1"),
            (|| asks(0, member(1 << 24)), "names category 16777216, expected less than 16777216"),
            (|| FileNode::Leaf(vec![f64::NAN]), "is a leaf whose value is NaN"),
            (|| FileNode::Leaf(vec![1.0, 2.0]), "is a leaf of 2 values, expected 1"),
        ] {
            assert_eq!(with(first).unwrap_err(), format!("tree 0, node 0: {problem}"));
        }
        assert_eq!(with(|| asks(0, member((1 << 24) - 1))), Ok(()));
    }

    #[test]
    fn category_sets_are_limited_for_all_trees_together() {
        let mut grove = Grove::new(1);
        let node = |number| {
            let question = Question::Member { categories: vec![(1 << 24) - 1], truncates: false };
            let split =
                FileNode::Split { feature: 0, question, default_left: true, zero_is_missing: false, children: [1, 2] };
            Ok((if number == 0 { split } else { FileNode::Leaf(vec![0.0]) }, 1.0))
        };
        let grown = (0..).take_while(|_| grove.grow(3, LeafOutputs::one(0), node).is_ok()).count();
        assert_eq!(grown, limits::CATEGORY_WORDS_MAX * 32 / (1 << 24));
    }
}
