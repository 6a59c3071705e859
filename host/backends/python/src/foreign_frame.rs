//! A frame as a process of somebody else's code could write it, read as everything that a runner may say: for the fuzz target.
//! The readers are those of the two connections; only the socket is left out.

use nereid_tensor::Buffer;

use crate::{
    frame::{HEAD_BYTES, Head},
    messages::{Answer, Executed, InferCall, Loaded, ResponseRow, Said, error_of, parameters},
    payload::{self, TensorRow},
};

/// The largest payload that is let in.
const PAYLOAD_BYTES_MAX: u64 = 1 << 20;

/// Reads one frame; gives the number of tensors that it held.
///
/// # Errors
/// What is wrong with it, in the words that the log would have.
pub fn read_foreign_frame(bytes: &[u8]) -> Result<usize, String> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or("a frame ends within its head")?;
    let head = Head::parse(*head, PAYLOAD_BYTES_MAX).map_err(|error| error.to_string())?;
    let header = rest.get(..head.header_bytes).ok_or("a frame ends within its header")?;
    let payload = rest.get(head.header_bytes..).unwrap_or_default();
    let payload = Buffer::from(payload.get(..head.payload_bytes).unwrap_or(payload).to_vec());
    let loaded = serde_json::from_slice::<Loaded>(header).map(|_| 0).map_err(|error| error.to_string());
    let executed = serde_json::from_slice::<Executed>(header)
        .map_err(|error| error.to_string())
        .and_then(|executed| executed.answers.into_iter().map(|answer| answered(answer, &payload)).sum());
    let said = serde_json::from_slice::<Said>(header)
        .map_err(|error| error.to_string())
        .and_then(|said| heard(said, &payload));
    executed.or(said).or(loaded)
}

fn answered(answer: Answer, payload: &Buffer) -> Result<usize, String> {
    match answer {
        Answer::Word(_) => Ok(0),
        Answer::Response(row) => response(row, payload),
    }
}

fn response(ResponseRow { o, p, e }: ResponseRow, payload: &Buffer) -> Result<usize, String> {
    parameters(p);
    e.map(error_of).map_or_else(|| tensors(o, payload), |error| Err(error.message().to_owned()))
}

fn heard(said: Said, payload: &Buffer) -> Result<usize, String> {
    match said {
        Said::Send { response: Some(row), .. } => response(row, payload),
        Said::Infer(call) => called(*call, payload),
        Said::Load { files, .. } => {
            let found = files.iter().filter(|(_, offset, length)| payload::slice(payload, *offset, *length).is_some());
            Ok(found.count())
        }
        _ => Ok(0),
    }
}

fn called(call: InferCall, payload: &Buffer) -> Result<usize, String> {
    call.corr.sequence(call.flags);
    parameters(call.p);
    tensors(call.inputs, payload)
}

fn tensors(rows: Vec<TensorRow>, payload: &Buffer) -> Result<usize, String> {
    let tensors = payload::tensors(rows, payload)?;
    let beyond = tensors.iter().find(|named| named.tensor.byte_size() > payload.len());
    match beyond {
        Some(named) => Err(format!("tensor '{}' has more bytes than the payload", named.name)),
        None => Ok(tensors.len()),
    }
}
