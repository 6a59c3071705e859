//! Model versions as gRPC clients write them: a decimal text, empty for "any".

use nereid_inference::InferError;

/// The version asked for; `None` when the text is empty.
///
/// # Errors
/// `InvalidArgument` when the text is not a number from 0 to 2^63 - 1.
pub fn parse_version(text: &str) -> Result<Option<u64>, InferError> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.trim_start().parse::<i64>() {
        Ok(version) => match u64::try_from(version) {
            Ok(version) => Ok(Some(version)),
            Err(_) => Err(InferError::invalid_argument(format!(
                "invalid model version specified '{text}' , version should be an integral value > 0"
            ))),
        },
        // The word in brackets is the one that Triton's parser leaves; clients' tests match on it.
        Err(_) => Err(InferError::invalid_argument(format!(
            "failed to get model version from specified version string '{text}' (details: stol), version should be \
             an integral value > 0"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<Option<u64>, &str>) {
        let found = parse_version(text);
        assert_eq!(found.as_ref().map_err(InferError::message), expected.as_ref().map_err(|text| *text));
    }

    #[test]
    fn reads_numbers_and_takes_nothing_for_any() {
        check("", Ok(None));
        check("3", Ok(Some(3)));
    }

    #[test]
    fn refuses_other_texts_in_tritons_words() {
        let failed = |text: &str| {
            format!(
                "failed to get model version from specified version string '{text}' (details: stol), version should be \
                 an integral value > 0"
            )
        };
        check("x", Err(&failed("x")));
        check("99999999999999999999", Err(&failed("99999999999999999999")));
        check("-1", Err("invalid model version specified '-1' , version should be an integral value > 0"));
    }
}
