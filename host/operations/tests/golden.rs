//! Every operation beside NumPy and Pillow: `golden/make.py` wrote what they give, and how far from it is right.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use base64::{Engine, prelude::BASE64_STANDARD};
use nereid_operations::*;
use nereid_tensor::{DataType, Shape, Tensor};
use serde_json::Value;

fn budget() -> Budget {
    Budget::new(64 << 20)
}

/// One case of a golden file.
struct Case(Value);

impl Case {
    fn argument(&self, name: &str) -> &Value {
        &self.0["arguments"][name]
    }

    fn int(&self, name: &str) -> i32 {
        self.argument(name).as_i64().unwrap_or_else(|| panic!("no {name}")) as i32
    }

    fn float(&self, name: &str) -> f32 {
        self.argument(name).as_f64().unwrap_or_else(|| panic!("no {name}")) as f32
    }

    fn flag(&self, name: &str) -> bool {
        self.argument(name).as_bool().unwrap_or_default()
    }

    fn text(&self, name: &str) -> &str {
        self.argument(name).as_str().unwrap_or_else(|| panic!("no {name}"))
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.argument(name).as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
    }

    fn ints(&self, name: &str) -> Vec<u32> {
        self.argument(name).as_array().unwrap().iter().map(|value| value.as_u64().unwrap() as u32).collect()
    }

    fn tensors(&self, name: &str) -> Vec<Tensor> {
        let tensor = |value: &Value| {
            let shape: Shape =
                value["shape"].as_array().unwrap().iter().map(|extent| extent.as_u64().unwrap()).collect();
            let data = BASE64_STANDARD.decode(value["data"].as_str().unwrap()).unwrap();
            let data_type: DataType = value["type"].as_str().unwrap().parse().unwrap();
            Tensor::new(data_type, shape, data.into()).unwrap()
        };
        self.0[name].as_array().unwrap().iter().map(tensor).collect()
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OperationError> {
        let first = &inputs[0];
        Ok(match self.0["operation"].as_str().unwrap() {
            "cast" => {
                let rules = CastRules { round_to_nearest: self.flag("round_to_nearest"), refuse_overflow: false };
                vec![cast(first, self.text("to").parse().unwrap(), rules, budget())?]
            }
            "normalise" => {
                let (mean, deviation) = (self.floats("mean"), self.floats("deviation"));
                let arguments = Normalise {
                    scale: self.float("scale"),
                    mean: &mean,
                    deviation: &deviation,
                    axis: self.int("axis"),
                };
                vec![normalise(first, &arguments, budget())?]
            }
            "affine" => {
                let (scale, bias) = (self.floats("scale"), self.floats("bias"));
                vec![affine(first, &Affine { scale: &scale, bias: &bias, axis: self.int("axis") }, budget())?]
            }
            "to-channels-first" => vec![to_channels_first(first, budget())?],
            "to-channels-last" => vec![to_channels_last(first, budget())?],
            "transpose" => vec![transpose(first, &self.ints("axes"), budget())?],
            "concat" => vec![concat(inputs, self.int("axis"), budget())?],
            "stack" => vec![stack(inputs, self.int("axis"), budget())?],
            "split" => split(first, &self.ints("extents"), self.int("axis"), budget())?,
            "pad" => {
                let (before, after) = (self.ints("before"), self.ints("after"));
                let value = self.float("value").into();
                vec![pad(first, &Padding { before: &before, after: &after, value }, budget())?]
            }
            "softmax" => vec![softmax(first, self.int("axis"), budget())?],
            "argmax" => vec![argmax(first, self.int("axis"), budget())?],
            "top-k" => {
                let ranked = top_k(first, self.int("k") as u32, self.int("axis"), budget())?;
                vec![ranked.values, ranked.indices]
            }
            "non-maximum-suppression" => vec![self.suppress(inputs)?],
            "crop" => vec![self.crop(first)?],
            "resize" => vec![self.resize(first)?],
            "decode-image" => vec![self.decode(first)?],
            other => panic!("no such operation: {other}"),
        })
    }

    fn suppress(&self, inputs: &[Tensor]) -> Result<Tensor, OperationError> {
        let suppression = Suppression {
            classes: inputs.get(2),
            overlap_max: self.float("overlap"),
            score_min: None,
            kept_max: None,
            form: BoxForm::Corners,
        };
        suppress(&inputs[0], &inputs[1], &suppression, budget())
    }

    fn crop(&self, image: &Tensor) -> Result<Tensor, OperationError> {
        let [top, left, height, width] = ["top", "left", "height", "width"].map(|name| self.int(name) as u32);
        crop(image, Window { top, left, height, width }, budget())
    }

    fn resize(&self, image: &Tensor) -> Result<Tensor, OperationError> {
        let filter = match self.text("filter") {
            "nearest" => Filter::Nearest,
            "bilinear" => Filter::Bilinear,
            "antialiased-box" => Filter::AntialiasedBox,
            "antialiased-bilinear" => Filter::AntialiasedBilinear,
            "antialiased-bicubic" => Filter::AntialiasedBicubic,
            "antialiased-lanczos" => Filter::AntialiasedLanczos,
            other => panic!("no such filter: {other}"),
        };
        let (height, width) = (self.int("height") as u32, self.int("width") as u32);
        resize(image, Resize { height, width, filter }, budget())
    }

    fn decode(&self, file: &Tensor) -> Result<Tensor, OperationError> {
        let channels = match self.int("channels") {
            1 => Channels::Grey,
            3 => Channels::Rgb,
            4 => Channels::Rgba,
            _ => Channels::AsStored,
        };
        let keep_orientation = self.flag("keep_orientation");
        let index = self.argument("index").as_u64().unwrap_or_default() as u32;
        decode_image(file, index, Decode { channels, keep_orientation, ..Decode::default() }, budget())
    }
}

/// The largest difference of two tensors of numbers.
fn distance(found: &Tensor, expected: &Tensor) -> f64 {
    let numbers = |tensor: &Tensor| {
        let double = cast(tensor, DataType::Fp64, CastRules::default(), budget()).unwrap();
        double.elements::<f64>().unwrap().to_vec()
    };
    numbers(found).iter().zip(numbers(expected)).map(|(left, right)| (left - right).abs()).fold(0.0, f64::max)
}

/// Says how far `found` is from `expected` if that is too far.
fn complaint(found: &Tensor, expected: &Tensor, tolerance: f64) -> Option<String> {
    if (found.data_type(), found.shape()) != (expected.data_type(), expected.shape()) {
        let (found, expected) = ((found.data_type(), found.shape()), (expected.data_type(), expected.shape()));
        return Some(format!("found {found:?}, expected {expected:?}"));
    }
    if found.buffer().as_slice() == expected.buffer().as_slice() {
        return None;
    }
    let distance = distance(found, expected);
    (tolerance == 0.0 || distance > tolerance).then(|| format!("{distance} apart, allowed is {tolerance}"))
}

fn check(name: &str, cases_min: usize) {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(cases.len() >= cases_min, "only {} cases in {name}", cases.len());
    let mut complaints = Vec::new();
    for (number, case) in cases.into_iter().map(Case).enumerate() {
        let (inputs, expected) = (case.tensors("inputs"), case.tensors("outputs"));
        let subject = format!("case {number}, {} {}", case.0["operation"], case.0["arguments"]);
        match case.run(&inputs) {
            Err(error) => complaints.push(format!("{subject}: {error}")),
            Ok(found) => {
                assert_eq!(found.len(), expected.len(), "{subject}");
                let tolerance = case.0["tolerance"].as_f64().unwrap();
                let pairs = found.iter().zip(&expected);
                let wrong = pairs.filter_map(|(found, expected)| complaint(found, expected, tolerance));
                complaints.extend(wrong.map(|wrong| format!("{subject}: {wrong}")));
            }
        }
    }
    assert!(complaints.is_empty(), "{} of {name} differ:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn casts_are_numpys() {
    check("cast", 130);
}

#[test]
fn scaling_is_numpys_to_the_last_bit() {
    check("affine", 4);
}

#[test]
fn layouts_are_numpys() {
    check("layout", 9);
}

#[test]
fn rankings_are_numpys() {
    check("ranking", 17);
}

#[test]
fn resized_pictures_are_pillows() {
    check("resize", 50);
}

#[test]
fn decoded_pictures_are_pillows() {
    check("images", 35);
}
