//! Classifies images by calling other models, and asks a larger one only where the first is not sure.
//!
//! Input `image`: BYTES `[n, 1]`, each element a whole JPEG, PNG or WebP file. Outputs: `label` BYTES `[n, k]` and
//! `probability` FP32 `[n, k]` as of `label_mapper`, and `model` BYTES `[n, 1]`: which model decided.
//!
//! Setting `confidence_min` (default 0.8): below this probability of its best class, `digits_cnn` is not believed and
//! `digits_cnn_large` is asked. Images and tensors are handed on by reference; only logits are read here. The unsure
//! images are asked about one by one but at the same time, so that the larger model's batcher joins them again.

mod cascade;

use nereid_sdk::{Error, Inputs, Pending, Request, Response, Tensor, Transform, export_transform, infer, setting_or};

use crate::cascade::{CONFIDENCE_MIN, check_confidence, replace_row, unsure_rows};

const PREPROCESS: &str = "image_preprocess";
const SMALL: &str = "digits_cnn";
const LARGE: &str = "digits_cnn_large";
const LABELS: &str = "label_mapper";

struct VisionBls {
    confidence_min: f32,
}

// === impl VisionBls ===

impl VisionBls {
    /// Asks the larger model about some rows of `images` and puts its logits in the place of theirs.
    fn ask_large(&self, images: &Tensor, rows: &[usize], logits: &mut [f32], classes: usize) -> Result<(), Error> {
        let image_shape = images.shape().split_first().map_or(Vec::new(), |(_, inner)| inner.to_vec());
        let image_elements: u64 = image_shape.iter().product();
        let one_image: Vec<u64> = [1].into_iter().chain(image_shape).collect();
        let submit = |row: &usize| {
            let image = images.slice(*row as u64 * image_elements, &one_image)?;
            infer(LARGE).input("image", &image).outputs(["logits"]).submit()
        };
        let pending: Vec<Pending> = rows.iter().map(submit).collect::<Result<_, Error>>()?;
        for (row, pending) in rows.iter().zip(&pending) {
            let answer = pending.receive()?;
            let answer = answer.ok_or_else(|| Error::internal(format_args!("model '{LARGE}' gave no response")))?;
            replace_row(logits, *row, classes, &answer.tensor("logits")?.as_f32()?)?;
        }
        Ok(())
    }
}

impl Transform for VisionBls {
    fn new() -> Result<Self, Error> {
        Ok(Self { confidence_min: check_confidence(setting_or("confidence_min", CONFIDENCE_MIN)?)? })
    }

    fn run(&mut self, _request: &Request, inputs: Inputs) -> Result<Response, Error> {
        let prepared = infer(PREPROCESS).input("image", inputs.tensor("image")?).call()?;
        let images = prepared.tensor("tensor")?;
        let mut small = infer(SMALL).input("image", images).outputs(["logits"]).call()?;
        let mut logits = small.take("logits")?;

        let shape = logits.shape();
        let classes = usize::try_from(*shape.last().unwrap_or(&0))?;
        let mut values = logits.as_f32()?;
        let unsure = unsure_rows(&values, classes, self.confidence_min);
        if !unsure.is_empty() {
            self.ask_large(images, &unsure, &mut values, classes)?;
            logits = Tensor::from_f32(&shape, &values)?;
        }

        let rows = *shape.first().unwrap_or(&0);
        let decided = |row| if unsure.contains(&row) { LARGE } else { SMALL };
        let models: Vec<&str> = (0..usize::try_from(rows)?).map(decided).collect();
        let mut mapped = infer(LABELS).input("logits", &logits).call()?;
        Ok(Response::new()
            .output("label", mapped.take("label")?)
            .output("probability", mapped.take("probability")?)
            .output("model", Tensor::from_blobs(&[rows, 1], &models)?))
    }
}

export_transform!(VisionBls);
