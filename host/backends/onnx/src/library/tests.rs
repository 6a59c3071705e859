//! Where the library is looked for, and what is said when it is not there.

use super::*;

fn settings(library: Option<&str>, search: &[&str]) -> OnnxSettings {
    OnnxSettings {
        library: library.map(PathBuf::from),
        search: search.iter().map(PathBuf::from).collect(),
        default_max_batch_size: 4,
    }
}

#[test]
fn a_setting_wins_over_the_variable_and_that_over_the_folders() {
    let variable = Some(PathBuf::from("/variable/libonnxruntime.so"));
    let place = |path: &str| vec![Place::File(path.into())];
    assert_eq!(settings(Some("/set/lib.so"), &["/a"]).places(variable.clone()), place("/set/lib.so"));
    assert_eq!(settings(None, &["/a"]).places(variable), place("/variable/libonnxruntime.so"));
    let folders = [Place::Folder("/a".into()), Place::Folder("/b".into()), Place::System];
    assert_eq!(settings(None, &["/a", "/b"]).places(None), folders);
}

#[test]
fn the_newest_library_of_a_folder_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.31.1", "libonnxruntime_providers_shared.so", "notes"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    assert_eq!(newest_library(folder.path()), Some(folder.path().join("libonnxruntime.so.1.31.1")));
}

#[test]
fn a_folder_without_the_library_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let text = Place::Folder(folder.path().into()).load().unwrap_err();
    assert_eq!(text, format!("{} (no {} there)", folder.path().display(), library_name()));
}

#[test]
fn what_lies_beside_the_library_or_in_its_python_environment_is_loaded_first() {
    let root = tempfile::tempdir().unwrap();
    let place = |file: &str| {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        path
    };
    let library = place("onnxruntime/capi/libonnxruntime.so.1.31.1");
    assert!(gpu_libraries(&library).is_empty());
    let cudnn = place("nvidia/cudnn/lib/libcudnn.so.9");
    let runtime = place("nvidia/cu13/lib/libcudart.so.13");
    let (cublas, _second) = (place("onnxruntime/capi/libcublas.so.13"), place("nvidia/cu13/lib/libcublas.so.13"));
    assert_eq!(gpu_libraries(&library), [runtime, cublas, cudnn]);
    assert!(gpu_libraries(Path::new("libonnxruntime.so")).is_empty());
}
