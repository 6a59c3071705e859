//! `forest.json`, which `examples/forests/export_sklearn.py` writes; its README describes the format.
//!
//! For models whose framework has no portable file. Every comparison is `x <= threshold` in 64 bits, leaves are summed in
//! 64 bits. Members that are not known are refused: the format has a version.

use std::collections::HashMap;

use crate::{
    Forest, ForestError, Link, Precision, Task,
    document::{Object, Value, whole},
    forest::LeafOutputs,
    growth::{FileNode, Grove, Question},
};

const FORMAT: &str = "nereid-forest";
const VERSION: usize = 1;

const ROOT: [&str; 10] =
    ["format", "version", "task", "feature_count", "targets", "classes", "base_scores", "averaged", "link", "trees"];
const TREE: [&str; 11] = [
    "outputs",
    "left",
    "right",
    "feature",
    "threshold",
    "default_left",
    "cover",
    "values",
    "category_nodes",
    "category_starts",
    "categories",
];

/// The child of a leaf.
const NO_CHILD: f64 = -1.0;

struct Arrays<'a> {
    left: &'a [f64],
    right: &'a [f64],
    features: &'a [f64],
    thresholds: &'a [f64],
    default_left: &'a [f64],
    cover: &'a [f64],
    values: &'a [f64],
    /// How many leaves there are before a node.
    leaves_before: Vec<usize>,
    /// The categories of a node, which go left.
    categories: HashMap<usize, &'a [f64]>,
}

/// The forest in a document.
pub(crate) fn read(document: &Value) -> Result<Forest, ForestError> {
    let root = document.root()?;
    known(&root, &ROOT)?;
    let (format, version) = (root.text("format")?, root.count("version")?);
    if (format, version) != (FORMAT, VERSION) {
        let shown: String = format.chars().take(40).collect();
        return Err(ForestError::unsupported(format!(
            "the document says that it is '{shown}' version {version}; '{FORMAT}' version {VERSION} is read"
        )));
    }
    let forest = Forest {
        feature_count: root.count("feature_count")?,
        task: task(&root)?,
        targets: root.count("targets")?,
        classes: root.count("classes")?,
        base_scores: root.numbers("base_scores")?.to_vec(),
        is_averaged: matches!(root.get("averaged"), Some(Value::Bool(true))),
        link: link(&root.object("link")?)?,
        precision: Precision::Double,
        trees: Vec::new(),
    };
    // The sizes are checked before anything is made of them.
    let forest = forest.checked()?;
    let mut grove = Grove::new(forest.feature_count);
    for tree in root.objects("trees")? {
        read_tree(&mut grove, &tree)?;
    }
    Forest { trees: grove.into_trees(), ..forest }.checked()
}

fn known(object: &Object<'_>, names: &[&str]) -> Result<(), ForestError> {
    match object.names().find(|name| !names.contains(name)) {
        None => Ok(()),
        Some(name) => Err(object.error(name, format!("is no field of '{FORMAT}' version {VERSION}"))),
    }
}

fn task(root: &Object<'_>) -> Result<Task, ForestError> {
    match root.text("task")? {
        "regression" => Ok(Task::Regression),
        "binary" => Ok(Task::Binary),
        "multiclass" => Ok(Task::MultiClass),
        "ranking" => Ok(Task::Ranking),
        "isolation" => Ok(Task::Isolation),
        _ => Err(root.error("task", "expected regression, binary, multiclass, ranking or isolation")),
    }
}

fn link(link: &Object<'_>) -> Result<Link, ForestError> {
    known(link, &["name", "alpha", "ratio"])?;
    match link.text("name")? {
        "identity" => Ok(Link::Identity),
        "sigmoid" => Ok(Link::Sigmoid { alpha: link.number("alpha")? }),
        "softmax" => Ok(Link::Softmax),
        "exponential" => Ok(Link::Exponential),
        "exponential_standard_ratio" => Ok(Link::Exp2Ratio { ratio: link.number("ratio")? }),
        "logarithm_one_plus_exp" => Ok(Link::LogOnePlusExp),
        "hinge" => Ok(Link::Hinge),
        "signed_square" => Ok(Link::SignedSquare),
        _ => Err(link.error("name", "is not known")),
    }
}

fn read_tree(grove: &mut Grove, tree: &Object<'_>) -> Result<(), ForestError> {
    known(tree, &TREE)?;
    let outputs: Option<Vec<usize>> = tree.numbers("outputs")?.iter().map(|number| whole(*number)).collect();
    let outputs = match outputs.as_deref() {
        Some([first, step, count]) if *step > 0 && *count > 0 => {
            LeafOutputs { first: *first, step: *step, count: *count }
        }
        _ => return Err(tree.error("outputs", "expected the first one, the step to the next, and how many")),
    };
    let arrays = Arrays::of(tree)?;
    grove.grow(arrays.left.len(), outputs, |node| arrays.node(node, outputs.count))
}

// === impl Arrays ===

impl<'a> Arrays<'a> {
    fn of(tree: &Object<'a>) -> Result<Self, ForestError> {
        let left = tree.numbers("left")?;
        let per_node = |name: &str| match tree.numbers(name)? {
            numbers if numbers.len() == left.len() => Ok(numbers),
            numbers => Err(tree.error(name, format!("has {} numbers for {} nodes", numbers.len(), left.len()))),
        };
        let mut leaf_count = 0;
        let before = |child: &f64| {
            let before = leaf_count;
            leaf_count += usize::from(*child == NO_CHILD);
            before
        };
        Ok(Self {
            left,
            right: per_node("right")?,
            features: per_node("feature")?,
            thresholds: per_node("threshold")?,
            default_left: per_node("default_left")?,
            cover: per_node("cover")?,
            values: tree.numbers("values")?,
            leaves_before: left.iter().map(before).collect(),
            categories: categories(tree)?,
        })
    }

    fn node(&self, node: usize, value_count: usize) -> Result<(FileNode, f64), String> {
        let at = |numbers: &[f64]| numbers.get(node).copied().unwrap_or(f64::NAN);
        if at(self.left) == NO_CHILD {
            return Ok((FileNode::Leaf(self.leaf(node, value_count)?), at(self.cover)));
        }
        let child = |number: f64| whole(number).ok_or_else(|| format!("has child {number}, expected a node"));
        let children = [child(at(self.left))?, child(at(self.right))?];
        let feature = whole(at(self.features)).ok_or_else(|| format!("asks for feature {}", at(self.features)))?;
        let question = match self.categories.get(&node) {
            Some(written) => Question::Member { categories: set(written)?, truncates: false },
            None => Question::AtMost(at(self.thresholds)),
        };
        let default_left = at(self.default_left) != 0.0;
        Ok((FileNode::Split { feature, question, default_left, zero_is_missing: false, children }, at(self.cover)))
    }

    fn leaf(&self, node: usize, value_count: usize) -> Result<Vec<f64>, String> {
        let start = self.leaves_before.get(node).and_then(|leaf| leaf.checked_mul(value_count));
        let end = start.and_then(|start| start.checked_add(value_count));
        let values = start.zip(end).and_then(|(start, end)| self.values.get(start..end));
        values.map(<[f64]>::to_vec).ok_or_else(|| format!("is a leaf whose {value_count} values are missing"))
    }
}

fn set(written: &[f64]) -> Result<Vec<u32>, String> {
    let category = |number: &f64| whole(*number).and_then(|category| u32::try_from(category).ok());
    written.iter().map(|number| category(number).ok_or_else(|| format!("names category {number}"))).collect()
}

/// The nodes that ask for categories; their sets lie one behind the other.
fn categories<'a>(tree: &Object<'a>) -> Result<HashMap<usize, &'a [f64]>, ForestError> {
    if tree.get("category_nodes").is_none() {
        return Ok(HashMap::new());
    }
    let (nodes, starts) = (tree.numbers("category_nodes")?, tree.numbers("category_starts")?);
    let all = tree.numbers("categories")?;
    let problem =
        || tree.error("category_starts", format!("do not divide {} categories by {} nodes", all.len(), nodes.len()));
    if starts.len() != nodes.len() + 1 || !starts.is_sorted() {
        return Err(problem());
    }
    let set = |(node, ends): (&f64, &[f64])| match ends {
        [start, end] => Some((whole(*node)?, all.get(whole(*start)?..whole(*end)?)?)),
        _ => None,
    };
    nodes.iter().zip(starts.windows(2)).map(set).collect::<Option<_>>().ok_or_else(problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Evaluator, document::parse_json};

    /// `x[0] <= 0.5` gives 1, otherwise category 3 of `x[1]` gives 2, another one 4.
    const MODEL: &str = r#"{"format":"nereid-forest","version":1,"task":"regression","feature_count":2,"targets":1,"classes":1,
"base_scores":[0.25],"averaged":false,"link":{"name":"identity"},"trees":[{"outputs":[0,1,1],"left":[1,-1,3,-1,-1],
"right":[2,-1,4,-1,-1],"feature":[0,0,1,0,0],"threshold":[0.5,0,0,0,0],"default_left":[1,0,0,0,0],"cover":[5,2,3,1,2],
"values":[1,2,4],"category_nodes":[2],"category_starts":[0,1],"categories":[3]}]}"#;

    fn with(from: &str, to: &str) -> Result<Forest, String> {
        assert!(MODEL.contains(from), "{from} is not in the document");
        let document = parse_json(MODEL.replacen(from, to, 1).as_bytes()).map_err(|error| error.to_string())?;
        read(&document).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_go_where_the_document_says() {
        let evaluator = Evaluator::new(&with("", "").unwrap());
        for (row, expected) in [
            ([0.5, 0.0], 1.25),
            ([f32::NAN, 3.0], 1.25),
            ([1.0, 3.0], 2.25),
            ([1.0, 2.0], 4.25),
            ([1.0, f32::NAN], 4.25),
        ] {
            let mut scores = [f32::NAN];
            evaluator.scores(&row, &mut scores, None);
            assert_eq!(scores, [expected], "{row:?}");
        }
    }

    #[test]
    fn lies_are_told_by_place() {
        for (from, to, problem) in [
            ("\"version\":1", "\"version\":2", "the document says that it is 'nereid-forest' version 2"),
            ("nereid-forest", "someone's", "the document says that it is 'someone's' version 1"),
            ("\"averaged\"", "\"avaraged\"", "avaraged: is no field of 'nereid-forest' version 1"),
            ("\"cover\"", "\"color\"", "trees[0].color: is no field of 'nereid-forest' version 1"),
            ("\"task\":\"regression\"", "\"task\":\"guess\"", "task: expected regression, binary, multiclass"),
            ("{\"name\":\"identity\"}", "{\"name\":\"sigmoid\"}", "link.alpha: is missing, expected a number"),
            ("{\"name\":\"identity\"}", "{\"name\":\"x\"}", "link.name: is not known"),
            ("[0.25]", "[]", "base score: has 0 numbers, expected 1"),
            ("\"outputs\":[0,1,1]", "\"outputs\":[0,0,1]", "trees[0].outputs: expected the first one, the step"),
            ("\"outputs\":[0,1,1]", "\"outputs\":[1,1,1]", "tree 0, node 0: adds to output Some(1), but there are 1"),
            (
                "\"outputs\":[0,1,1]",
                "\"outputs\":[0,1,9e15]",
                "tree 0, node 1: is a leaf whose 9000000000000000 values",
            ),
            ("[1,-1,3,-1,-1]", "[1,-1,0,-1,-1]", "tree 0, node 2: has child 0, which is the root or has"),
            ("[1,-1,3,-1,-1]", "[1,-1,3,-1]", "trees[0].right: has 5 numbers for 4 nodes"),
            ("\"values\":[1,2,4]", "\"values\":[1,2]", "tree 0, node 4: is a leaf whose 1 values are missing"),
            ("[0.5,0,0,0,0]", "[NaN,0,0,0,0]", "tree 0, node 0: has a threshold that is NaN"),
            ("\"category_starts\":[0,1]", "\"category_starts\":[0,2]", "trees[0].category_starts: do not divide 1"),
            ("\"category_starts\":[0,1]", "\"category_starts\":[1,0]", "trees[0].category_starts: do not divide 1"),
            ("\"categories\":[3]", "\"categories\":[-3]", "tree 0, node 2: names category -3"),
        ] {
            let found = with(from, to).unwrap_err();
            assert!(found.starts_with(problem), "{to}: {found}, expected {problem}");
        }
    }
}
