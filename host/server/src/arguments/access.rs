//! Flags about who may use the server: restrictions, API keys, certificates.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};
use nereid_access::{Categories, Restrictions, Surface, TlsFiles};

use crate::arguments::{ArgumentError, values};

/// Who may use what, and whether connections are encrypted.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Security")]
pub struct AccessArguments {
    /// Let only requests with the header KEY: VALUE use these parts of HTTP; may be given several times. Parts are
    /// health, metadata, inference, shared-memory, model-config, model-repository, statistics, trace, logging, metrics
    #[arg(long, value_name = "PART[,PART]:KEY=VALUE", action = ArgAction::Append)]
    pub http_restricted_api: Vec<String>,
    /// The same for gRPC, all parts but metrics; clients send the metadata 'triton-grpc-protocol-KEY'
    #[arg(long, value_name = "PART[,PART]:KEY=VALUE", action = ArgAction::Append)]
    pub grpc_restricted_protocol: Vec<String>,
    /// Let only those in who send one of the keys of this file; 'nereid api-key new' makes keys. Read again when it
    /// changes
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,

    /// Encrypt HTTP connections
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "false", action = ArgAction::Set)]
    pub http_use_ssl: bool,
    /// Encrypt HTTP connections, and ask clients for a certificate
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "false", action = ArgAction::Set)]
    pub http_use_ssl_mutual: bool,
    /// Certificate of the HTTP service and those it depends on, in PEM; read again when it changes, as are the others
    #[arg(long, value_name = "FILE")]
    pub http_server_cert: Option<PathBuf>,
    /// Private key of that certificate, in PEM
    #[arg(long, value_name = "FILE")]
    pub http_server_key: Option<PathBuf>,
    /// Root certificates of the clients of HTTP, in PEM; for --http-use-ssl-mutual
    #[arg(long, value_name = "FILE")]
    pub http_root_cert: Option<PathBuf>,

    /// Encrypt gRPC connections
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "false", action = ArgAction::Set)]
    pub grpc_use_ssl: bool,
    /// Encrypt gRPC connections, and ask clients for a certificate
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "false", action = ArgAction::Set)]
    pub grpc_use_ssl_mutual: bool,
    /// Certificate of the gRPC service and those it depends on, in PEM
    #[arg(long, value_name = "FILE")]
    pub grpc_server_cert: Option<PathBuf>,
    /// Private key of that certificate, in PEM
    #[arg(long, value_name = "FILE")]
    pub grpc_server_key: Option<PathBuf>,
    /// Root certificates of the clients of gRPC, in PEM; for --grpc-use-ssl-mutual
    #[arg(long, value_name = "FILE")]
    pub grpc_root_cert: Option<PathBuf>,

    /// Encrypt metrics connections as HTTP ones are
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "false", action = ArgAction::Set)]
    pub metrics_use_ssl: bool,
}

/// Flags of `nereid api-key`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyArguments {
    #[command(subcommand)]
    pub command: ApiKeyCommand,
}

/// What to do about keys.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ApiKeyCommand {
    /// Make a key: the entry for the file goes to standard output, the key itself to standard error
    New {
        /// Whose key it is; shown in the log
        #[arg(long)]
        name: String,
        /// Parts of the server that it opens, with commas between them; 'all' for everything
        #[arg(long, value_name = "PART[,PART]", value_parser = categories, default_value = "health,metadata,inference")]
        categories: Categories,
    },
}

/// The TLS flags of one service, as they were given.
struct TlsFlags<'a> {
    /// `http` or `grpc`.
    service: &'static str,
    is_on: bool,
    is_mutual: bool,
    certificate: Option<&'a PathBuf>,
    key: Option<&'a PathBuf>,
    client_roots: Option<&'a PathBuf>,
}

fn categories(text: &str) -> Result<Categories, String> {
    Categories::from_names(text.split(','))
}

// === impl AccessArguments ===

impl AccessArguments {
    /// What one flag means for another.
    pub(crate) fn validate(&self) -> Result<(), ArgumentError> {
        self.restrictions(Surface::Http)?;
        self.restrictions(Surface::Grpc)?;
        let has_http_tls = self.http_tls()?.is_some();
        self.grpc_tls()?;
        if self.metrics_use_ssl && !has_http_tls {
            return Err(ArgumentError::new("--metrics-use-ssl needs --http-use-ssl, whose certificate it uses"));
        }
        Ok(())
    }

    /// The restrictions of one surface.
    ///
    /// # Errors
    /// They are written wrong.
    pub fn restrictions(&self, surface: Surface) -> Result<Restrictions, ArgumentError> {
        let groups = match surface {
            Surface::Http => &self.http_restricted_api,
            Surface::Grpc => &self.grpc_restricted_protocol,
        };
        Restrictions::parse(surface, groups).map_err(|error| ArgumentError::new(error.to_string()))
    }

    /// The files of HTTP; `None` when it is not encrypted.
    ///
    /// # Errors
    /// A flag is missing, or has no effect.
    pub fn http_tls(&self) -> Result<Option<TlsFiles>, ArgumentError> {
        let flags = TlsFlags {
            service: "http",
            is_on: self.http_use_ssl,
            is_mutual: self.http_use_ssl_mutual,
            certificate: self.http_server_cert.as_ref(),
            key: self.http_server_key.as_ref(),
            client_roots: self.http_root_cert.as_ref(),
        };
        flags.files()
    }

    /// The files of gRPC; `None` when it is not encrypted.
    ///
    /// # Errors
    /// A flag is missing, or has no effect.
    pub fn grpc_tls(&self) -> Result<Option<TlsFiles>, ArgumentError> {
        let flags = TlsFlags {
            service: "grpc",
            is_on: self.grpc_use_ssl,
            is_mutual: self.grpc_use_ssl_mutual,
            certificate: self.grpc_server_cert.as_ref(),
            key: self.grpc_server_key.as_ref(),
            client_roots: self.grpc_root_cert.as_ref(),
        };
        flags.files()
    }
}

// === impl TlsFlags ===

impl TlsFlags<'_> {
    /// As in Triton the mutual flag alone encrypts too, and a root certificate may stand beside it unused. Files
    /// without either are refused: who gives a certificate believes in an encrypted service.
    fn files(self) -> Result<Option<TlsFiles>, ArgumentError> {
        let service = self.service;
        let flag = if self.is_mutual { "use-ssl-mutual" } else { "use-ssl" };
        let missing = |file| ArgumentError::new(format!("--{service}-{flag} needs --{service}-{file}=FILE"));
        if !self.is_on && !self.is_mutual {
            let given = [("server-cert", self.certificate), ("server-key", self.key), ("root-cert", self.client_roots)];
            return match given.into_iter().find(|(_, file)| file.is_some()) {
                None => Ok(None),
                Some((file, _)) => Err(ArgumentError::new(format!(
                    "--{service}-{file} does nothing without --{service}-use-ssl: connections would not be encrypted"
                ))),
            };
        }
        Ok(Some(TlsFiles {
            certificate: self.certificate.ok_or_else(|| missing("server-cert"))?.clone(),
            key: self.key.ok_or_else(|| missing("server-key"))?.clone(),
            client_roots: match self.is_mutual {
                false => None,
                true => Some(self.client_roots.ok_or_else(|| missing("root-cert"))?.clone()),
            },
        }))
    }
}

#[cfg(test)]
mod tests;
