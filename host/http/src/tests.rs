//! The routes through [`router`], over a service that echoes; the connection loop over real sockets.

mod access;
mod diagnostics;
mod doubles;
mod generate;
mod routes;
mod shared_memory;
mod sockets;
mod tls;
