//! Servers: every rule that a plugin asks for must be covered by a rule of the operator's, and of its tenant's.

use std::sync::Arc;

use nereid_plugin::{HttpGrant, HttpRule, HttpTls};

use super::{Ceiling, Denied};

/// Rules of one plugin; they are compared one by one with each request.
const RULES_MAX: usize = 100;

/// What is granted of what is asked for, openly and for private networks.
pub(super) fn grant(
    (open, private): (Vec<String>, Vec<String>),
    ceilings: &[&Ceiling],
    tls: &Arc<HttpTls>,
    denied: &mut Denied,
) -> HttpGrant {
    let count = open.len() + private.len();
    if count > RULES_MAX {
        denied.push("http", &format!("{count} rules, {RULES_MAX} are the most"));
        return HttpGrant::default();
    }
    let mut rules = Vec::with_capacity(count);
    let asked =
        open.iter().map(|text| (text, "http", false)).chain(private.iter().map(|text| (text, "http_private", true)));
    for (text, key, is_private) in asked {
        match rule(text, key, is_private, ceilings) {
            Ok(rule) => rules.push(rule),
            Err(problem) => denied.push(&format!("{key} '{text}'"), &problem),
        }
    }
    HttpGrant::new(rules, tls.clone())
}

fn rule(text: &str, key: &str, is_private: bool, ceilings: &[&Ceiling]) -> Result<HttpRule, String> {
    let rule = HttpRule::parse(text, is_private)?;
    match ceilings.iter().all(|ceiling| ceiling.http.iter().any(|allowed| allowed.covers(&rule))) {
        true => Ok(rule),
        false => Err(format!("the operator does not allow it ([plugins.grants] {key} in nereid.toml)")),
    }
}
