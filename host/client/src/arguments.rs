//! The words of the command line that have a form of their own.

use std::{path::PathBuf, str::FromStr};

/// `-i INPUT=VALUE` or `-i INPUT=@FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputArgument {
    pub name: String,
    pub source: InputSource,
}

/// Where an input's elements come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputSource {
    Literal(String),
    File(PathBuf),
}

/// `--shape INPUT=2,3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeArgument {
    pub name: String,
    pub dims: Vec<u64>,
}

/// `--header KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderArgument {
    pub name: String,
    pub value: String,
}

impl InputArgument {
    /// The input of that name, from a file.
    pub fn of_file(name: String, path: PathBuf) -> Self {
        Self { name, source: InputSource::File(path) }
    }
}

impl FromStr for InputArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) = pair.ok_or("expected INPUT=VALUE, or INPUT=@FILE")?;
        let source = match value.strip_prefix('@') {
            Some("") => return Err("there is no file name behind the '@'".to_owned()),
            Some(path) => InputSource::File(path.into()),
            None => InputSource::Literal(value.to_owned()),
        };
        Ok(Self { name: name.to_owned(), source })
    }
}

impl FromStr for ShapeArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || "expected INPUT=DIM,DIM,…, for example image=1,28,28".to_owned();
        let (name, dims) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(malformed)?;
        let dims: Result<Vec<u64>, _> = dims.split([',', 'x']).map(|dim| dim.trim().parse()).collect();
        Ok(Self { name: name.to_owned(), dims: dims.map_err(|_| malformed())? })
    }
}

impl FromStr for HeaderArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) = pair.ok_or("expected NAME=VALUE")?;
        let name = http::HeaderName::from_str(name).map_err(|_| format!("'{name}' is no header name"))?;
        http::HeaderValue::from_str(value).map_err(|_| format!("header '{name}' may hold visible ASCII only"))?;
        Ok(Self { name: name.to_string(), value: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_a_value_or_a_file() {
        let parse = |text: &str| text.parse::<InputArgument>();
        let literal = InputSource::Literal("1,2=3".to_owned());
        assert_eq!(parse("X=1,2=3"), Ok(InputArgument { name: "X".to_owned(), source: literal }));
        let file = InputSource::File("a.png".into());
        assert_eq!(parse("X=@a.png"), Ok(InputArgument { name: "X".to_owned(), source: file }));
        assert_eq!(parse("X=@"), Err("there is no file name behind the '@'".to_owned()));
        assert_eq!(parse("=1"), Err("expected INPUT=VALUE, or INPUT=@FILE".to_owned()));
    }

    #[test]
    fn a_shape_is_a_list_of_extents() {
        let parse = |text: &str| text.parse::<ShapeArgument>().map(|shape| shape.dims);
        assert_eq!(parse("X=2, 3"), Ok(vec![2, 3]));
        assert_eq!(parse("X=2x3"), Ok(vec![2, 3]));
        assert!(parse("X=-1,3").is_err());
        assert!(parse("X=").is_err());
    }

    #[test]
    fn a_header_must_be_sendable() {
        assert!("authorization=Bearer x".parse::<HeaderArgument>().is_ok());
        assert_eq!("a b=c".parse::<HeaderArgument>().unwrap_err(), "'a b' is no header name");
        assert!("a=\n".parse::<HeaderArgument>().is_err());
    }
}
