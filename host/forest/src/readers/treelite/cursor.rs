//! Reading on through a checkpoint, field by field, never beyond its end.

use crate::ForestError;

/// Bytes and a place among them.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// An array that was found whole; elements are taken out one by one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Array<'a> {
    bytes: &'a [u8],
}

/// Fields that a later version may append; one has none.
const OPTIONAL_FIELDS_MAX: i32 = 1024;

macro_rules! scalars {
    ($($name:ident: $type:ty),*) => {
        $(pub(crate) fn $name(&mut self, name: &str) -> Result<$type, ForestError> {
            let mut bytes = [0; size_of::<$type>()];
            bytes.copy_from_slice(self.take(size_of::<$type>(), name)?);
            Ok(<$type>::from_le_bytes(bytes))
        })*
    };
}

macro_rules! elements {
    ($($name:ident: $type:ty),*) => {
        $(pub(crate) fn $name(self, index: usize) -> Option<$type> {
            let start = index.checked_mul(size_of::<$type>())?;
            let bytes = self.bytes.get(start..start.checked_add(size_of::<$type>())?)?;
            Some(<$type>::from_le_bytes(bytes.try_into().ok()?))
        })*
    };
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    scalars!(u8: u8, i32: i32, u64: u64, f32: f32);

    pub(crate) fn bool(&mut self, name: &str) -> Result<bool, ForestError> {
        match self.u8(name)? {
            byte @ (0 | 1) => Ok(byte == 1),
            byte => Err(self.error(name, &format!("is {byte}, expected 0 or 1"))),
        }
    }

    /// A count that the format writes as a signed number.
    pub(crate) fn size(&mut self, name: &str) -> Result<usize, ForestError> {
        let number = self.i32(name)?;
        usize::try_from(number).map_err(|_| self.error(name, &format!("is {number}, expected a number from 0")))
    }

    /// An array of elements of this size.
    pub(crate) fn array(&mut self, size: usize, name: &str) -> Result<Array<'a>, ForestError> {
        let count = self.u64(name)?;
        let left = self.bytes.len() - self.at;
        let length =
            usize::try_from(count).ok().and_then(|count| count.checked_mul(size)).filter(|bytes| *bytes <= left);
        let problem = format!("declares {count} elements of {size} bytes, but {left} bytes are left");
        let length = length.ok_or_else(|| self.error(name, &problem))?;
        Ok(Array { bytes: self.take(length, name)? })
    }

    /// An array that has `count` elements, or none at all.
    pub(crate) fn array_of(&mut self, size: usize, count: usize, name: &str) -> Result<Array<'a>, ForestError> {
        let array = self.array(size, name)?;
        match array.bytes.len() / size {
            0 => Ok(array),
            found if found == count => Ok(array),
            found => Err(self.error(name, &format!("has {found} elements, expected {count}"))),
        }
    }

    pub(crate) fn i32s(&mut self, name: &str) -> Result<Vec<i32>, ForestError> {
        let array = self.array(size_of::<i32>(), name)?;
        Ok((0..).map_while(|index| array.i32(index)).collect())
    }

    pub(crate) fn f64s(&mut self, name: &str) -> Result<Vec<f64>, ForestError> {
        let array = self.array(size_of::<f64>(), name)?;
        Ok((0..).map_while(|index| array.f64(index)).collect())
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<String, ForestError> {
        Ok(String::from_utf8_lossy(self.array(1, name)?.bytes).into_owned())
    }

    /// Fields of a later version: a name, the size of an element, their number, and they.
    pub(crate) fn skip_optional_fields(&mut self, name: &str) -> Result<(), ForestError> {
        let count = self.i32(name)?;
        if !(0..=OPTIONAL_FIELDS_MAX).contains(&count) {
            return Err(self.error(name, &format!("is {count}, expected 0 to {OPTIONAL_FIELDS_MAX}")));
        }
        for _ in 0..count {
            self.text(name)?;
            let (size, elements) = (self.u64(name)?, self.u64(name)?);
            let length = size.checked_mul(elements).and_then(|length| usize::try_from(length).ok());
            self.take(length.unwrap_or(usize::MAX), name)?;
        }
        Ok(())
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<(), ForestError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(ForestError::syntax(self.at, format!("{left} bytes follow the last tree"))),
        }
    }

    fn take(&mut self, length: usize, name: &str) -> Result<&'a [u8], ForestError> {
        let range = self.at..self.at.saturating_add(length);
        let taken = self.bytes.get(range).ok_or_else(|| self.error(name, "the file ends before it does"))?;
        self.at += length;
        Ok(taken)
    }

    pub(crate) fn error(&self, name: &str, problem: &str) -> ForestError {
        ForestError::syntax(self.at, format!("{name}: {problem}"))
    }
}

// === impl Array ===

impl<'a> Array<'a> {
    elements!(u8: u8, i32: i32, u32: u32, u64: u64, f32: f32, f64: f64);

    /// Elements of this size from one place to another.
    pub(crate) fn part(self, size: usize, start: u64, end: u64) -> Option<Self> {
        let place = |element: u64| usize::try_from(element).ok()?.checked_mul(size);
        Some(Self { bytes: self.bytes.get(place(start)?..place(end)?)? })
    }

    pub(crate) fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }
}
