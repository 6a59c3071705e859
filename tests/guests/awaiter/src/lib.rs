//! What a plugin does that awaits, well and badly, chosen by the request's parameter `do`; `models` names those that it calls.
//!
//! Requests of a batch are served at the same time. Without the parameter `X` comes back as it is.

use std::{
    future::{Future, IntoFuture, pending, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use nereid_sdk::{
    AsyncModel, Call, Error, Outcome, Request, Response, Tensor, export_async_model, infer, join_all, log, setting,
};

struct Awaiter;

type Asked = Pin<Box<dyn Future<Output = Result<Response, Error>>>>;

impl AsyncModel for Awaiter {
    async fn new() -> Result<Self, Error> {
        match setting("refuse") {
            Some(why) => Err(Error::invalid_argument(why)),
            None => Ok(Self),
        }
    }

    async fn execute(&self, batch: Vec<Request>) -> Vec<Outcome> {
        let answers = batch.iter().map(|request| async { act(request).await.unwrap_or_else(Outcome::Failure) });
        join_all(answers).await
    }

    async fn finalise(&self) {
        log::info!("finalised");
    }
}

async fn act(request: &Request) -> Result<Outcome, Error> {
    let x = request.inputs()?.take("X")?;
    let models = text(request, "models");
    let calls = || models.split(',').map(|model| infer(model).input("X", &x));
    let answer = match text(request, "do").as_str() {
        "" => Ok(Response::new().output("X", x)),
        "sum" => sum(join_all(calls().map(Call::into_future)).await),
        "take the first" => first(calls().map(Call::into_future).collect()).await,
        "count answers" => count(join_all(calls().map(answers)).await),
        "patience" => infer(&models).input("X", &x).timeout(Duration::from_millis(20)).await,
        "deliver" => return deliver(request, &x).await,
        "refuse" => Err(Error::invalid_argument("X is not to my taste")),
        "panic" => panic!("out of my depth"),
        "spin" => loop {
            std::hint::black_box(0);
        },
        "wait for nothing" => pending().await,
        "leave calls behind" => {
            leave(calls().map(Call::into_future).collect()).await;
            Ok(Response::new().output("X", x))
        }
        other => Err(Error::unsupported(format_args!("do: '{other}'"))),
    };
    Ok(answer.into())
}

/// Element by element over all answers, which must be there.
fn sum(answers: Vec<Result<Response, Error>>) -> Result<Response, Error> {
    let mut total: Vec<f32> = Vec::new();
    for answer in answers {
        let values = answer?.tensor("X")?.as_f32()?;
        total.resize(values.len(), 0.0);
        total.iter_mut().zip(values).for_each(|(total, value)| *total += value);
    }
    respond(&total)
}

/// The answer of whoever is first; the other calls are cancelled.
async fn first(mut calls: Vec<Asked>) -> Result<Response, Error> {
    poll_fn(|context| {
        let ready = calls.iter_mut().find_map(|call| match call.as_mut().poll(context) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        });
        ready.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// How many responses a model gives.
async fn answers(call: Call) -> Result<f32, Error> {
    let (mut answers, mut count) = (call.answers()?, 0.0);
    while answers.next().await?.is_some() {
        count += 1.0;
    }
    Ok(count)
}

fn count(counts: Vec<Result<f32, Error>>) -> Result<Response, Error> {
    let counts: Vec<f32> = counts.into_iter().collect::<Result<_, _>>()?;
    respond(&counts)
}

/// A response for each element, through the sender.
async fn deliver(request: &Request, x: &Tensor) -> Result<Outcome, Error> {
    let sender = request.sender()?;
    for value in x.as_f32()? {
        sender.deliver(respond(&[value])?).await?;
    }
    sender.finish();
    Ok(Outcome::Deferred)
}

/// One row of these numbers.
fn respond(row: &[f32]) -> Result<Response, Error> {
    Ok(Response::new().output("X", Tensor::from_f32(&[1, row.len() as u64], row)?))
}

/// Begins the calls and never looks at them again.
async fn leave(calls: Vec<Asked>) {
    for mut call in calls {
        poll_fn(|context| {
            let _ = pin!(&mut call).poll(context);
            Poll::Ready(())
        })
        .await;
        std::mem::forget(call);
    }
}

fn text(request: &Request, name: &str) -> String {
    request.parameter(name).and_then(|value| value.as_text().map(str::to_owned)).unwrap_or_default()
}

export_async_model!(Awaiter);
