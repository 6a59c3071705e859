//! A batching strategy that limits the bytes of a batch.

use nereid_sdk::{BatchModel, BatchRequest, BatchStrategy, Error, export_batching};

struct Double {
    bytes_max: u64,
    bytes: u64,
}

impl BatchStrategy for Double {
    fn new(model: &BatchModel) -> Result<Self, Error> {
        // The `parameters` of config.pbtxt, read once per instance; an error here fails the load.
        let text = model.parameter("batch_bytes_max").unwrap_or("1000000");
        let bytes_max = text.parse().map_err(|_| {
            Error::invalid_argument(format!("parameter 'batch_bytes_max' is '{text}', expected a whole number"))
        })?;
        Ok(Self { bytes_max, bytes: 0 })
    }

    fn begin(&mut self) {
        self.bytes = 0;
    }

    fn include(&mut self, request: &BatchRequest) -> bool {
        // The first request of a batch is in it whatever is said here.
        self.bytes += request.byte_size();
        self.bytes <= self.bytes_max
    }
}

export_batching!(Double);
