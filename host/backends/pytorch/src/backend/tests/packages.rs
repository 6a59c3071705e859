//! AOTInductor packages: native code, and so a matter of trust. The package is made here by a C compiler, which the shim needs
//! too.

use std::process::Command;

use super::*;

/// A directory with `model.pt2`, compiled for `device`.
fn package(device: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let script = workspace().join("tests/models/torch/make_package.py");
    let made = Command::new("python3").arg(script).arg(directory.path().join("model.pt2")).arg(device).status();
    assert!(made.unwrap().success(), "make_package.py needs python3 and cc");
    directory
}

fn doubles() -> ModelConfig {
    let config = config("doubles", &[("INPUT__0", DataType::Fp32, &[2])], &[("y", DataType::Fp32, &[2])]);
    ModelConfig { platform: "torch_aoti".into(), max_batch_size: 4, ..config }
}

fn load_package(
    directory: &tempfile::TempDir,
    trusted_folders: Vec<PathBuf>,
    config: ModelConfig,
) -> Result<Arc<dyn LoadedModel>, InferError> {
    let settings = PytorchSettings { trusted_folders, ..backend().settings };
    PytorchBackend::new(settings).load(&ModelSource {
        identity: ModelIdentity::new(config.name.as_str(), 1),
        model_directory: directory.path().into(),
        version_directory: directory.path().into(),
        config,
        clock: LoadClock::default(),
    })
}

fn load_error(directory: &tempfile::TempDir, trusts: bool, config: ModelConfig) -> String {
    let trusted = trusts.then(|| directory.path().to_owned()).into_iter().collect();
    load_package(directory, trusted, config).err().unwrap_or_else(|| panic!("it loaded")).message().to_owned()
}

#[test]
fn a_package_is_refused_outside_the_trusted_folders() {
    let (directory, elsewhere) = (package("cpu"), tempfile::tempdir().unwrap());
    let text = load_error(&directory, false, doubles());
    assert!(text.starts_with("model 'doubles': AOTInductor packages (.pt2) are native code, and served from folders"));
    assert!(text.contains("--backend-config=pytorch,trusted-folder=PATH"), "{text}");
    let by_name = ModelConfig { platform: String::new(), default_model_filename: "model.pt2".into(), ..doubles() };
    assert_eq!(load_error(&directory, false, by_name.clone()), text);
    let trusted = vec![elsewhere.path().to_owned()];
    assert_eq!(load_package(&directory, trusted, by_name).err().unwrap().message(), text);
}

#[test]
fn a_package_of_a_trusted_folder_is_served() {
    let directory = package("cpu");
    let model = load_package(&directory, vec![directory.path().to_owned()], doubles()).unwrap();
    let instances = (0..2).map(|_| instance_of(&*model)).collect();
    let signature = Signature::of_backend(&doubles()).unwrap();
    let mut loaded = Loaded { model, signature, instances, _directory: directory };
    let given = |rows: u64, value: f32| {
        InferRequest::new(vec![floats("INPUT__0", &[rows, 2], &vec![value; 2 * rows as usize])])
    };
    for instance in 0..2 {
        let answers = loaded.execute_on(instance, vec![given(1, 3.0), given(3, 4.0)]);
        let found: Vec<Vec<f32>> = answers.into_iter().map(|answer| values(&answer.unwrap(), "y")).collect();
        assert_eq!(found, [vec![6.0; 2], vec![8.0; 6]]);
    }
    let elsewhere = InstanceSpec { name: "doubles_1".into(), kind: InstanceKind::Model, device_id: 0 };
    assert!(loaded.model.new_instance(&elsewhere).is_ok(), "where the file says is the processor");
    assert!(loaded.model.memory_usage()[0].bytes > 16_000);
}

#[test]
fn what_compiled_code_refuses_is_the_error_of_its_batch() {
    let directory = package("cpu");
    let mut flat = doubles();
    flat.max_batch_size = 0;
    let model = load_package(&directory, vec![directory.path().to_owned()], flat.clone()).unwrap();
    let signature = Signature::of_backend(&flat).unwrap();
    let mut loaded = Loaded { instances: vec![instance_of(&*model)], model, signature, _directory: directory };
    let error = loaded.infer(vec![floats("INPUT__0", &[2], &[1.0, 2.0])]).unwrap_err();
    assert!(error.message().starts_with("model 'doubles': PyTorch execute failure: "), "{error}");
}

#[test]
fn files_that_are_no_package_of_this_place_are_refused() {
    let devices = package("cuda");
    let text = load_error(&devices, true, doubles());
    assert!(
        text.ends_with("model.pt2 was compiled for CUDA, and GPUs were not looked for; use kind: KIND_CPU"),
        "{text}"
    );
    let others = package("xpu");
    let text = load_error(&others, true, doubles());
    assert!(text.ends_with("it was compiled for 'xpu', expected cpu or cuda"), "{text}");
    let archive = tempfile::tempdir().unwrap();
    let write = |bytes: &[u8]| fs::write(archive.path().join("model.pt2"), bytes).unwrap();
    write(&model_bytes("identity"));
    let text = load_error(&archive, true, doubles());
    assert!(text.contains("it is an archive without compiled code, such as torch.export.save writes"), "{text}");
    let whole = fs::read(package("cpu").path().join("model.pt2")).unwrap();
    for bytes in [b"".as_slice(), b"not an archive", &whole[..whole.len() / 2]] {
        write(bytes);
        let text = load_error(&archive, true, doubles());
        assert!(text.starts_with("model 'doubles': LibTorch cannot load "), "{text}");
    }
    fs::remove_file(archive.path().join("model.pt2")).unwrap();
    assert!(load_error(&archive, true, doubles()).ends_with("model.pt2 does not exist"));
}

#[test]
fn a_package_says_how_many_inputs_it_takes() {
    let directory = package("cpu");
    let mut config = doubles();
    config.inputs.push(ModelInput { name: "INPUT__1".into(), ..config.inputs[0].clone() });
    let text = load_error(&directory, true, config);
    assert!(text.ends_with("the configuration has 2 inputs, and the model's forward takes 1: (INPUT__0)"), "{text}");
    let text = load_error(&directory, true, ModelConfig { inputs: vec![], ..doubles() });
    assert!(text.contains("an AOTInductor package does not say the types and shapes of its tensors"), "{text}");
}
