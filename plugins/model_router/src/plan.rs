//! Which models a request may be answered by, in which order. Nothing here asks the host.
//!
//! A *route* is a name with models behind it, the first choice in front. The parameters of `config.pbtxt` say which there are:
//! `route.NAME` = `model, model, …`; `tenant.NAME` = the route of a tenant; `split` = `route percent, route percent, …`.

use std::collections::BTreeMap;

use nereid_sdk::{Error, ErrorCode};

/// The route of requests about which nothing else is said.
const DEFAULT: &str = "default";

/// All routes, and who takes which.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    routes: BTreeMap<String, Vec<String>>,
    tenants: BTreeMap<String, String>,
    /// Percents, which add up to 100; empty when there is no split.
    split: Vec<(String, u32)>,
}

/// Models that answer the same question, the first choice in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// As the configuration calls it.
    pub name: &'a str,
    /// At least one.
    pub models: &'a [String],
}

/// What is known of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller<'a> {
    /// The route that it asks for.
    pub asked: Option<&'a str>,
    /// On whose account it goes.
    pub tenant: Option<&'a str>,
    /// 0 to 99, always the same for the same user or content.
    pub ticket: u32,
}

/// Why the next model is asked after this kind of failure, in a word for metrics; none where no other model would do
/// better, or nobody waits any more.
pub fn reason_to_go_on(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::DeadlineExceeded => Some("timeout"),
        ErrorCode::NotFound | ErrorCode::Unavailable => Some("not_ready"),
        ErrorCode::ResourceExhausted => Some("busy"),
        ErrorCode::Internal => Some("failed"),
        ErrorCode::InvalidArgument
        | ErrorCode::Unsupported
        | ErrorCode::AlreadyExists
        | ErrorCode::Cancelled
        | ErrorCode::Permission => None,
    }
}

// === impl Plan ===

impl Plan {
    /// Reads the parameters of `config.pbtxt`; those that are about other things are left alone.
    ///
    /// # Errors
    /// There is no default route, a route is empty or not there, or a split that does not add up.
    pub fn parse(settings: &[(String, String)]) -> Result<Self, Error> {
        let mut plan = Self::default();
        for (key, value) in settings {
            if let Some(name) = key.strip_prefix("route.") {
                plan.routes.insert(name.to_owned(), models(key, value)?);
            } else if let Some(tenant) = key.strip_prefix("tenant.") {
                plan.tenants.insert(tenant.to_owned(), value.trim().to_owned());
            } else if key == "split" {
                plan.split = value.split(',').map(share).collect::<Result<_, _>>()?;
            }
        }
        plan.checked()
    }

    /// The route of a request: what it asks for, else its tenant's, else its share of the split, else the default.
    ///
    /// # Errors
    /// It asks for a route that is not there.
    pub fn choose(&self, caller: Caller<'_>) -> Result<Route<'_>, Error> {
        let of_tenant = caller.tenant.and_then(|tenant| self.tenants.get(tenant)).map(String::as_str);
        let name = caller.asked.or(of_tenant).or_else(|| self.drawn(caller.ticket)).unwrap_or(DEFAULT);
        self.routes.get_key_value(name).map(|(name, models)| Route { name, models }).ok_or_else(|| {
            let routes = self.route_names();
            Error::invalid_argument(format_args!("parameter 'route' is '{name}', expected one of {routes}"))
        })
    }

    /// Whether routes depend on the ticket.
    pub fn splits(&self) -> bool {
        !self.split.is_empty()
    }

    fn drawn(&self, ticket: u32) -> Option<&str> {
        let mut below = 0;
        let mine = self.split.iter().find(|(_, percent)| {
            below += percent;
            ticket < below
        });
        mine.map(|(route, _)| route.as_str())
    }

    fn checked(self) -> Result<Self, Error> {
        let routes = self.route_names();
        let named = self.tenants.values().chain(self.split.iter().map(|(route, _)| route));
        if let Some(missing) = named.chain([&DEFAULT.to_owned()]).find(|name| !self.routes.contains_key(*name)) {
            let text = format!("config.pbtxt has no parameter 'route.{missing}', only routes {routes}");
            return Err(Error::internal(text));
        }
        let sum: u32 = self.split.iter().map(|(_, percent)| percent).sum();
        if self.splits() && sum != 100 {
            let text = format!("the percents of parameter 'split' of config.pbtxt add up to {sum}, expected 100");
            return Err(Error::internal(text));
        }
        Ok(self)
    }

    fn route_names(&self) -> String {
        let names: Vec<String> = self.routes.keys().map(|name| format!("'{name}'")).collect();
        names.join(", ")
    }
}

fn models(key: &str, value: &str) -> Result<Vec<String>, Error> {
    let models: Vec<String> = value.split(',').map(|model| model.trim().to_owned()).collect();
    if models.iter().any(String::is_empty) {
        let text = format!("parameter '{key}' of config.pbtxt is '{value}', expected models like 'large, small'");
        return Err(Error::internal(text));
    }
    Ok(models)
}

fn share(text: &str) -> Result<(String, u32), Error> {
    let parts = text.trim().rsplit_once(' ');
    let share = parts.and_then(|(route, percent)| Some((route.trim().to_owned(), percent.parse().ok()?)));
    // Bounded, so that the sum is.
    share.filter(|(_, percent)| *percent <= 100).ok_or_else(|| {
        Error::internal(format_args!(
            "parameter 'split' of config.pbtxt has '{text}', expected a route and its percents like 'default 90'"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(settings: &[(&str, &str)]) -> Result<Plan, Error> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Plan::parse(&settings.iter().map(owned).collect::<Vec<_>>())
    }

    fn example() -> Plan {
        let routes = [("route.default", "large, small"), ("route.quick", "small"), ("tenant.acme", "quick")];
        plan(&[&routes[..], &[("split", "default 90, quick 10"), ("cache_seconds", "60")]].concat()).unwrap()
    }

    fn chosen(caller: Caller<'_>) -> String {
        example().choose(caller).unwrap().name.to_owned()
    }

    #[test]
    fn what_is_asked_for_goes_before_the_tenant_and_that_before_the_split() {
        let caller = Caller { asked: Some("default"), tenant: Some("acme"), ticket: 99 };
        assert_eq!(chosen(caller), "default");
        assert_eq!(chosen(Caller { asked: None, ticket: 0, ..caller }), "quick");
        assert_eq!(chosen(Caller { asked: None, tenant: Some("bolt"), ticket: 0 }), "default");
        assert_eq!(example().choose(caller).unwrap().models, ["large", "small"]);
    }

    #[test]
    fn a_split_gives_each_route_its_percents() {
        let quick = (0..100).filter(|ticket| chosen(Caller { ticket: *ticket, ..Caller::default() }) == "quick");
        assert_eq!(quick.collect::<Vec<_>>(), (90..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_route_that_is_not_there_is_the_clients_mistake() {
        let plan = example();
        let error = plan.choose(Caller { asked: Some("slow"), ..Caller::default() }).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert_eq!(error.message(), "parameter 'route' is 'slow', expected one of 'default', 'quick'");
    }

    #[test]
    fn a_configuration_that_makes_no_sense_is_told() {
        let message = |settings: &[(&str, &str)]| plan(settings).unwrap_err().message().to_owned();
        let default = ("route.default", "a");
        assert!(message(&[("route.quick", "a")]).contains("no parameter 'route.default', only routes 'quick'"));
        assert!(message(&[("route.default", "a,,b")]).contains("is 'a,,b', expected models"));
        assert!(message(&[default, ("tenant.acme", "quick")]).contains("no parameter 'route.quick'"));
        assert!(message(&[default, ("split", "default 90")]).contains("add up to 90, expected 100"));
        assert!(message(&[default, ("split", "default many")]).contains("has 'default many', expected"));
    }

    #[test]
    fn a_clients_mistake_is_nobody_elses_turn() {
        assert_eq!(reason_to_go_on(ErrorCode::InvalidArgument), None);
        assert_eq!(reason_to_go_on(ErrorCode::Cancelled), None);
        assert_eq!(reason_to_go_on(ErrorCode::NotFound), Some("not_ready"));
        assert_eq!(reason_to_go_on(ErrorCode::DeadlineExceeded), Some("timeout"));
    }
}
