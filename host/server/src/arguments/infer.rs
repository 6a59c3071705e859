//! Flags of `nereid infer`.

use std::{
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use clap::{ArgAction, Args};
use nereid_client::{Call, ClientError, InputArgument, Scale, ShapeArgument};

use crate::arguments::DestinationArguments;

pub(crate) const EXAMPLES: &str = "\
VALUE is a list (1,2,3 or [[1,2],[3,4]]), a text for BYTES inputs, or @FILE: a PNG or JPEG picture, a NumPy array (.npy), or raw
little-endian elements. BYTES inputs take any file as one element, as it is. An input given twice is a batch of two.

Examples:
  nereid infer vision_pipeline -i image=@examples/vision/images/demo_7.jpg
  nereid infer vision_pipeline --url grpc://127.0.0.1:8001 -i image=@a.png -i image=@b.png --json
  nereid infer digits_cnn -i image=@examples/vision/images/demo_7.jpg --scale unit --classes 3
  nereid infer add_sub -i INPUT0=1,2,3,4 -i INPUT1=[[5,6,7,8]] --count 1000";

/// Which model is asked for what, and how the answer is shown.
#[derive(Args, Clone, Debug)]
pub struct InferArguments {
    /// Name of the model
    #[arg(value_name = "MODEL")]
    pub model: String,

    #[command(flatten)]
    pub destination: DestinationArguments,

    /// Version of the model; the one that the server chooses unless given
    #[arg(long, value_name = "VERSION")]
    pub version: Option<u64>,

    /// An input: INPUT=VALUE or INPUT=@FILE; may be given several times
    #[arg(short, long = "input", value_name = "INPUT=VALUE", action = ArgAction::Append)]
    pub inputs: Vec<InputArgument>,

    /// Shape of an input, where the model leaves it open: INPUT=2,3
    #[arg(long = "shape", value_name = "INPUT=DIMS", action = ArgAction::Append)]
    pub shapes: Vec<ShapeArgument>,

    /// What becomes of the bytes 0 to 255 of a picture for a float input: 'none' keeps them, 'unit' makes them 0 to 1,
    /// 'imagenet' normalises them as networks trained on ImageNet expect
    #[arg(long, value_name = "SCALE", default_value = "none")]
    pub scale: Scale,

    /// An output to ask for; all of them unless given; may be given several times
    #[arg(short, long = "output", value_name = "OUTPUT", action = ArgAction::Append)]
    pub outputs: Vec<String>,

    /// Ask for the so many largest values of each output, with their labels
    #[arg(long, value_name = "COUNT")]
    pub classes: Option<NonZeroU32>,

    /// Print each answer as one line of JSON with every element
    #[arg(long)]
    pub json: bool,

    /// How long the server may take for a request, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    pub timeout: NonZeroU64,

    /// Send the request so often, one after the other, and print how long that took
    #[arg(long, value_name = "COUNT", default_value = "1")]
    pub count: NonZeroU64,
}

// === impl InferArguments ===

impl InferArguments {
    /// The same in the words of the client.
    ///
    /// # Errors
    /// See [`DestinationArguments::destination`].
    pub fn call(&self) -> Result<Call, ClientError> {
        Ok(Call {
            destination: self.destination.destination()?,
            model: self.model.clone(),
            version: self.version,
            inputs: self.inputs.clone(),
            shapes: self.shapes.clone(),
            scale: self.scale,
            outputs: self.outputs.clone(),
            classes: self.classes.map(NonZeroU32::get),
            json: self.json,
            timeout: Duration::from_secs(self.timeout.get()),
            count: self.count,
        })
    }
}
