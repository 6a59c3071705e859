//! The raw output of a YOLO detector in, the objects of each image out.
//!
//! Input `predictions`: FP32 `[n, 4 + classes, anchors]`, as YOLOv8 and its successors export it: per anchor the box (middle,
//! width, height, in pixels of the detector's input) and a score for each class. Input `image_size`: INT32 `[n, 2]`, height
//! and width of the images before they were letterboxed; without it boxes stay in pixels of the detector's input.
//!
//! Outputs, the best first: `boxes` FP32 `[n, k, 4]` (left, top, right, bottom), `scores` FP32 `[n, k]`, `classes` INT32
//! `[n, k]`, `count` INT32 `[n, 1]`. `k` is the count of the image that has most; behind the boxes of the others come zeroes,
//! and -1 as the class.
//!
//! Settings `score_min`, `overlap_max`, `boxes_max`, `per_class` ([`Rules`]), which a request may change by parameters of the
//! same names; `input_width`, `input_height` (640): the detector's input; `classes`: how many it knows, 0 for any number.
//!
//! The tensor stays in the host: the best class of each anchor and the suppression are operations there, and only what those
//! leave over is read, one box, score and class per anchor.

mod frame;
mod rules;

use nereid_sdk::{
    Error, Inputs, Request, Response, Tensor, Transform, export_transform,
    operations::{self, BoxForm, Suppression},
    setting_or,
};

use crate::{
    frame::{Canvas, Frame},
    rules::Rules,
};

/// Behind the last box of an image.
const NO_CLASS: i32 = -1;

struct DetectionBoxes {
    canvas: Canvas,
    classes: u64,
    rules: Rules,
}

/// What was found in one image, the best first.
struct Found {
    boxes: Vec<[f32; 4]>,
    scores: Vec<f32>,
    classes: Vec<i32>,
}

// === impl DetectionBoxes ===

impl Transform for DetectionBoxes {
    fn new() -> Result<Self, Error> {
        let rules = Rules {
            score_min: setting_or("score_min", Rules::DEFAULT.score_min)?,
            overlap_max: setting_or("overlap_max", Rules::DEFAULT.overlap_max)?,
            boxes_max: setting_or("boxes_max", Rules::DEFAULT.boxes_max)?,
            per_class: setting_or("per_class", Rules::DEFAULT.per_class)?,
        };
        let rules = rules.checked().map_err(|error| Error::internal(error).prefixed("config.pbtxt: parameter "))?;
        let canvas = Canvas::new(setting_or("input_width", 640)?, setting_or("input_height", 640)?)?;
        Ok(Self { canvas, classes: setting_or("classes", 0)?, rules })
    }

    fn run(&mut self, request: &Request, inputs: Inputs) -> Result<Response, Error> {
        let rules = self.rules.changed_by(&request.parameters())?;
        let predictions = inputs.tensor("predictions")?;
        let shape = self.check_shape(&predictions.shape())?;
        let frames = self.frames(inputs.optional("image_size"), shape[0])?;
        let [_, rows, anchors] = shape;
        let found = frames.iter().zip(0..).map(|(frame, image)| {
            let one = predictions.slice(image * rows * anchors, &[rows, anchors])?;
            find(&one, frame, rules)
        });
        answer(found.collect::<Result<_, _>>()?)
    }
}

impl DetectionBoxes {
    fn check_shape(&self, shape: &[u64]) -> Result<[u64; 3], Error> {
        match *shape {
            [images, rows, anchors] if rows > 4 && (self.classes == 0 || rows == 4 + self.classes) => {
                Ok([images, rows, anchors])
            }
            _ => {
                let rows = if self.classes == 0 { "4 + classes".to_owned() } else { (4 + self.classes).to_string() };
                Err(Error::invalid_argument(format_args!(
                    "input 'predictions' has shape {shape:?}, expected [n, {rows}, anchors]"
                )))
            }
        }
    }

    /// Where each image lies on the detector's input.
    fn frames(&self, sizes: Option<&Tensor>, images: u64) -> Result<Vec<Frame>, Error> {
        let Some(sizes) = sizes else { return Ok((0..images).map(|_| self.canvas.itself()).collect()) };
        let sizes = sizes.elements::<i32>()?;
        let (sizes, rest) = sizes.as_chunks::<2>();
        if sizes.len() as u64 != images || !rest.is_empty() {
            return Err(Error::invalid_argument(format_args!("input 'image_size' must have shape [{images}, 2]")));
        }
        let frame = |(row, [height, width]): (usize, &[i32; 2])| {
            let framed = self.canvas.frame(*height, *width);
            framed.map_err(|error| error.prefixed(format_args!("row {row} of input 'image_size' ")))
        };
        sizes.iter().enumerate().map(frame).collect()
    }
}

/// The objects of one image, from `[4 + classes, anchors]`.
fn find(predictions: &Tensor, frame: &Frame, rules: Rules) -> Result<Found, Error> {
    let rows = predictions.shape().first().map_or(Ok(0), |rows| u32::try_from(*rows))?;
    let parts = operations::split(predictions, &[4, rows.saturating_sub(4)], 0)?;
    let [boxes, scores] = parts.as_slice() else { return Err(Error::internal("split gave no two parts")) };
    let boxes = operations::transpose(boxes, &[1, 0])?;
    let best = operations::top_k(scores, 1, 0)?;
    let suppression = Suppression {
        classes: rules.per_class.then_some(&best.indices),
        overlap: rules.overlap_max,
        score_min: Some(rules.score_min),
        kept_max: Some(rules.boxes_max),
        form: BoxForm::Centre,
    };
    let kept = operations::suppress(&boxes, &best.values, &suppression)?.elements::<i64>()?;
    gather(&kept, &boxes.as_f32()?, &best.values.as_f32()?, &best.indices.elements()?, frame)
}

/// What belongs to the anchors that were kept.
fn gather(kept: &[i64], boxes: &[f32], scores: &[f32], classes: &[i64], frame: &Frame) -> Result<Found, Error> {
    let mut found = Found { boxes: Vec::new(), scores: Vec::new(), classes: Vec::new() };
    let (boxes, _) = boxes.as_chunks::<4>();
    for anchor in kept {
        let anchor = usize::try_from(*anchor)?;
        let (Some(numbers), Some(score), Some(class)) = (boxes.get(anchor), scores.get(anchor), classes.get(anchor))
        else {
            return Err(Error::internal(format_args!("there is no anchor {anchor}")));
        };
        found.boxes.push(frame.corners(*numbers));
        found.scores.push(*score);
        found.classes.push(i32::try_from(*class)?);
    }
    Ok(found)
}

/// All images side by side, each as long as the longest.
fn answer(mut found: Vec<Found>) -> Result<Response, Error> {
    let images = found.len() as u64;
    let counts: Vec<i32> = found.iter().map(|image| image.scores.len() as i32).collect();
    let longest = found.iter().map(|image| image.scores.len()).max().unwrap_or(0);
    for image in &mut found {
        image.boxes.resize(longest, [0.0; 4]);
        image.scores.resize(longest, 0.0);
        image.classes.resize(longest, NO_CLASS);
    }
    let boxes: Vec<f32> = found.iter().flat_map(|image| image.boxes.as_flattened()).copied().collect();
    let scores: Vec<f32> = found.iter().flat_map(|image| &image.scores).copied().collect();
    let classes: Vec<i32> = found.iter().flat_map(|image| &image.classes).copied().collect();
    let longest = longest as u64;
    Ok(Response::new()
        .output("boxes", Tensor::from_f32(&[images, longest, 4], &boxes)?)
        .output("scores", Tensor::from_f32(&[images, longest], &scores)?)
        .output("classes", Tensor::from_elements(&[images, longest], &classes)?)
        .output("count", Tensor::from_elements(&[images, 1], &counts)?))
}

export_transform!(DetectionBoxes);
