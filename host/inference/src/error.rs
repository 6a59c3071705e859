//! The one error that crosses the ports.
//!
//! The text says who, at which stage, what was expected and what was found; each frontend maps the kind to a status
//! once. Kinds and their codes: `TRITONSERVER_Error_Code` and the table in Triton's HTTP and gRPC servers.

use std::{error::Error, fmt, sync::Arc, time::Duration};

/// What kind of failure this is; decides the HTTP and gRPC status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request can never succeed as it is.
    InvalidArgument,
    /// A model, version or region that does not exist.
    NotFound,
    /// Cannot be served now; may succeed later.
    Unavailable,
    /// Understood, and not offered.
    Unsupported,
    /// A name is taken.
    AlreadyExists,
    /// The caller gave up.
    Cancelled,
    /// The time given to the request, or to the code that serves it, ran out.
    DeadlineExceeded,
    /// A limit on what one caller or plugin may use was reached.
    ResourceExhausted,
    /// Not granted to this caller or plugin.
    Permission,
    /// Our fault, or a backend's or a plugin's; never the caller's.
    Internal,
}

/// A failure of one request or one model, cheap to clone because a batch may share it.
#[derive(Clone)]
pub struct InferError {
    kind: ErrorKind,
    message: Arc<str>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// The source of a failure that would go away if others made room.
#[derive(Clone, Copy, Debug)]
struct NoRoom;

/// The source of a failure that is over after a time.
#[derive(Clone, Copy, Debug)]
struct Passing(Duration);

// === impl ErrorKind ===

impl ErrorKind {
    /// The word that Triton prints for the code, for example in `load failed … : Invalid argument: …`.
    pub fn title(self) -> &'static str {
        match self {
            Self::InvalidArgument => "Invalid argument",
            Self::NotFound => "Not found",
            Self::Unavailable => "Unavailable",
            Self::Unsupported => "Unsupported",
            Self::AlreadyExists => "Already exists",
            Self::Cancelled => "Cancelled",
            Self::DeadlineExceeded => "Deadline exceeded",
            Self::ResourceExhausted => "Resource exhausted",
            Self::Permission => "Permission denied",
            Self::Internal => "Internal",
        }
    }
}

// === impl InferError ===

macro_rules! constructors {
    ($($name:ident => $kind:ident),* $(,)?) => {
        $(
            #[doc = concat!("An error of kind [`ErrorKind::", stringify!($kind), "`].")]
            pub fn $name(message: impl Into<String>) -> Self {
                Self::new(ErrorKind::$kind, message)
            }
        )*
    };
}

impl InferError {
    /// An error of the given kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into().into(), source: None }
    }

    constructors! {
        invalid_argument => InvalidArgument,
        not_found => NotFound,
        unavailable => Unavailable,
        unsupported => Unsupported,
        already_exists => AlreadyExists,
        cancelled => Cancelled,
        deadline_exceeded => DeadlineExceeded,
        resource_exhausted => ResourceExhausted,
        permission => Permission,
        internal => Internal,
    }

    /// The same error, remembering what caused it. The cause goes to the log, never to the client.
    #[must_use]
    pub fn with_source(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }

    /// The same error of a load, for whom it would help if other models were unloaded.
    #[must_use]
    pub fn lacking_room(self) -> Self {
        self.with_source(NoRoom)
    }

    /// Whether it would help if other models were unloaded.
    pub fn lacks_room(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.is::<NoRoom>())
    }

    /// The same error, for whom the request has a chance when it comes again after `wait`.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        self.with_source(Passing(wait))
    }

    /// After which time the request has a chance, where that is known.
    pub fn retry_wait(&self) -> Option<Duration> {
        self.source.as_ref()?.downcast_ref::<Passing>().map(|passing| passing.0)
    }

    /// The same error with text in front: who passes it on, for example `in ensemble 'E', `.
    #[must_use]
    pub fn prefixed(self, prefix: &str) -> Self {
        Self { message: format!("{prefix}{}", self.message).into(), ..self }
    }

    /// Decides the status.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The text for the client.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for InferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for InferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.title(), self.message)
    }
}

impl Error for InferError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

// === impl NoRoom ===

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("other models take the room")
    }
}

impl Error for NoRoom {}

// === impl Passing ===

impl fmt::Display for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is over in {:?}", self.0)
    }
}

impl Error for Passing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_wait_is_seen_behind_any_prefix_and_nowhere_else() {
        let wait = Duration::from_millis(1_500);
        let error = InferError::resource_exhausted("no").retry_after(wait).prefixed("in ensemble 'e', ");
        assert_eq!((error.retry_wait(), error.message()), (Some(wait), "in ensemble 'e', no"));
        assert_eq!(InferError::unavailable("no").retry_wait(), None);
        assert_eq!(InferError::unavailable("no").lacking_room().retry_wait(), None);
    }

    #[test]
    fn a_lack_of_room_is_seen_behind_any_kind_and_prefix_and_nowhere_else() {
        let error = InferError::resource_exhausted("no").lacking_room();
        assert!(error.clone().prefixed("in ").lacks_room());
        assert!(!InferError::resource_exhausted("no").lacks_room());
        assert!(!InferError::internal("no").with_source(error).lacks_room());
    }
}
