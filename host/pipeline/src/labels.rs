//! The label files of a model's outputs, read once when the model loads.
//!
//! Promises: line `n` is the label of index `n`. Refuses files outside the model's directory, links that lead out of it
//! included, files that are missing or no text, and those beyond a limit.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use nereid_inference::{InferError, ModelSource};

use crate::model_file;

/// Bytes of one label file: 64 for each of the million elements that an output may have to be classified.
const LABEL_FILE_BYTES_MAX: u64 = 64 << 20;

/// Labels by output; outputs without a label file are not in it.
#[derive(Debug, Default)]
pub(crate) struct OutputLabels(BTreeMap<String, Vec<Arc<str>>>);

// === impl OutputLabels ===

impl OutputLabels {
    /// Reads the label files that the configuration names.
    ///
    /// # Errors
    /// `InvalidArgument`, naming model, output, file and problem.
    pub(crate) fn read(source: &ModelSource) -> Result<Self, InferError> {
        let mut labels = BTreeMap::new();
        for output in source.config.outputs.iter().filter(|output| !output.label_filename.is_empty()) {
            let lines = read_lines(&source.model_directory, &output.label_filename).map_err(|problem| {
                InferError::invalid_argument(format!(
                    "label file '{}' of output '{}' of model '{}' {problem}",
                    output.label_filename, output.name, source.identity.name
                ))
            })?;
            labels.insert(output.name.clone(), lines);
        }
        Ok(Self(labels))
    }

    /// Gives an output that has no labels of its own those of the tensor that it is made of.
    pub(crate) fn inherit(&mut self, output: &str, labels: &[Arc<str>]) {
        if !labels.is_empty() && !self.0.contains_key(output) {
            self.0.insert(output.to_owned(), labels.to_vec());
        }
    }

    /// The labels of one output by index, possibly none.
    pub(crate) fn of(&self, output: &str) -> &[Arc<str>] {
        self.0.get(output).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The lines of a file in the model's directory, or what is wrong with it.
fn read_lines(model_directory: &Path, filename: &str) -> Result<Vec<Arc<str>>, String> {
    let bytes = model_file::read(model_directory, Path::new(filename), LABEL_FILE_BYTES_MAX)?;
    let text = String::from_utf8(bytes)
        .map_err(|error| format!("is no text: byte {} is not UTF-8", error.utf8_error().valid_up_to()))?;
    Ok(text.lines().map(Arc::from).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nereid_tensor::DataType;

    use super::*;
    use crate::test_service::{echo, output, source};

    /// The one door: the labels of output `Y` in a directory where `prepare` has put something.
    #[track_caller]
    fn check(filename: &str, prepare: impl Fn(&Path), expected: Result<&[&str], &str>) {
        let folder = std::env::temp_dir().join(format!("nereid-labels-{}-{}", std::process::id(), line!()));
        let folder = folder.join(std::thread::current().name().unwrap_or("test").replace(':', "_"));
        let model_directory = folder.join("m");
        fs::create_dir_all(&model_directory).unwrap();
        fs::write(folder.join("outside.txt"), "secret").unwrap();
        prepare(&model_directory);
        let mut config = echo("m", 2);
        config.outputs = vec![output("Y", DataType::Fp32, 2), output("Z", DataType::Fp32, 2)];
        config.outputs[0].label_filename = filename.into();
        let found = OutputLabels::read(&ModelSource { model_directory, ..source(config) });
        fs::remove_dir_all(&folder).unwrap();
        match (found, expected) {
            (Ok(labels), Ok(expected)) => {
                assert_eq!(labels.of("Y").iter().map(|label| &**label).collect::<Vec<_>>(), expected);
                assert!(labels.of("Z").is_empty(), "an output without a label file has no labels");
            }
            (Err(error), Err(expected)) => assert!(error.message().contains(expected), "{error}"),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn a_line_is_a_label_and_line_ends_of_either_kind_are_not_part_of_it() {
        let write = |directory: &Path| fs::write(directory.join("labels.txt"), "zero\r\n\nzwölf\n").unwrap();
        check("labels.txt", write, Ok(&["zero", "", "zwölf"]));
        check("./labels.txt", write, Ok(&["zero", "", "zwölf"]));
    }

    #[test]
    fn files_outside_the_models_directory_are_refused_also_behind_a_link() {
        check("../outside.txt", |_| (), Err("expected a file inside the model's directory"));
        let link = |directory: &Path| {
            std::os::unix::fs::symlink("../outside.txt", directory.join("link.txt")).unwrap();
        };
        check("link.txt", link, Err("label file 'link.txt' of output 'Y' of model 'm' lies at"));
    }

    #[test]
    fn files_that_cannot_be_read_fail_the_load_by_name() {
        check("gone.txt", |_| (), Err("label file 'gone.txt' of output 'Y' of model 'm' cannot be found at"));
        check("1", |directory| fs::create_dir(directory.join("1")).unwrap(), Err("is no file"));
        let binary = |directory: &Path| fs::write(directory.join("labels.txt"), [0xff, 0xfe]).unwrap();
        check("labels.txt", binary, Err("is no text: byte 0 is not UTF-8"));
    }
}
