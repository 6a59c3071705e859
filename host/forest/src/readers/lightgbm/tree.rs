//! One tree of a LightGBM model: lists with a number per inner node, and lists with a number per leaf.
//!
//! A child from 0 is an inner node, a negative one a leaf: -1 is leaf 0, -2 leaf 1.

use crate::{
    ForestError,
    document::whole,
    forest::LeafOutputs,
    growth::{FileNode, Grove, Question},
    limits,
    readers::lightgbm::sections::Section,
};

/// Bits of a decision type.
const CATEGORICAL: usize = 1;
const DEFAULT_LEFT: usize = 2;
/// Above them: what counts as missing.
const MISSING_SHIFT: u32 = 2;
const MISSING_MASK: usize = 3;
const MISSING_NONE: usize = 0;
const MISSING_ZERO: usize = 1;

struct Lists {
    features: Vec<f64>,
    thresholds: Vec<f64>,
    decisions: Vec<f64>,
    left: Vec<f64>,
    right: Vec<f64>,
    inner_cover: Vec<f64>,
    leaf_values: Vec<f64>,
    leaf_cover: Vec<f64>,
    /// Where each set begins among the words, and where the last one ends.
    set_starts: Vec<f64>,
    words: Vec<f64>,
}

/// Reads a tree.
pub(crate) fn read_tree(grove: &mut Grove, section: &Section<'_>, classes: usize) -> Result<(), ForestError> {
    let index = grove.len();
    if section.get("is_linear").is_some_and(|text| text.trim() != "0") {
        return Err(ForestError::unsupported(format!(
            "tree {index} is a linear tree (is_linear=1), which is not served; train with linear_tree=false"
        )));
    }
    let leaf_count = section.count("num_leaves")?;
    if !(1..=limits::NODES_MAX).contains(&leaf_count) {
        return Err(section.error("num_leaves", format!("is {leaf_count}, expected 1 to {}", limits::NODES_MAX)));
    }
    let lists = Lists::of(section, leaf_count)?;
    grove.grow(2 * leaf_count - 1, LeafOutputs::one(index % classes), |node| lists.node(node))
}

// === impl Lists ===

impl Lists {
    fn of(section: &Section<'_>, leaf_count: usize) -> Result<Self, ForestError> {
        // A list is as long as the text makes it: nothing is taken for what is only declared.
        let leaf_values = section.numbers("leaf_value", leaf_count)?;
        let leaf_cover = section.numbers_if_any("leaf_count", leaf_count)?;
        let inner = |key: &str| match leaf_count {
            1 => Ok(Vec::new()),
            _ => section.numbers(key, leaf_count - 1),
        };
        let set_count = if section.has("num_cat") { section.count("num_cat")? } else { 0 };
        let set_starts = match set_count {
            0 => Vec::new(),
            _ => section.numbers("cat_boundaries", set_count.saturating_add(1))?,
        };
        let word_count = set_starts.last().map_or(Some(0), |end| whole(*end));
        let word_count = word_count.ok_or_else(|| section.error("cat_boundaries", "ends with what is no count"))?;
        Ok(Self {
            features: inner("split_feature")?,
            thresholds: inner("threshold")?,
            decisions: inner("decision_type")?,
            left: inner("left_child")?,
            right: inner("right_child")?,
            inner_cover: if section.has("internal_count") { inner("internal_count")? } else { Vec::new() },
            leaf_values,
            leaf_cover,
            words: if set_count > 0 { section.numbers("cat_threshold", word_count)? } else { Vec::new() },
            set_starts,
        })
    }

    /// Inner nodes first, leaves behind them.
    fn node(&self, node: usize) -> Result<(FileNode, f64), String> {
        let at = |numbers: &[f64], index: usize| numbers.get(index).copied().unwrap_or(f64::NAN);
        let Some(leaf) = node.checked_sub(self.left.len()) else {
            return Ok((self.split(node)?, at(&self.inner_cover, node)));
        };
        Ok((FileNode::Leaf(vec![at(&self.leaf_values, leaf)]), at(&self.leaf_cover, leaf)))
    }

    fn split(&self, node: usize) -> Result<FileNode, String> {
        let at = |numbers: &[f64]| numbers.get(node).copied().unwrap_or(f64::NAN);
        let feature = at(&self.features);
        let feature = whole(feature).ok_or_else(|| format!("asks for feature {feature}"))?;
        let decision = at(&self.decisions);
        let decision = whole(decision).filter(|decision| *decision < 16);
        let decision = decision.ok_or_else(|| format!("has decision type {}", at(&self.decisions)))?;
        let missing = decision >> MISSING_SHIFT & MISSING_MASK;
        let children = [self.child(at(&self.left))?, self.child(at(&self.right))?];
        let threshold = at(&self.thresholds);
        if decision & CATEGORICAL != 0 {
            let question = self.set(threshold)?;
            return Ok(FileNode::Split { feature, question, default_left: false, zero_is_missing: false, children });
        }
        if missing > MISSING_ZERO + 1 {
            return Err(format!("has decision type {decision}, whose kind of missing is not known"));
        }
        // Where nothing is missing, a NaN is a zero.
        let default_left = if missing == MISSING_NONE { 0.0 <= threshold } else { decision & DEFAULT_LEFT != 0 };
        let zero_is_missing = missing == MISSING_ZERO;
        Ok(FileNode::Split { feature, question: Question::AtMost(threshold), default_left, zero_is_missing, children })
    }

    fn child(&self, number: f64) -> Result<usize, String> {
        let leaf = whole(-1.0 - number).map(|leaf| leaf.saturating_add(self.left.len()));
        whole(number)
            .filter(|inner| *inner < self.left.len())
            .or(leaf)
            .ok_or_else(|| format!("has child {number}, but the tree has {} inner nodes", self.left.len()))
    }

    /// The set whose number stands in the place of a threshold.
    fn set(&self, number: f64) -> Result<Question, String> {
        let words = whole(number).and_then(|number| {
            let start = whole(*self.set_starts.get(number)?)?;
            let end = whole(*self.set_starts.get(number.checked_add(1)?)?)?;
            self.words.get(start..end)
        });
        let words = words.ok_or_else(|| format!("asks for category set {number}, which is not there"))?;
        let mut categories = Vec::new();
        for (index, word) in words.iter().enumerate() {
            let bits = whole(*word).and_then(|word| u32::try_from(word).ok());
            let bits = bits.ok_or_else(|| format!("has {word} in category set {number}, expected 32 bits"))?;
            let first = u32::try_from(index * 32).unwrap_or(u32::MAX);
            categories.extend((0..32).filter(|bit| bits >> bit & 1 == 1).map(|bit| first.saturating_add(bit)));
        }
        Ok(Question::Member { categories, truncates: true })
    }
}
