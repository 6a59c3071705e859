//! The rules of the house, each as a test whose failure says what to change.
//!
//! They read the files that git tracks, nothing else, so they take a second and need no build of the rest. What they
//! cannot see (whether a sentence is true, whether a name is good) is a reviewer's business.

#[cfg(test)]
mod tidy {
    mod contract;
    mod dependencies;
    mod files;
    mod house;
    mod licences;
    mod rust_source;
    mod sources;
}
