//! Which argument or output of `forward` a tensor of the configuration is: a TorchScript file does not name them all.
//!
//! Triton's rules. Inputs that all have names of arguments are those arguments. Else, names that all end in `__NUMBER`
//! (`INPUT__0`) say the place; else the order in the configuration does. Outputs follow the last two.

/// Separates a name from its place.
const SEPARATOR: &str = "__";

/// The place of each input among the arguments.
///
/// # Errors
/// Two inputs in one place, or none in a place before others.
pub(crate) fn input_places(names: &[&str], arguments: &[String]) -> Result<Vec<usize>, String> {
    let by_name: Option<Vec<usize>> =
        names.iter().map(|name| arguments.iter().position(|argument| argument == name)).collect();
    let places = by_name.unwrap_or_else(|| output_places(names));
    for place in 0..places.len() {
        let here: Vec<&str> =
            places.iter().zip(names).filter(|(other, _)| **other == place).map(|(_, name)| *name).collect();
        match *here {
            [_] => {}
            [] => return Err(format!("no input is argument {place} of forward{}", listed(arguments))),
            _ => return Err(format!("inputs {} are all argument {place} of forward", here.join(", "))),
        }
    }
    Ok(places)
}

/// The place of each output.
pub(crate) fn output_places(names: &[&str]) -> Vec<usize> {
    let numbered: Option<Vec<usize>> = names.iter().map(|name| number(name)).collect();
    numbered.unwrap_or_else(|| (0..names.len()).collect())
}

/// The arguments as a person reads them, behind what is said of them.
pub(crate) fn listed(arguments: &[String]) -> String {
    format!("({})", arguments.join(", "))
}

fn number(name: &str) -> Option<usize> {
    let (name, digits) = name.rsplit_once(SEPARATOR)?;
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    (!name.is_empty() && is_number).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(names: &[&str]) -> Result<Vec<usize>, String> {
        input_places(names, &["left".to_owned(), "right".to_owned()])
    }

    #[test]
    fn arguments_win_over_numbers_and_those_over_order() {
        assert_eq!(places(&["right", "left"]), Ok(vec![1, 0]));
        assert_eq!(places(&["INPUT__1", "INPUT__0"]), Ok(vec![1, 0]));
        assert_eq!(places(&["b", "a"]), Ok(vec![0, 1]));
        assert_eq!(places(&["right", "INPUT__0"]), Ok(vec![0, 1]), "not all of one kind");
        assert_eq!(output_places(&["OUTPUT__2", "OUTPUT__0"]), [2, 0]);
        assert_eq!(output_places(&["y", "OUTPUT__0"]), [0, 1]);
    }

    #[test]
    fn a_place_is_taken_once_and_none_is_left_out() {
        assert_eq!(places(&["A__0", "B__0"]).unwrap_err(), "inputs A__0, B__0 are all argument 0 of forward");
        assert_eq!(places(&["A__1", "B__2"]).unwrap_err(), "no input is argument 0 of forward(left, right)");
    }

    #[test]
    fn only_digits_behind_the_separator_are_a_place() {
        for name in ["INPUT__", "INPUT__x", "INPUT_1", "__1", "INPUT__-1"] {
            assert_eq!(number(name), None, "{name}");
        }
        assert_eq!(number("a__b__12"), Some(12));
    }
}
