//! The one question in front of every route: may this request go on?
//!
//! Costs one comparison on a server without restrictions, and allocates only for a refusal.

use http::{HeaderMap, HeaderName};

use crate::{
    Category,
    restriction::{Restrictions, Surface},
};

/// What the requests of one surface must bring.
#[derive(Clone, Debug)]
pub struct Policy {
    restrictions: Restrictions,
    is_open: bool,
}

/// Why a request may not go on. The text is for its sender and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    #[error("This {noun} is restricted, expecting header '{header}'", noun = title(*surface))]
    Restricted { surface: Surface, header: HeaderName },
}

fn title(surface: Surface) -> &'static str {
    match surface {
        Surface::Http => "API",
        Surface::Grpc => "protocol",
    }
}

// === impl Policy ===

impl Policy {
    /// Everybody may do everything.
    pub fn open() -> Self {
        Self::new(Restrictions::none(Surface::Http))
    }

    pub fn new(restrictions: Restrictions) -> Self {
        let is_open = restrictions.is_empty();
        Self { restrictions, is_open }
    }

    /// Whether nothing is ever denied.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether a request with these headers may use the category; a path that does not exist has none.
    ///
    /// # Errors
    /// It may not, and why.
    pub fn check(&self, category: Option<Category>, headers: &HeaderMap) -> Result<(), Denial> {
        if self.is_open {
            return Ok(());
        }
        self.check_restriction(category, headers)
    }

    fn check_restriction(&self, category: Option<Category>, headers: &HeaderMap) -> Result<(), Denial> {
        match category.and_then(|category| self.restrictions.missing(category, headers)) {
            None => Ok(()),
            Some(header) => Err(Denial::Restricted { surface: self.restrictions.surface(), header: header.clone() }),
        }
    }
}
