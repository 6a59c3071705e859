//! Flags of every command that speaks to a running server: which one, what it is shown, and what it is recognised by.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use nereid_client::{ClientError, Destination, Endpoint, HeaderArgument, Identity, TlsFiles};

/// See the file's head.
#[derive(Args, Clone, Debug)]
pub struct DestinationArguments {
    /// Where the server is: http://HOST:PORT or grpc://HOST:PORT; https:// and grpcs:// encrypt
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000")]
    pub url: Endpoint,

    /// A header, or gRPC metadata, of every request: NAME=VALUE; may be given several times
    #[arg(long = "header", value_name = "NAME=VALUE", action = ArgAction::Append)]
    headers: Vec<HeaderArgument>,

    /// The API key that every request shows, in a file
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,

    /// Certificates, in PEM, by which an encrypted server is recognised, in the place of the machine's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// The certificate, in PEM, that is shown to an encrypted server that wants one
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,

    /// Its private key, in PEM
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
}

// === impl DestinationArguments ===

impl DestinationArguments {
    /// The same in the words of the client; reads the key's file.
    ///
    /// # Errors
    /// The file holds no key.
    pub fn destination(&self) -> Result<Destination, ClientError> {
        let key = self.api_key_file.as_deref().map(HeaderArgument::of_key_file).transpose()?;
        let identity = self.client_certificate.clone().zip(self.client_key.clone());
        Ok(Destination {
            endpoint: self.url.clone(),
            headers: self.headers.iter().cloned().chain(key).collect(),
            tls: TlsFiles {
                roots: self.ca_file.clone(),
                identity: identity.map(|(certificate, key)| Identity { certificate, key }),
            },
        })
    }
}
