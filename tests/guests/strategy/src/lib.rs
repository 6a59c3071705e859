//! A batching strategy for tests. The model's parameter `manner` says what it does about every request; all that it is told is a line of the
//! log. A request's parameter `alone` keeps it out of a batch that others have begun.

use nereid_sdk::{BatchModel, BatchRequest, BatchStrategy, Error, Value, export_batching, log};

struct Strategy {
    manner: String,
    batches: u64,
}

impl BatchStrategy for Strategy {
    fn new(model: &BatchModel) -> Result<Self, Error> {
        let manner = model.parameter("manner").unwrap_or_default().to_owned();
        if manner == "refuse" {
            return Err(Error::invalid_argument("this model has no batches"));
        }
        let names_itself = model.config.contains(&format!("\"{}\"", model.name));
        log::info!("strategy of {} {}, {} rows, {names_itself}", model.name, model.version, model.max_batch_size);
        Ok(Self { manner, batches: 0 })
    }

    fn begin(&mut self) {
        self.batches += 1;
        log::info!("begins");
    }

    fn include(&mut self, request: &BatchRequest) -> bool {
        let BatchRequest { id, rows, priority, correlation_id, .. } = request;
        let inputs = request.inputs.iter().map(|input| (&*input.name, input.dtype, &*input.shape, input.byte_size));
        let inputs: Vec<_> = inputs.collect();
        log::info!("asked about '{id}': {rows} rows, priority {priority}, {correlation_id:?}, {inputs:?}");
        match &*self.manner {
            "no" => false,
            "trap" => panic!("out of luck"),
            "trap once" if self.batches == 1 && id == "last straw" => panic!("out of luck"),
            #[expect(clippy::empty_loop, reason = "what it is for")]
            "spin" => loop {},
            "hoard" => {
                let hoard = vec![1_u8; 1 << 30];
                hoard.iter().all(|byte| *byte == 1)
            }
            _ => !matches!(request.parameter("alone"), Some(Value::Boolean(true))),
        }
    }

    fn finish(&mut self) {
        log::info!("finished");
    }
}

export_batching!(Strategy);
