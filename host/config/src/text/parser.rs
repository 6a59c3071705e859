//! Reads fields in the order of the text, led by the schema.
//!
//! Recursion is as deep as the schema, never as deep as the text: an unknown field is refused before its block is read.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value};

use super::{
    lexer::{Lexer, Token, TokenKind},
    suggest,
    values::sample,
};
use crate::error::Problem;

/// The message that `text` describes.
pub(crate) fn parse(text: &str, descriptor: &MessageDescriptor) -> Result<DynamicMessage, Problem> {
    let mut lexer = Lexer::new(text);
    let next = lexer.next()?;
    let mut parser = Parser { lexer, text, next };
    let mut message = DynamicMessage::new(descriptor.clone());
    parser.fields(&mut message, None)?;
    Ok(message)
}

pub(crate) struct Parser<'a> {
    lexer: Lexer<'a>,
    text: &'a str,
    /// Read, and not yet used.
    pub(crate) next: Token<'a>,
}

/// The bracket that began a block, and the one that ends it.
pub(crate) struct Block<'a> {
    pub(crate) open: Token<'a>,
    pub(crate) close: char,
    pub(crate) field: &'a str,
}

/// A field that was set already, and can be set only once.
struct Once {
    field: FieldDescriptor,
    start: usize,
}

// === impl Parser ===

impl<'a> Parser<'a> {
    pub(crate) fn fields(&mut self, message: &mut DynamicMessage, block: Option<&Block<'a>>) -> Result<(), Problem> {
        let mut set = Vec::new();
        loop {
            let token = self.next;
            match (token.kind, block) {
                (TokenKind::Word, _) => self.field(message, &mut set)?,
                (TokenKind::End, None) => return Ok(()),
                (TokenKind::Symbol(symbol), Some(block)) if symbol == block.close => {
                    self.advance()?;
                    return Ok(());
                }
                (TokenKind::End, Some(block)) => return Err(self.unterminated(block)),
                (TokenKind::Symbol('['), _) => {
                    return Err(Problem::new(
                        token.span(),
                        "extensions and Any values are not part of a configuration",
                    )
                    .help("write fields by their names"));
                }
                _ => return Err(expected_field(&token, block)),
            }
        }
    }

    fn field(&mut self, message: &mut DynamicMessage, set: &mut Vec<Once>) -> Result<(), Problem> {
        let name = self.advance()?;
        let descriptor = message.descriptor();
        let Some(field) = descriptor.get_field_by_name(name.text) else {
            let text = format!("unknown field '{}' in {}", name.text, descriptor.name());
            return Err(Problem::new(name.span(), text).help(suggest::field(&descriptor, name.text)));
        };
        let colon = self.take(':')?;
        if !colon && !matches!(field.kind(), Kind::Message(_)) {
            let text = format!("expected ':' after '{}', found {}", name.text, self.next.describe());
            return Err(Problem::new(self.next.span(), text).help(format!("write {}: {}", name.text, sample(&field))));
        }
        if !field.is_list() && !field.is_map() {
            self.refuse_second(&field, &name, set)?;
            let value = self.value(&field, name.text)?;
            message.set_field(&field, value);
        } else if self.next.is('[') {
            self.list(message, &field, name.text)?;
        } else {
            self.element(message, &field, name.text)?;
        }
        if !self.take(',')? {
            self.take(';')?;
        }
        Ok(())
    }

    /// A field of one value may be written once, and so may one field of a choice.
    fn refuse_second(&self, field: &FieldDescriptor, name: &Token<'_>, set: &mut Vec<Once>) -> Result<(), Problem> {
        let same_choice = |once: &&Once| {
            once.field == *field
                || (field.containing_oneof().is_some() && once.field.containing_oneof() == field.containing_oneof())
        };
        let Some(first) = set.iter().find(same_choice) else {
            set.push(Once { field: field.clone(), start: name.start });
            return Ok(());
        };
        let line = self.line(first.start);
        if first.field == *field {
            let text = format!("'{}' is set twice", name.text);
            return Err(Problem::new(name.span(), text).help(format!("it is set on line {line} already; keep one")));
        }
        let text = format!("'{}' cannot be set beside '{}'", name.text, first.field.name());
        Err(Problem::new(name.span(), text)
            .help(format!("'{}' is set on line {line}; keep one of the two", first.field.name())))
    }

    fn list(&mut self, message: &mut DynamicMessage, field: &FieldDescriptor, name: &'a str) -> Result<(), Problem> {
        let open = self.advance()?;
        let block = Block { open, close: ']', field: name };
        if self.take(']')? {
            return Ok(());
        }
        loop {
            if self.next.kind == TokenKind::End {
                return Err(self.unterminated(&block));
            }
            self.element(message, field, name)?;
            if self.take(']')? {
                return Ok(());
            }
            if !self.take(',')? {
                if self.next.kind == TokenKind::End {
                    return Err(self.unterminated(&block));
                }
                let text = format!("expected ',' or ']' in the list '{name}', found {}", self.next.describe());
                return Err(Problem::new(self.next.span(), text));
            }
        }
    }

    /// One element of a list, or one entry of a map.
    fn element(&mut self, message: &mut DynamicMessage, field: &FieldDescriptor, name: &'a str) -> Result<(), Problem> {
        let start = self.next;
        let value = self.value(field, name)?;
        match message.get_field_mut(field) {
            Value::List(values) => values.push(value),
            Value::Map(entries) => {
                let (key, value) = entry(field, value)
                    .ok_or_else(|| Problem::new(start.span(), format!("'{name}' takes entries of key and value")))?;
                if entries.contains_key(&key) {
                    let text = format!("the key {} is in '{name}' twice", describe_key(&key));
                    return Err(Problem::new(start.span(), text).help("keep one of the two entries"));
                }
                entries.insert(key, value);
            }
            single => *single = value,
        }
        Ok(())
    }

    fn unterminated(&self, block: &Block<'_>) -> Problem {
        let line = self.line(self.text.trim_end().len());
        let symbol = block.open.text;
        Problem::new(block.open.span(), format!("the '{symbol}' of '{}' is never closed", block.field))
            .help(format!("the file ends on line {line}; add '{}' where the block ends", block.close))
    }

    fn line(&self, position: usize) -> usize {
        self.text.get(..position).unwrap_or_default().matches('\n').count() + 1
    }

    /// Uses the next token and reads another.
    pub(crate) fn advance(&mut self) -> Result<Token<'a>, Problem> {
        let token = self.next;
        self.next = self.lexer.next()?;
        Ok(token)
    }

    pub(crate) fn take(&mut self, symbol: char) -> Result<bool, Problem> {
        let found = self.next.is(symbol);
        if found {
            self.advance()?;
        }
        Ok(found)
    }
}

// === helpers ===

fn expected_field(token: &Token<'_>, block: Option<&Block<'_>>) -> Problem {
    let expected = match block {
        Some(block) => format!("the name of a field, or '{}' to end '{}'", block.close, block.field),
        None => "the name of a field".to_owned(),
    };
    let problem = Problem::new(token.span(), format!("expected {expected}, found {}", token.describe()));
    if matches!(token.kind, TokenKind::Symbol('}' | '>' | ']')) && block.is_none() {
        return problem.help("there is one closing bracket too many");
    }
    problem
}

fn entry(field: &FieldDescriptor, value: Value) -> Option<(MapKey, Value)> {
    let Kind::Message(descriptor) = field.kind() else { return None };
    let Value::Message(entry) = value else { return None };
    let key = entry.get_field(&descriptor.map_entry_key_field()).into_owned().into_map_key()?;
    Some((key, entry.get_field(&descriptor.map_entry_value_field()).into_owned()))
}

fn describe_key(key: &MapKey) -> String {
    match key {
        MapKey::String(text) => format!("\"{text}\""),
        MapKey::U64(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}
