//! The contract test's plugin with the whole life of a model that awaits. `tests/guests/contract_full/README.md` has the list that it
//! shares with those that return; with the setting `asks`, it is ready when that model answers.

use std::{cell::RefCell, hint::black_box};

use nereid_sdk::{
    AsyncModel, ConfigDraft, DataType, Error, ErrorCode, FullAsyncModel, Outcome, Request, Response, Sender, Tensor,
    export_full_async_model, infer, join_all, setting, state,
};

#[derive(Default)]
enum Health {
    #[default]
    Well,
    Sick,
    Hanging,
}

/// Who waits for an answer, and its shape and values.
type Kept = (Sender, Vec<u64>, Vec<f32>);

#[derive(Default)]
struct Contract {
    health: RefCell<Health>,
    /// Answered when the instance is drained.
    kept: RefCell<Vec<Kept>>,
}

impl AsyncModel for Contract {
    async fn new() -> Result<Self, Error> {
        Ok(Self::default())
    }

    async fn execute(&self, batch: Vec<Request>) -> Vec<Outcome> {
        batch.iter().map(|request| self.answer(request).unwrap_or_else(Outcome::Failure)).collect()
    }
}

impl Contract {
    fn answer(&self, request: &Request) -> Result<Outcome, Error> {
        let x = request.inputs()?.take("X")?;
        let mode = request.parameter("mode");
        match mode.as_ref().and_then(|mode| mode.as_text()).unwrap_or_default() {
            "sick" => _ = self.health.replace(Health::Sick),
            "well" => _ = self.health.replace(Health::Well),
            "hang" => _ = self.health.replace(Health::Hanging),
            "keep" => {
                self.kept.borrow_mut().push((request.sender()?, x.shape(), x.as_f32()?.to_vec()));
                return Ok(Outcome::Deferred);
            }
            _ => {}
        }
        Ok(Outcome::Answer(Response::new().output("X", x)))
    }
}

impl FullAsyncModel for Contract {
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

    async fn is_ready(&self) -> Result<(), Error> {
        if let Some(model) = setting("asks") {
            infer(&model).input("X", &Tensor::from_f32(&[1, 1], &[1.0])?).await?;
        }
        match *self.health.borrow() {
            Health::Well => Ok(()),
            Health::Sick => Err(Error::new(ErrorCode::Unavailable, "out of order")),
            Health::Hanging => loop {
                black_box(());
            },
        }
    }

    /// All clients at once.
    async fn drain(&self) {
        join_all(self.kept.take().into_iter().map(async |(sender, shape, values)| {
            let values: Vec<f32> = values.iter().map(|value| value + 100.0).collect();
            if let Ok(x) = Tensor::from_f32(&shape, &values) {
                // One that was kept too long has ended.
                let _ = sender.deliver(Response::new().output("X", x)).await;
                sender.finish();
            }
        }))
        .await;
        let _ = state::add("drained", 1);
    }
}

export_full_async_model!(Contract);
