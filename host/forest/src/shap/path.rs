//! The features on the way to one leaf, and what each of them weighs (Lundberg, Erion and Lee 2018, algorithm 2).
//!
//! Cost: the square of the number of different features.

use crate::shap::Step;

/// A way, with memory that is used again.
#[derive(Debug, Default)]
pub(crate) struct Path {
    elements: Vec<Element>,
    /// By how many of the features are known: the share of the orders in which features become known, times the share
    /// of the training data that comes this way then.
    sums: Vec<f64>,
    weights: Vec<f64>,
}

/// A feature, once, however often the way asks for it.
#[derive(Clone, Copy, Debug)]
struct Element {
    feature: usize,
    /// Share of the data that goes this way at all its questions.
    share: f64,
    /// 1 when the row does, else 0.
    taken: f64,
}

// === impl Path ===

impl Path {
    /// Weighs the features of these steps.
    pub(crate) fn weigh(&mut self, steps: &[Step]) {
        self.elements.clear();
        for step in steps {
            let taken = f64::from(u8::from(step.is_taken));
            match self.elements.iter_mut().find(|element| element.feature == step.feature) {
                Some(element) => {
                    element.share *= step.share;
                    element.taken *= taken;
                }
                None => self.elements.push(Element { feature: step.feature, share: step.share, taken }),
            }
        }
        self.sums.clear();
        self.sums.push(1.0);
        for element in &self.elements {
            extend(&mut self.sums, *element);
        }
        let sums = &self.sums;
        self.weights.clear();
        self.weights
            .extend(self.elements.iter().map(|element| (element.taken - element.share) * without(sums, *element)));
    }

    /// Features and what they weigh.
    pub(crate) fn weights(&self) -> impl Iterator<Item = (usize, f64)> {
        self.elements.iter().zip(&self.weights).map(|(element, weight)| (element.feature, *weight))
    }
}

/// Takes one more feature into the sums.
fn extend(sums: &mut Vec<f64>, element: Element) {
    let length = sums.len() as f64;
    let mut carried = 0.0;
    for (index, sum) in sums.iter_mut().enumerate() {
        let known = *sum * element.taken * (index as f64 + 1.0) / (length + 1.0);
        let unknown = *sum * element.share * (length - index as f64) / (length + 1.0);
        *sum = unknown + carried;
        carried = known;
    }
    sums.push(carried);
}

/// The total of the sums as they would be without this feature, which is taken out again.
fn without(sums: &[f64], element: Element) -> f64 {
    let length = sums.len() as f64;
    let Some((last, others)) = sums.split_last() else { return 0.0 };
    let mut total = 0.0;
    let mut next = *last;
    for (index, sum) in others.iter().enumerate().rev() {
        let index = index as f64;
        if element.taken > 0.0 {
            let one = next / (index + 1.0);
            total += one;
            next = sum - one * element.share * (length - 1.0 - index);
        } else if element.share > 0.0 {
            total += sum / (element.share * (length - 1.0 - index));
        }
    }
    total * length
}
