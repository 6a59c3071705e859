//! A repository agent that compares a model's files with digests in its configuration, as Triton's agent `checksum` does:
//!
//! ```text
//! model_repository_agents {
//!   agents [ { name: "checksum" parameters { key: "MD5:1/model.onnx" value: "900150983cd24fb0d6963f7d28e17f72" } } ]
//! }
//! ```
//!
//! `SHA256:` besides. Every file that is named must be there and be that one; others are not looked at.

mod claim;

use nereid_sdk::{AgentAction, AgentModel, AgentPlace, Error, RepositoryAgent, export_agent, files};

use crate::claim::Claim;

/// What is read at once.
const PIECE_BYTES: u32 = 4 << 20;

struct Checksum;

impl RepositoryAgent for Checksum {
    fn act(action: AgentAction, model: &AgentModel) -> Result<AgentPlace, Error> {
        if action == AgentAction::Load {
            for (name, value) in &model.parameters {
                compare(Claim::parse(name, value).map_err(Error::invalid_argument)?)?;
            }
        }
        Ok(AgentPlace::AsItIs)
    }
}

fn compare(claim: Claim) -> Result<(), Error> {
    let path = format!("/model/{}", claim.path);
    let mut check = claim.check();
    let mut offset = 0_u32;
    loop {
        let piece = files::read_range(&path, offset, PIECE_BYTES)?;
        check.add(&piece);
        if piece.len() < PIECE_BYTES as usize {
            return check.finish().map_err(Error::invalid_argument);
        }
        offset =
            offset.checked_add(PIECE_BYTES).ok_or_else(|| Error::unsupported(format!("'{path}' has 4 GiB or more")))?;
    }
}

export_agent!(Checksum);
