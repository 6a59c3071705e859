//! The one question in front of every route: may this request go on?
//!
//! Restrictions come first, as in Triton, then API keys. Costs one comparison on a server that has neither, and
//! allocates only for a refusal.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, header::AUTHORIZATION};

use nereid_inference::SharedTenant;

use crate::{
    Categories, Category, KeyFile,
    restriction::{Restrictions, Surface},
};

/// How a key is introduced, in any spelling of its letters.
const BEARER: &[u8] = b"bearer ";

/// What the requests of one surface must bring. A clone is the same policy.
#[derive(Clone, Debug)]
pub struct Policy(Option<Arc<Rules>>);

#[derive(Debug)]
struct Rules {
    restrictions: Restrictions,
    key_file: Option<Arc<KeyFile>>,
}

/// Why a request may not go on. The text is for its sender and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    #[error("This {noun} is restricted, expecting header '{header}'", noun = title(*surface))]
    Restricted { surface: Surface, header: HeaderName },
    #[error("this server asks for an API key: send it as 'Authorization: Bearer KEY'")]
    KeyMissing,
    #[error("this API key is not known to the server")]
    KeyUnknown,
    #[error("the API key '{name}' may not use '{category}', only {granted}", category = category.name())]
    KeyLacks { name: Arc<str>, category: Category, granted: Categories },
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
        Self(None)
    }

    /// Both must be met: the restriction of a category, and a key when there is a file of them.
    pub fn new(restrictions: Restrictions, key_file: Option<Arc<KeyFile>>) -> Self {
        let is_open = restrictions.is_empty() && key_file.is_none();
        Self((!is_open).then(|| Arc::new(Rules { restrictions, key_file })))
    }

    /// Whether nothing is ever denied.
    pub fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// On whose account a request with these headers uses the category, when it may; a path that does not exist has no category.
    ///
    /// # Errors
    /// It may not, and why.
    pub fn check(&self, category: Option<Category>, headers: &HeaderMap) -> Result<SharedTenant, Denial> {
        let Some(rules) = &self.0 else { return Ok(None) };
        rules.check_restriction(category, headers)?;
        rules.key_file.as_deref().map_or(Ok(None), |key_file| check_key(key_file, category, headers))
    }
}

// === impl Rules ===

impl Rules {
    fn check_restriction(&self, category: Option<Category>, headers: &HeaderMap) -> Result<(), Denial> {
        match category.and_then(|category| self.restrictions.missing(category, headers)) {
            None => Ok(()),
            Some(header) => Err(Denial::Restricted { surface: self.restrictions.surface(), header: header.clone() }),
        }
    }
}

fn check_key(key_file: &KeyFile, category: Option<Category>, headers: &HeaderMap) -> Result<SharedTenant, Denial> {
    let keys = key_file.keys();
    if keys.is_open(category) {
        return Ok(None);
    }
    let key = keys.find(bearer(headers)?).ok_or(Denial::KeyUnknown)?;
    // Whoever has a key may learn that a path does not exist.
    if let Some(category) = category
        && !key.categories.contains(category)
    {
        return Err(Denial::KeyLacks { name: key.name.clone(), category, granted: key.categories });
    }
    tracing::debug!("a request for '{}' with the API key '{}'", category.map_or("nothing", Category::name), key.name);
    Ok(key.tenant.clone())
}

/// The key of a request. Two of them are as good as none: each side of a proxy could read another one.
fn bearer(headers: &HeaderMap) -> Result<&[u8], Denial> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Denial::KeyMissing) };
    let (scheme, key) = value.as_bytes().split_at_checked(BEARER.len()).ok_or(Denial::KeyMissing)?;
    if !scheme.eq_ignore_ascii_case(BEARER) {
        return Err(Denial::KeyMissing);
    }
    Ok(key.trim_ascii())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::NewKey;

    /// A policy with a key for inference and metadata, and that key.
    fn keyed(restricted: &[&str]) -> (Policy, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let key = NewKey::make("app", Categories::from_names(["inference", "metadata"]).unwrap()).unwrap();
        std::fs::write(&path, format!("open = [\"health\"]\n{}", key.entry())).unwrap();
        let groups: Vec<_> = restricted.iter().map(|group| (*group).to_owned()).collect();
        let restrictions = Restrictions::parse(Surface::Http, &groups).unwrap();
        (
            Policy::new(restrictions, Some(Arc::new(KeyFile::load(&path, &Default::default()).unwrap()))),
            key.secret().to_owned(),
        )
    }

    fn allowed(policy: &Policy, category: Option<Category>, headers: &HeaderMap) -> Result<(), Denial> {
        policy.check(category, headers).map(drop)
    }

    fn sent(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn an_open_policy_denies_nothing() {
        for policy in [Policy::open(), Policy::new(Restrictions::none(Surface::Grpc), None)] {
            assert!(policy.is_open());
            for category in Category::ALL.map(Some).into_iter().chain([None]) {
                assert_eq!(allowed(&policy, category, &HeaderMap::new()), Ok(()));
            }
        }
    }

    #[test]
    fn a_key_opens_its_categories_and_every_path_that_does_not_exist() {
        let (policy, key) = keyed(&[]);
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let headers = sent(&[&format!("{scheme} {key}")]);
            for category in [Some(Category::Inference), Some(Category::Metadata), Some(Category::Health), None] {
                assert_eq!(allowed(&policy, category, &headers), Ok(()), "{category:?}");
            }
            let denial = policy.check(Some(Category::ModelRepository), &headers).unwrap_err();
            assert_eq!(
                denial.to_string(),
                "the API key 'app' may not use 'model-repository', only metadata, inference"
            );
        }
    }

    #[test]
    fn without_a_key_only_what_the_file_opens_answers() {
        let (policy, key) = keyed(&[]);
        assert_eq!(allowed(&policy, Some(Category::Health), &HeaderMap::new()), Ok(()));
        for category in [Some(Category::Inference), None] {
            let check = |values: &[&str]| policy.check(category, &sent(values)).unwrap_err();
            let bearer = format!("Bearer {key}");
            for none in [vec![], vec!["Bearer"], vec![&key], vec!["Basic abc"], vec![&bearer, &bearer]] {
                assert_eq!(check(&none), Denial::KeyMissing, "{none:?}");
            }
            for wrong in ["Bearer ", "Bearer x", &bearer[..bearer.len() - 1], &format!("{bearer}x")] {
                assert_eq!(check(&[wrong]), Denial::KeyUnknown, "{wrong}");
            }
        }
    }

    #[test]
    fn a_restriction_comes_before_the_key_and_both_must_be_met() {
        let (policy, key) = keyed(&["inference:k=v"]);
        let mut headers = sent(&[&format!("Bearer {key}")]);
        let denial = policy.check(Some(Category::Inference), &headers).unwrap_err();
        assert_eq!(denial.to_string(), "This API is restricted, expecting header 'k'");
        headers.insert("k", HeaderValue::from_static("v"));
        assert_eq!(allowed(&policy, Some(Category::Inference), &headers), Ok(()));
        headers.remove(AUTHORIZATION);
        assert_eq!(allowed(&policy, Some(Category::Inference), &headers), Err(Denial::KeyMissing));
    }
}
