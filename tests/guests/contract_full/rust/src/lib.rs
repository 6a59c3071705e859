//! The contract test's plugin with the whole life of a model in Rust. `tests/guests/contract_full/README.md` has the list that all
//! languages share.

use std::hint::black_box;

use nereid_sdk::{
    ConfigDraft, DataType, Error, ErrorCode, FullModel, Model, Outcome, Request, Response, Sender, Tensor,
    export_full_model, setting, state,
};

#[derive(Default)]
enum Health {
    #[default]
    Well,
    Sick,
    Hanging,
}

#[derive(Default)]
struct Contract {
    health: Health,
    /// Answered when the instance is drained.
    kept: Vec<(Sender, Vec<u64>, Vec<f32>)>,
}

impl Model for Contract {
    fn new() -> Result<Self, Error> {
        Ok(Self::default())
    }

    fn execute(&mut self, batch: Vec<Request>) -> Vec<Outcome> {
        batch.iter().map(|request| self.answer(request).unwrap_or_else(Outcome::Failure)).collect()
    }
}

impl Contract {
    fn answer(&mut self, request: &Request) -> Result<Outcome, Error> {
        let x = request.inputs()?.take("X")?;
        let mode = request.parameter("mode");
        match mode.as_ref().and_then(|mode| mode.as_text()).unwrap_or_default() {
            "sick" => self.health = Health::Sick,
            "well" => self.health = Health::Well,
            "hang" => self.health = Health::Hanging,
            "keep" => {
                self.kept.push((request.sender()?, x.shape(), x.as_f32()?.to_vec()));
                return Ok(Outcome::Deferred);
            }
            _ => {}
        }
        Ok(Outcome::Answer(Response::new().output("X", x)))
    }
}

impl FullModel for Contract {
    fn complete_config(draft: &mut ConfigDraft) -> Result<(), Error> {
        if setting("unknown").is_some() {
            return Err(Error::invalid_argument("nothing is known"));
        }
        for input in draft.inputs.iter_mut().filter(|input| input.data_type.is_none()) {
            (input.data_type, input.dims) = (Some(DataType::Int64), Some(vec![2, 3]));
        }
        draft.input("X", DataType::Fp32, &[-1]);
        draft.input("W", DataType::Bytes, &[1]).optional = true;
        draft.output("X", DataType::Fp32, &[-1]);
        draft.max_batch_size = 8;
        draft.dynamic_batching = true;
        draft.decoupled = Some(false);
        Ok(())
    }

    fn is_ready(&mut self) -> Result<(), Error> {
        match self.health {
            Health::Well => Ok(()),
            Health::Sick => Err(Error::new(ErrorCode::Unavailable, "out of order")),
            Health::Hanging => loop {
                black_box(());
            },
        }
    }

    fn drain(&mut self) {
        for (sender, shape, values) in self.kept.drain(..) {
            let values: Vec<f32> = values.iter().map(|value| value + 100.0).collect();
            // One that was kept too long has ended.
            let _ = Tensor::from_f32(&shape, &values).and_then(|x| sender.respond(Response::new().output("X", x)));
        }
        let _ = state::add("drained", 1);
    }
}

export_full_model!(Contract);
