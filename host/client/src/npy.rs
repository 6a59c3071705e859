//! NumPy's `.npy` files, versions 1 to 3: one array of numbers, row-major and little endian.

use nereid_tensor::DataType;

use crate::{literal::Elements, shapes::Given};

/// Every such file begins so.
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads the array.
///
/// # Errors
/// The file is damaged, holds another type than the input, or an order that the protocol does not have.
pub(crate) fn read(file: &[u8], expected: DataType) -> Result<Elements, String> {
    let damaged = || "the .npy file is damaged".to_owned();
    let (header, data) = split(file).ok_or_else(damaged)?;
    let header = str::from_utf8(header).map_err(|_| damaged())?;
    let descr = field(header, "descr").ok_or_else(damaged)?.trim_matches(['\'', '"']);
    let found =
        data_type(descr).ok_or_else(|| format!("the .npy file holds '{descr}', which is no tensor's type here"))?;
    if found != expected {
        return Err(format!("expected {expected} elements, the .npy file holds {found}"));
    }
    if field(header, "fortran_order").ok_or_else(damaged)? != "False" {
        return Err("the .npy file is in Fortran order: save numpy.ascontiguousarray(array)".to_owned());
    }
    let dims = shape(header).ok_or_else(damaged)?;
    let elements = dims.iter().try_fold(1_u64, |product, dim| product.checked_mul(*dim)).ok_or_else(damaged)?;
    let size = expected.size_bytes().unwrap_or(1) as u64;
    if elements.checked_mul(size) != Some(data.len() as u64) {
        return Err(format!(
            "the .npy file ends early: its shape has {elements} elements, it holds {} bytes",
            data.len()
        ));
    }
    Ok(Elements { given: Given::Shaped(dims), bytes: data.to_vec() })
}

/// Header and data.
fn split(file: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = file.strip_prefix(MAGIC)?;
    let ([major, _minor], rest) = rest.split_first_chunk()?;
    match major {
        1 => {
            let (length, rest) = rest.split_first_chunk()?;
            rest.split_at_checked(u16::from_le_bytes(*length).into())
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk()?;
            rest.split_at_checked(u32::from_le_bytes(*length) as usize)
        }
        _ => None,
    }
}

/// The value of one key of the header, which is a Python dictionary of three known keys.
fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{key}':"))?;
    let end = rest.find([',', '}'])?;
    Some(rest.get(..end)?.trim())
}

fn shape(header: &str) -> Option<Vec<u64>> {
    let (_, rest) = header.split_once("'shape':")?;
    let (dims, _) = rest.split_once('(')?.1.split_once(')')?;
    dims.split(',').map(str::trim).filter(|dim| !dim.is_empty()).map(|dim| dim.parse().ok()).collect()
}

fn data_type(descr: &str) -> Option<DataType> {
    Some(match descr {
        "|b1" => DataType::Bool,
        "|u1" => DataType::Uint8,
        "<u2" => DataType::Uint16,
        "<u4" => DataType::Uint32,
        "<u8" => DataType::Uint64,
        "|i1" => DataType::Int8,
        "<i2" => DataType::Int16,
        "<i4" => DataType::Int32,
        "<i8" => DataType::Int64,
        "<f2" => DataType::Fp16,
        "<f4" => DataType::Fp32,
        "<f8" => DataType::Fp64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.extend_from_slice(&[1, 0]);
        file.extend_from_slice(&(header.len() as u16).to_le_bytes());
        file.extend_from_slice(header.as_bytes());
        file.extend_from_slice(data);
        file
    }

    #[track_caller]
    fn check_refused(header: &str, data: &[u8], expected: &str) {
        assert_eq!(read(&file(header, data), DataType::Int16), Err(expected.to_owned()));
    }

    #[test]
    fn an_array_brings_its_shape() {
        let header = "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 1), }    \n";
        let elements = read(&file(header, &[1, 0, 2, 0]), DataType::Int16);
        assert_eq!(elements, Ok(Elements { given: Given::Shaped(vec![2, 1]), bytes: vec![1, 0, 2, 0] }));
        let scalar = "{'descr': '<i2', 'fortran_order': False, 'shape': (), }\n";
        assert_eq!(read(&file(scalar, &[7, 0]), DataType::Int16).unwrap().given, Given::Shaped(vec![]));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let with =
            |descr: &str, order: &str| format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': (2,), }}");
        check_refused(&with("<i4", "False"), &[0; 8], "expected INT16 elements, the .npy file holds INT32");
        check_refused(&with(">i2", "False"), &[0; 4], "the .npy file holds '>i2', which is no tensor's type here");
        let fortran = "the .npy file is in Fortran order: save numpy.ascontiguousarray(array)";
        check_refused(&with("<i2", "True"), &[0; 4], fortran);
        let early = "the .npy file ends early: its shape has 2 elements, it holds 3 bytes";
        check_refused(&with("<i2", "False"), &[0; 3], early);
        check_refused("{}", &[], "the .npy file is damaged");
        assert_eq!(read(b"\x93NUMPY\x01", DataType::Int16), Err("the .npy file is damaged".to_owned()));
    }
}
