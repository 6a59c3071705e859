//! Where the server is and which protocol it is spoken to with.

use std::{fmt, str::FromStr};

/// A server's address as `--url` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub protocol: Protocol,
    pub is_encrypted: bool,
    /// `host:port`.
    pub authority: String,
}

/// How to speak to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Grpc,
}

// === impl Endpoint ===

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (protocol, is_encrypted, port) = match scheme {
            "http" => (Protocol::Http, false, 8000),
            "https" => (Protocol::Http, true, 8000),
            "grpc" => (Protocol::Grpc, false, 8001),
            "grpcs" => (Protocol::Grpc, true, 8001),
            _ => return Err("expected http://HOST:PORT or grpc://HOST:PORT; https:// and grpcs:// encrypt".to_owned()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.is_empty() || authority.contains(['/', '?', '#', '@']) {
            return Err(format!("expected {scheme}://HOST:PORT and nothing behind it"));
        }
        let no_address = || format!("'{authority}' is no HOST:PORT");
        let address: http::uri::Authority = authority.parse().map_err(|_| no_address())?;
        let authority = match address.port_u16() {
            Some(_) => authority.to_owned(),
            None if address.host() == authority => format!("{authority}:{port}"),
            None => return Err(no_address()),
        };
        Ok(Self { protocol, is_encrypted, authority })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.protocol, self.is_encrypted) {
            (Protocol::Http, false) => "http",
            (Protocol::Http, true) => "https",
            (Protocol::Grpc, false) => "grpc",
            (Protocol::Grpc, true) => "grpcs",
        };
        write!(f, "{scheme}://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Result<&str, &str>) {
        let parsed = url.parse::<Endpoint>().map(|endpoint| endpoint.to_string());
        assert_eq!(parsed.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn the_protocol_and_its_port_may_be_left_out() {
        check("localhost", Ok("http://localhost:8000"));
        check("10.0.0.1:9000", Ok("http://10.0.0.1:9000"));
        check("http://[::1]:9000/", Ok("http://[::1]:9000"));
        check("grpc://gpu-7", Ok("grpc://gpu-7:8001"));
        check("https://[::1]", Ok("https://[::1]:8000"));
        check("grpcs://gpu-7:9", Ok("grpcs://gpu-7:9"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        check("ftp://x", Err("expected http://HOST:PORT or grpc://HOST:PORT; https:// and grpcs:// encrypt"));
        check("http://x/v2", Err("expected http://HOST:PORT and nothing behind it"));
        check("grpc://", Err("expected grpc://HOST:PORT and nothing behind it"));
        check("http://x:y", Err("'x:y' is no HOST:PORT"));
    }
}
