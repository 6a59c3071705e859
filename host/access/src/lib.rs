//! Who may use which part of the server, whichever port they come through.
//!
//! Invariant: a [`Policy`] decides from a request's category and headers alone; frontends ask it before anything else and
//! only say how a [`Denial`] looks on their wire. A secret is neither logged nor sent; what is compared with one is compared in constant time. Keys and
//! certificates follow their files, and a file that cannot be used changes nothing.
//!
//! Deliberately absent: routes (each frontend lists its own with their categories), statuses, and the timer that looks
//! at the files.

mod category;
mod connection;
mod handshakes;
mod key_file;
mod keys;
mod new_key;
mod on_account;
mod policy;
mod reload;
mod restriction;
mod tls;

pub use crate::{
    category::{Categories, Category},
    connection::Connection,
    handshakes::{HANDSHAKES_MAX, Handshakes},
    key_file::{KeyFile, KeyFileError},
    keys::KEYS_MAX,
    new_key::{NewKey, NewKeyError},
    on_account::OnAccount,
    policy::{Denial, Policy},
    reload::{FILE_BYTES_MAX, Followed, Look, Reload},
    restriction::{RestrictionError, Restrictions, Surface},
    tls::{HANDSHAKE_MAX, Tls, TlsError, TlsFiles},
};
