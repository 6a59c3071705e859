//! Which servers a plugin may call: rules as files write them, and what they match. Pure.
//!
//! `api.example.com` is `https` on port 443; `http://10.0.0.7:9000` says both otherwise. Scheme, host and port are matched exactly; one
//! leading label may be `*`. A name is granted with the addresses of public networks: one that resolves to an address of a private
//! network or of this machine needs a rule that says so, and one that resolves to a link-local address, where clouds keep credentials, is
//! reached by none. Who writes an address means it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use http::uri::{Scheme, Uri};

use crate::http_tls::HttpTls;

/// Everything that one plugin may call.
#[derive(Clone, Debug, Default)]
pub struct HttpGrant {
    pub rules: Vec<HttpRule>,
    /// How it recognises servers.
    pub tls: Arc<HttpTls>,
    /// Requests under way, of all guests of the generation.
    pub(crate) in_flight: Arc<AtomicU32>,
}

/// Servers that may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRule {
    is_tls: bool,
    host: Host,
    port: u16,
    /// Whether names may stand for addresses of private networks and of this machine.
    private: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
    /// Names of one label more.
    Below(String),
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) is_tls: bool,
    pub(crate) host: DestinationHost,
    pub(crate) port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DestinationHost {
    Address(IpAddr),
    Name(String),
}

/// Which addresses a granted name may stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Public,
    /// Private networks and this machine too.
    Private,
}

/// A request under way, until this is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<AtomicU32>);

// === impl HttpGrant ===

impl HttpGrant {
    /// These rules, with nothing under way.
    pub fn new(rules: Vec<HttpRule>, tls: Arc<HttpTls>) -> Self {
        Self { rules, tls, in_flight: Arc::default() }
    }

    /// # Errors
    /// No rule matches the destination; what is listed, in words.
    pub(crate) fn check(&self, destination: &Destination) -> Result<Reach, String> {
        let matching = self.rules.iter().filter(|rule| rule.matches(destination));
        match matching.map(|rule| rule.private).reduce(|left, right| left || right) {
            Some(true) => Ok(Reach::Private),
            Some(false) => Ok(Reach::Public),
            None => {
                let listed: Vec<String> = self.rules.iter().map(HttpRule::to_string).collect();
                let listed =
                    if listed.is_empty() { "nothing is".to_owned() } else { format!("listed: {}", listed.join(", ")) };
                Err(format!("it may not call {destination}: list it under [grants] http in its plugin.toml ({listed})"))
            }
        }
    }

    /// One more request, if there are not `most` under way.
    pub(crate) fn begin(&self, most: u32) -> Option<InFlight> {
        let begin = |count: u32| (count < most).then_some(count + 1);
        self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, begin).ok()?;
        Some(InFlight(self.in_flight.clone()))
    }
}

// === impl HttpRule ===

impl HttpRule {
    /// A rule as files write it; `private` when names may stand for private addresses.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str, private: bool) -> Result<Self, String> {
        let (is_tls, rest) = match text.split_once("://") {
            None => (true, text),
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some((other, _)) => return Err(format!("the scheme '{other}' is neither 'https' nor 'http'")),
        };
        let (host, port) = split_port(rest)?;
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(|| format!("'{port}' is no port"))?,
            None => default_port(is_tls),
        };
        Ok(Self { is_tls, host: Host::parse(host)?, port, private })
    }

    fn matches(&self, destination: &Destination) -> bool {
        let is_host = match (&self.host, &destination.host) {
            (Host::Address(granted), DestinationHost::Address(found)) => granted == found,
            (Host::Name(granted), DestinationHost::Name(found)) => granted == found,
            (Host::Below(suffix), DestinationHost::Name(found)) => {
                found.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == suffix)
            }
            _ => false,
        };
        is_host && self.is_tls == destination.is_tls && self.port == destination.port
    }

    /// Whether everything that `asked` allows is allowed by this one too.
    pub fn covers(&self, asked: &Self) -> bool {
        let is_host = match (&self.host, &asked.host) {
            (Host::Below(suffix), Host::Name(name)) => name.split_once('.').is_some_and(|(_, rest)| rest == suffix),
            (granted, asked) => granted == asked,
        };
        is_host && self.is_tls == asked.is_tls && self.port == asked.port && (self.private || !asked.private)
    }
}

impl fmt::Display for HttpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_tls { "https://" } else { "http://" }, self.host)?;
        if self.port == default_port(self.is_tls) { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
fn split_port(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(|| format!("'{text}' has no ']'"))?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(format!("'{text}' has something else than a port behind the address")),
        };
    }
    Ok(text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))))
}

// === impl Host ===

impl Host {
    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let (name, is_below) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        let is_label =
            |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !name.split('.').all(is_label) {
            return Err(format!("'{text}' is no host: write a name, an address, or *. and a name, without a path"));
        }
        let name = name.to_ascii_lowercase();
        Ok(if is_below { Self::Below(name) } else { Self::Name(name) })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

// === impl Destination ===

impl Destination {
    /// Where a request of a guest goes.
    ///
    /// # Errors
    /// It says nowhere, in words.
    pub(crate) fn of(uri: &Uri) -> Result<Self, String> {
        let authority = uri.authority().ok_or("a request without a host")?;
        // Everything in front of an @ is read differently by different readers.
        if authority.as_str().contains('@') {
            return Err("a request with a user in front of its host".to_owned());
        }
        let is_tls = uri.scheme() != Some(&Scheme::HTTP);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let host = match host.parse() {
            Ok(address) => DestinationHost::Address(address),
            Err(_) => DestinationHost::Name(host.to_ascii_lowercase()),
        };
        Ok(Self { is_tls, host, port: authority.port_u16().unwrap_or_else(|| default_port(is_tls)) })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        match &self.host {
            DestinationHost::Address(IpAddr::V6(address)) => write!(f, "{scheme}://[{address}]:{}", self.port),
            DestinationHost::Address(address) => write!(f, "{scheme}://{address}:{}", self.port),
            DestinationHost::Name(name) => write!(f, "{scheme}://{name}:{}", self.port),
        }
    }
}

// === impl Reach ===

impl Reach {
    /// Whether a granted name may stand for this address.
    pub(crate) fn includes(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.includes_v4(address),
            IpAddr::V6(address) => self.includes_v6(address),
        }
    }

    fn includes_v4(self, address: Ipv4Addr) -> bool {
        let [first, second, third, _] = address.octets();
        // This network, link-local, multicast, broadcast and what is reserved; the protocols' and the benchmarks' own.
        let is_special = first == 0
            || address.is_link_local()
            || first >= 224
            || (first, second, third) == (192, 0, 0)
            || (first == 198 && (18..=19).contains(&second));
        let is_private = address.is_private() || address.is_loopback() || (first == 100 && (64..128).contains(&second));
        !is_special && (self == Self::Private || !is_private)
    }

    fn includes_v6(self, address: Ipv6Addr) -> bool {
        // Addresses that stand for one of the other kind: mapped, of a translator, of a tunnel.
        let [first, second, third, fourth, .., high, low] = address.segments();
        let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
        if let Some(mapped) = address.to_ipv4_mapped() {
            return self.includes_v4(mapped);
        }
        match (first, second) {
            (0x64, 0xff9b) if third == 0 && fourth == 0 => return self.includes_v4(v4(high, low)),
            (0x2002, _) => return self.includes_v4(v4(second, third)),
            _ => {}
        }
        let is_special = first & 0xffc0 == 0xfe80
            || first & 0xff00 == 0xff00
            || address.is_unspecified()
            || (first, second) == (0x2001, 0)
            || (first, second) == (0x64, 0xff9b)
            || (first == 0 && !address.is_loopback());
        let is_private = address.is_loopback() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0;
        !is_special && (self == Self::Private || !is_private)
    }
}

// === impl InFlight ===

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
