//! What the frontend serves, and every limit it keeps.

use std::{fmt, sync::Arc};

use nereid_access::{Policy, Tls};
use nereid_inference::{Diagnostics, InferenceService, ModelControl};
use nereid_protocol::HeaderPattern;
use nereid_shared_memory::SharedMemory;

use crate::limits::HttpLimits;

/// Who answers.
#[derive(Clone)]
pub struct HttpFrontend {
    pub service: Arc<dyn InferenceService>,
    pub control: Arc<dyn ModelControl>,
    pub diagnostics: Arc<dyn Diagnostics>,
    pub shared_memory: SharedMemory,
    pub settings: HttpSettings,
}

/// How the server introduces itself, and its limits.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// `--id`.
    pub server_id: String,
    pub server_version: String,
    pub limits: HttpLimits,
    /// Who may use which routes.
    pub policy: Policy,
    /// Headers that become request parameters.
    pub forwarded_headers: Option<HeaderPattern>,
    /// Encrypts every connection; without it none is.
    pub tls: Option<Tls>,
    /// Where the load that generate reports is read from.
    pub metrics_page: Option<MetricsPage>,
}

/// Writes the metrics page.
#[derive(Clone)]
pub struct MetricsPage(pub Arc<dyn Fn() -> String + Send + Sync>);

// === impl HttpSettings ===

impl HttpSettings {
    /// The named server with every limit at its default, open to everybody and not encrypted.
    pub fn new(server_id: impl Into<String>, server_version: impl Into<String>) -> Self {
        Self {
            server_id: server_id.into(),
            server_version: server_version.into(),
            limits: HttpLimits::default(),
            policy: Policy::open(),
            forwarded_headers: None,
            tls: None,
            metrics_page: None,
        }
    }
}

// === impl MetricsPage ===

impl fmt::Debug for MetricsPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsPage")
    }
}
