//! Puts a document together from what a parser meets, with a stack of its own instead of the machine's.

use crate::{ForestError, document::Value, limits};

/// A document under construction.
#[derive(Default)]
pub(crate) struct Builder {
    open: Vec<Container>,
    root: Option<Value>,
    value_count: usize,
}

enum Container {
    Numbers(Vec<f64>),
    List(Vec<Value>),
    Object { members: Vec<(String, Value)>, name: Option<String> },
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A value, the document's.
    Root,
    /// A value or the end of the array.
    Element,
    /// A name or the end of the object.
    Name,
    /// The value of a name.
    Member,
    /// Nothing: the document is whole.
    End,
}

// === impl Builder ===

impl Builder {
    pub(crate) fn place(&self) -> Place {
        match self.open.last() {
            None if self.root.is_some() => Place::End,
            None => Place::Root,
            Some(Container::Numbers(_) | Container::List(_)) => Place::Element,
            Some(Container::Object { name: None, .. }) => Place::Name,
            Some(Container::Object { name: Some(_), .. }) => Place::Member,
        }
    }

    /// Whether the open array or object has nothing in it yet.
    pub(crate) fn is_empty(&self) -> bool {
        match self.open.last() {
            Some(Container::Numbers(numbers)) => numbers.is_empty(),
            Some(Container::List(list)) => list.is_empty(),
            Some(Container::Object { members, .. }) => members.is_empty(),
            None => true,
        }
    }

    pub(crate) fn open_array(&mut self, offset: usize) -> Result<(), ForestError> {
        self.open(Container::Numbers(Vec::new()), offset)
    }

    pub(crate) fn open_object(&mut self, offset: usize) -> Result<(), ForestError> {
        self.open(Container::Object { members: Vec::new(), name: None }, offset)
    }

    fn open(&mut self, container: Container, offset: usize) -> Result<(), ForestError> {
        if self.open.len() >= limits::NESTING_MAX {
            let problem = format!("more than {} arrays and objects inside each other", limits::NESTING_MAX);
            return Err(ForestError::syntax(offset, problem));
        }
        self.open.push(container);
        Ok(())
    }

    /// The name of the next member.
    pub(crate) fn name(&mut self, text: String) {
        if let Some(Container::Object { name, .. }) = self.open.last_mut() {
            *name = Some(text);
        }
    }

    /// Ends the open array or object.
    pub(crate) fn close(&mut self, offset: usize) -> Result<(), ForestError> {
        let value = match self.open.pop() {
            Some(Container::Numbers(numbers)) => Value::Numbers(numbers),
            Some(Container::List(list)) => Value::List(list),
            Some(Container::Object { members, .. }) => Value::Object(members),
            None => return Err(ForestError::syntax(offset, "nothing is open that could end here")),
        };
        self.push(value, offset)
    }

    /// A value, complete.
    pub(crate) fn push(&mut self, value: Value, offset: usize) -> Result<(), ForestError> {
        let Some(container) = self.open.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        match (container, value) {
            (Container::Numbers(numbers), Value::Number(number)) => numbers.push(number),
            (Container::Numbers(numbers), Value::Bool(bool)) => numbers.push(f64::from(u8::from(bool))),
            (container, value) => {
                self.value_count += 1;
                if self.value_count > limits::VALUES_MAX {
                    let problem = format!("the document has more than {} values", limits::VALUES_MAX);
                    return Err(ForestError::syntax(offset, problem));
                }
                container.push(value);
            }
        }
        Ok(())
    }

    /// Many numbers at once, where the format says that there is nothing else in the array.
    pub(crate) fn extend(&mut self, more: impl Iterator<Item = f64>) {
        if let Some(Container::Numbers(numbers)) = self.open.last_mut() {
            numbers.extend(more);
        }
    }

    pub(crate) fn finish(self, offset: usize) -> Result<Value, ForestError> {
        match self.root {
            Some(root) => Ok(root),
            None => Err(ForestError::syntax(offset, "the file ends in the middle of the document")),
        }
    }
}

// === impl Container ===

impl Container {
    fn push(&mut self, value: Value) {
        match self {
            Self::Numbers(numbers) => {
                let mut list: Vec<Value> = numbers.drain(..).map(Value::Number).collect();
                list.push(value);
                *self = Self::List(list);
            }
            Self::List(list) => list.push(value),
            Self::Object { members, name } => members.push((name.take().unwrap_or_default(), value)),
        }
    }
}
