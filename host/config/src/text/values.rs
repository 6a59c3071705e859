//! Reads the value of one field, and says what would have been one.

use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::{
    lexer::{Token, TokenKind},
    literals,
    parser::{Block, Parser},
    suggest,
};
use crate::error::Problem;

impl<'a> Parser<'a> {
    pub(crate) fn value(&mut self, field: &FieldDescriptor, name: &'a str) -> Result<Value, Problem> {
        let kind = field.kind();
        match &kind {
            Kind::Message(descriptor) => self.message(descriptor, field, name),
            Kind::String | Kind::Bytes => self.string(field),
            Kind::Bool => self.boolean(field),
            Kind::Enum(descriptor) => {
                let token = self.next;
                if token.kind != TokenKind::Word {
                    return self.enum_number(descriptor, field);
                }
                self.advance()?;
                let value = descriptor.get_value_by_name(token.text).ok_or_else(|| {
                    let text = format!("'{}' is no {}", token.text, descriptor.name());
                    Problem::new(token.span(), text).help(suggest::enum_value(descriptor, token.text))
                })?;
                Ok(Value::EnumNumber(value.number()))
            }
            Kind::Float | Kind::Double => self.float(field),
            _ => self.integer(field),
        }
    }

    fn message(
        &mut self,
        descriptor: &MessageDescriptor,
        field: &FieldDescriptor,
        name: &'a str,
    ) -> Result<Value, Problem> {
        let close = match self.next.kind {
            TokenKind::Symbol('{') => '}',
            TokenKind::Symbol('<') => '>',
            _ => return Err(self.wrong_value(field)),
        };
        let open = self.advance()?;
        let mut message = DynamicMessage::new(descriptor.clone());
        self.fields(&mut message, Some(&Block { open, close, field: name }))?;
        Ok(Value::Message(message))
    }

    fn string(&mut self, field: &FieldDescriptor) -> Result<Value, Problem> {
        if self.next.kind != TokenKind::String {
            return Err(self.wrong_value(field));
        }
        let start = self.next;
        let mut bytes = Vec::new();
        while self.next.kind == TokenKind::String {
            let token = self.advance()?;
            literals::unquote(&token, &mut bytes)?;
        }
        if field.kind() == Kind::Bytes {
            return Ok(Value::Bytes(bytes.into()));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| Problem::new(start.span(), format!("the string for '{}' is not UTF-8", field.name())))?;
        Ok(Value::String(text))
    }

    fn boolean(&mut self, field: &FieldDescriptor) -> Result<Value, Problem> {
        let value = match (self.next.kind, self.next.text) {
            (TokenKind::Word, "true" | "True" | "t") => true,
            (TokenKind::Word, "false" | "False" | "f") => false,
            (TokenKind::Number, digits) if literals::magnitude(digits) == Some(1) => true,
            (TokenKind::Number, digits) if literals::magnitude(digits) == Some(0) => false,
            _ => return Err(self.wrong_value(field)),
        };
        self.advance()?;
        Ok(Value::Bool(value))
    }

    fn float(&mut self, field: &FieldDescriptor) -> Result<Value, Problem> {
        let negative = self.take('-')?;
        let named = self.next.kind == TokenKind::Word;
        let value = (named || self.next.kind == TokenKind::Number).then(|| literals::float(self.next.text)).flatten();
        let Some(value) = value else { return Err(self.wrong_value(field)) };
        self.advance()?;
        let value = if negative { -value } else { value };
        #[expect(clippy::cast_possible_truncation, reason = "a float field holds the nearest float")]
        Ok(if field.kind() == Kind::Float { Value::F32(value as f32) } else { Value::F64(value) })
    }

    fn integer(&mut self, field: &FieldDescriptor) -> Result<Value, Problem> {
        let (token, number) = self.signed(field)?;
        let value = match field.kind() {
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => i32::try_from(number).map(Value::I32),
            Kind::Uint32 | Kind::Fixed32 => u32::try_from(number).map(Value::U32),
            Kind::Uint64 | Kind::Fixed64 => u64::try_from(number).map(Value::U64),
            _ => i64::try_from(number).map(Value::I64),
        };
        value.map_err(|_| {
            let text = format!("{number} is out of range for '{}'", field.name());
            Problem::new(token.span(), text).help(format!("'{}' takes {}", field.name(), wanted(field)))
        })
    }

    fn enum_number(&mut self, descriptor: &EnumDescriptor, field: &FieldDescriptor) -> Result<Value, Problem> {
        let (token, number) = self.signed(field)?;
        let value = i32::try_from(number).ok().and_then(|number| descriptor.get_value(number));
        value.map(|value| Value::EnumNumber(value.number())).ok_or_else(|| {
            let text = format!("{number} is no {}", descriptor.name());
            Problem::new(token.span(), text).help(suggest::enum_value(descriptor, token.text))
        })
    }

    fn signed(&mut self, field: &FieldDescriptor) -> Result<(Token<'a>, i128), Problem> {
        let negative = self.take('-')?;
        let number = (self.next.kind == TokenKind::Number).then(|| literals::magnitude(self.next.text)).flatten();
        let Some(number) = number.and_then(|number| i128::try_from(number).ok()) else {
            return Err(self.wrong_value(field));
        };
        let token = self.advance()?;
        Ok((token, if negative { -number } else { number }))
    }

    fn wrong_value(&self, field: &FieldDescriptor) -> Problem {
        let found = self.next;
        if found.kind == TokenKind::End {
            return Problem::new(found.span(), format!("'{}' has no value; the file ends here", field.name()))
                .help(format!("it takes {}, for example {}", wanted(field), sample(field)));
        }
        let text = format!("'{}' takes {}, found {}", field.name(), wanted(field), found.describe());
        let bare = found.text.trim_matches(['"', '\'']);
        let fits = match field.kind() {
            Kind::String | Kind::Bytes => false,
            Kind::Enum(descriptor) => descriptor.get_value_by_name(bare).is_some(),
            Kind::Bool => matches!(bare, "true" | "false"),
            Kind::Message(_) => false,
            _ => literals::magnitude(bare).is_some(),
        };
        let help = match (found.kind, field.kind()) {
            (TokenKind::String, _) if fits => format!("write {bare} without quotes"),
            (TokenKind::Word | TokenKind::Number, Kind::String) => format!("write it in quotes: \"{}\"", found.text),
            (TokenKind::Symbol('['), _) => format!("'{}' is one value, not a list", field.name()),
            _ => format!("for example {}", example(field)),
        };
        Problem::new(found.span(), text).help(help)
    }
}

// === words ===

fn wanted(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(_) => "a block '{ … }'".to_owned(),
        Kind::String | Kind::Bytes => "a string in quotes".to_owned(),
        Kind::Bool => "true or false".to_owned(),
        Kind::Enum(descriptor) => format!("a value of {}", descriptor.name()),
        Kind::Float | Kind::Double => "a number".to_owned(),
        Kind::Uint32 | Kind::Fixed32 => format!("a whole number from 0 to {}", u32::MAX),
        Kind::Uint64 | Kind::Fixed64 => format!("a whole number from 0 to {}", u64::MAX),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => format!("a whole number from {} to {}", i32::MIN, i32::MAX),
        _ => format!("a whole number from {} to {}", i64::MIN, i64::MAX),
    }
}

/// A value that the field would take.
pub(crate) fn sample(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(_) => "{ … }".to_owned(),
        Kind::String | Kind::Bytes => "\"…\"".to_owned(),
        Kind::Bool => "true".to_owned(),
        Kind::Enum(descriptor) => descriptor.values().last().map(|value| value.name().to_owned()).unwrap_or_default(),
        Kind::Float | Kind::Double => "0.5".to_owned(),
        _ => "1".to_owned(),
    }
}

fn example(field: &FieldDescriptor) -> String {
    let colon = if matches!(field.kind(), Kind::Message(_)) { "" } else { ":" };
    format!("{}{colon} {}", field.name(), sample(field))
}
