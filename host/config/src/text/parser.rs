//! Reads fields and values in the order of the text, led by the schema.
//!
//! Recursion is as deep as the schema, never as deep as the text: an unknown field is refused before its block is read.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value};

use super::{
    lexer::{Lexer, Token, TokenKind},
    literals, suggest,
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

struct Parser<'a> {
    lexer: Lexer<'a>,
    text: &'a str,
    /// Read, and not yet used.
    next: Token<'a>,
}

/// The bracket that began a block, and the one that ends it.
struct Block<'a> {
    open: Token<'a>,
    close: char,
    field: &'a str,
}

/// A field that was set already, and can be set only once.
struct Once {
    field: FieldDescriptor,
    start: usize,
}

// === impl Parser: fields ===

impl<'a> Parser<'a> {
    fn fields(&mut self, message: &mut DynamicMessage, block: Option<&Block<'a>>) -> Result<(), Problem> {
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
    fn advance(&mut self) -> Result<Token<'a>, Problem> {
        let token = self.next;
        self.next = self.lexer.next()?;
        Ok(token)
    }

    fn take(&mut self, symbol: char) -> Result<bool, Problem> {
        let found = self.next.is(symbol);
        if found {
            self.advance()?;
        }
        Ok(found)
    }
}

// === impl Parser: values ===

impl<'a> Parser<'a> {
    fn value(&mut self, field: &FieldDescriptor, name: &'a str) -> Result<Value, Problem> {
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

    fn enum_number(
        &mut self,
        descriptor: &prost_reflect::EnumDescriptor,
        field: &FieldDescriptor,
    ) -> Result<Value, Problem> {
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
fn sample(field: &FieldDescriptor) -> String {
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
