//! What the bare echo servers share: their command line and the allocator's name.
//!
//! They answer with the very bytes they got and do nothing else, on the same libraries, runtime and allocator as the
//! server that they are compared with: what is left of the difference is what the server does.

use std::{env, io, net::SocketAddr};

/// The address to listen on: the only argument.
///
/// # Errors
/// None, or not an address.
pub fn listen_address() -> io::Result<SocketAddr> {
    let argument = env::args().nth(1).unwrap_or_default();
    argument.parse().map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("expected an address such as 127.0.0.1:9000, got '{argument}'"),
        )
    })
}
