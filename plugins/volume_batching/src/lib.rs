//! A batching strategy for requests of different sizes: a batch ends where it would be too large to compute.
//!
//! The model's `parameters` say what is too large: `MAX_BATCH_VOLUME_BYTES`, as of Triton's example of that name, for the bytes of all
//! inputs; `MAX_BATCH_PADDED_ELEMENTS` for what a model computes that pads every row to the longest one, such as a transformer over texts.

mod volume;

use nereid_sdk::{BatchModel, BatchRequest, BatchStrategy, Error, export_batching, log};

use crate::volume::{Limits, Size, Volume};

struct VolumeBatching {
    limits: Limits,
    volume: Volume,
}

impl BatchStrategy for VolumeBatching {
    fn new(model: &BatchModel) -> Result<Self, Error> {
        let limits = Limits::parse(|name| model.parameter(name)).map_err(Error::invalid_argument)?;
        log::info!("batches of {} have at most {limits}", model.name);
        Ok(Self { limits, volume: Volume::default() })
    }

    fn begin(&mut self) {
        self.volume = Volume::default();
    }

    fn include(&mut self, request: &BatchRequest) -> bool {
        let elements = request.inputs.iter().map(|input| input.shape.iter().product::<u64>()).sum();
        let together = self.volume.with(Size { rows: request.rows, bytes: request.byte_size(), elements });
        let joins = self.volume.is_empty() || self.limits.allow(&together);
        if joins {
            self.volume = together;
        }
        joins
    }
}

export_batching!(VolumeBatching);
