//! The elements of an input from a file, by what the file is and what the model wants.

use std::{fs, io, path::Path};

use nereid_tensor::{DataType, encode_bytes_elements};

use crate::{
    description::TensorDescription,
    error::ClientError,
    literal::Elements,
    npy,
    picture::{self, Scale},
    shapes::Given,
};

/// Largest file: no request may carry more, whichever the protocol.
const FILE_BYTES_MAX: u64 = i32::MAX as u64;

/// Reads the file. Text inputs take every file as one element, as it is; numbers come from a picture, from `.npy`, or
/// from the raw bytes of little-endian elements.
///
/// # Errors
/// The file cannot be read, or does not hold what the input wants.
pub(crate) fn read(
    path: &Path,
    input: &TensorDescription,
    has_batching: bool,
    scale: Scale,
) -> Result<Elements, ClientError> {
    let unreadable = |source| ClientError::File { input: input.name.clone(), path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > FILE_BYTES_MAX {
        let text = format!("it has {length} bytes, a request holds at most {FILE_BYTES_MAX}");
        return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, text)));
    }
    let file = fs::read(path).map_err(unreadable)?;
    let elements = match input.data_type {
        DataType::Bytes => {
            Ok(Elements { given: Given::Flat(1), bytes: encode_bytes_elements(std::slice::from_ref(&file)).to_vec() })
        }
        _ if file.starts_with(npy::MAGIC) => npy::read(&file, input.data_type),
        _ if picture::is_picture(&file) => picture::read(&file, input, has_batching, scale),
        data_type => raw(file, data_type),
    };
    elements.map_err(|problem| ClientError::input(&input.name, format!("{}: {problem}", path.display())))
}

fn raw(file: Vec<u8>, data_type: DataType) -> Result<Elements, String> {
    let (length, size) = (file.len(), data_type.size_bytes().unwrap_or(1));
    if !length.is_multiple_of(size) {
        return Err(format!("expected a multiple of {size} bytes for {data_type} elements, found {length}"));
    }
    Ok(Elements { given: Given::Flat((length / size) as u64), bytes: file })
}
