//! What is accepted, what is refused, and in which words.

use nereid_inference::config::{ConfigDataType, Scheduling, VersionPolicy};
use nereid_tensor::DataType;

use crate::parse_text;

/// The configuration as Triton's own documents write it.
const DENSENET: &str = r#"
# A comment, and one "with a quote
name: "densenet_onnx"
platform: 'onnxruntime_' "onnx"
max_batch_size : 8,
input [
  {
    name: "data_0"   # the image
    data_type: TYPE_FP32
    format: FORMAT_NCHW
    dims: [ 3, 224, 224 ]
    reshape { shape: [ 1, 3, 224, 224 ] }
  },
  { name: "mask"; data_type: 1; dims: -1 dims: 0x10; optional: t }
]
output < name: "fc6_1" data_type: TYPE_BF16 dims: [ ] label_filename: "labels\x2etxt" >
version_policy: { specific: { versions: [1, 3] } }
dynamic_batching { }
instance_group [ { count: 2 kind: KIND_CPU } ]
parameters: { key: "a" value: { string_value: "1" } }
parameters [ { key: "b", value { string_value: "2" } }, { key: "c" } ]
"#;

fn check(text: &str, expected: &str) {
    let found = parse_text("m/config.pbtxt", text).expect_err(text).to_string();
    assert_eq!(found, expected.trim_matches('\n'), "\n{found}\n");
}

#[test]
fn accepts_every_way_of_writing_that_triton_accepts() {
    let config = parse_text("config.pbtxt", DENSENET).unwrap();
    assert_eq!((config.name.as_str(), config.platform.as_str()), ("densenet_onnx", "onnxruntime_onnx"));
    assert_eq!(config.max_batch_size, 8);
    assert_eq!(config.inputs[0].dims, [3, 224, 224]);
    assert_eq!(config.inputs[0].reshape.as_ref().unwrap().shape, [1, 3, 224, 224]);
    assert_eq!(config.inputs[1].data_type, ConfigDataType::Known(DataType::Bool));
    assert_eq!((config.inputs[1].dims.as_slice(), config.inputs[1].optional), ([-1, 16].as_slice(), true));
    assert_eq!(config.outputs[0].label_filename, "labels.txt");
    assert_eq!(config.version_policy, Some(VersionPolicy::Specific { versions: vec![1, 3] }));
    assert!(matches!(config.scheduling, Some(Scheduling::Dynamic(_))));
    let parameters: Vec<(&str, &str)> = config.parameters.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(parameters, [("a", "1"), ("b", "2"), ("c", "")]);
}

#[test]
fn an_empty_text_is_an_empty_configuration() {
    assert_eq!(parse_text("config.pbtxt", " # nothing\n").unwrap(), Default::default());
}

#[test]
fn an_unknown_field_is_shown_with_the_nearest_one() {
    check(
        "name: \"m\"\n\n  max_batchsize: 8\n",
        "
m/config.pbtxt:3:3: unknown field 'max_batchsize' in ModelConfig
  3 |   max_batchsize: 8
    |   ^^^^^^^^^^^^^
    = did you mean 'max_batch_size'?",
    );
}

#[test]
fn an_unknown_field_of_an_inner_block_says_where_it_belongs() {
    check(
        "max_queue_delay_microseconds: 100",
        "
m/config.pbtxt:1:1: unknown field 'max_queue_delay_microseconds' in ModelConfig
  1 | max_queue_delay_microseconds: 100
    | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    = 'max_queue_delay_microseconds' belongs inside 'dynamic_batching { … }'",
    );
}

#[test]
fn an_unknown_field_like_no_other_lists_what_there_is() {
    check(
        "response_cache { zzz: 1 }",
        "
m/config.pbtxt:1:18: unknown field 'zzz' in ModelResponseCache
  1 | response_cache { zzz: 1 }
    |                  ^^^
    = ModelResponseCache has the fields enable",
    );
}

#[test]
fn an_unknown_enum_value_is_shown_with_the_nearest_one() {
    check(
        "input { name: 'x' data_type: FP32 }",
        "
m/config.pbtxt:1:30: 'FP32' is no DataType
  1 | input { name: 'x' data_type: FP32 }
    |                              ^^^^
    = did you mean TYPE_FP32?",
    );
    check(
        "instance_group { kind: TPU }",
        "
m/config.pbtxt:1:24: 'TPU' is no Kind
  1 | instance_group { kind: TPU }
    |                        ^^^
    = Kind is one of KIND_AUTO, KIND_GPU, KIND_CPU, KIND_MODEL",
    );
    check(
        "instance_group { kind: 9 }",
        "
m/config.pbtxt:1:24: 9 is no Kind
  1 | instance_group { kind: 9 }
    |                        ^
    = Kind is one of KIND_AUTO, KIND_GPU, KIND_CPU, KIND_MODEL",
    );
}

#[test]
fn a_value_of_the_wrong_type_says_what_to_write() {
    check(
        "max_batch_size: \"8\"",
        "
m/config.pbtxt:1:17: 'max_batch_size' takes a whole number from -2147483648 to 2147483647, found the string \"8\"
  1 | max_batch_size: \"8\"
    |                 ^^^
    = write 8 without quotes",
    );
    check(
        "name: densenet",
        "
m/config.pbtxt:1:7: 'name' takes a string in quotes, found 'densenet'
  1 | name: densenet
    |       ^^^^^^^^
    = write it in quotes: \"densenet\"",
    );
    check(
        "response_cache { enable: yes }",
        "
m/config.pbtxt:1:26: 'enable' takes true or false, found 'yes'
  1 | response_cache { enable: yes }
    |                          ^^^
    = for example enable: true",
    );
    check(
        "dynamic_batching: true",
        "
m/config.pbtxt:1:19: 'dynamic_batching' takes a block '{ … }', found 'true'
  1 | dynamic_batching: true
    |                   ^^^^
    = for example dynamic_batching { … }",
    );
    check(
        "max_batch_size: [ 8 ]",
        "
m/config.pbtxt:1:17: 'max_batch_size' takes a whole number from -2147483648 to 2147483647, found '['
  1 | max_batch_size: [ 8 ]
    |                 ^
    = 'max_batch_size' is one value, not a list",
    );
}

#[test]
fn a_number_out_of_range_says_the_range() {
    check(
        "dynamic_batching { max_queue_delay_microseconds: -1 }",
        "
m/config.pbtxt:1:51: -1 is out of range for 'max_queue_delay_microseconds'
  1 | dynamic_batching { max_queue_delay_microseconds: -1 }
    |                                                   ^
    = 'max_queue_delay_microseconds' takes a whole number from 0 to 18446744073709551615",
    );
    assert!(parse_text("c", "max_batch_size: 2147483648").is_err());
    assert_eq!(parse_text("c", "max_batch_size: -2147483648").unwrap().max_batch_size, i32::MIN);
}

#[test]
fn an_open_block_is_shown_where_it_opens() {
    check(
        "input [\n  { name: 'x'\n",
        "
m/config.pbtxt:2:3: the '{' of 'input' is never closed
  2 |   { name: 'x'
    |   ^
    = the file ends on line 2; add '}' where the block ends",
    );
    check(
        "input [ { name: 'x' },",
        "
m/config.pbtxt:1:7: the '[' of 'input' is never closed
  1 | input [ { name: 'x' },
    |       ^
    = the file ends on line 1; add ']' where the block ends",
    );
}

#[test]
fn brackets_that_do_not_pair_are_refused() {
    check(
        "dynamic_batching { } }",
        "
m/config.pbtxt:1:22: expected the name of a field, found '}'
  1 | dynamic_batching { } }
    |                      ^
    = there is one closing bracket too many",
    );
    check(
        "input [ { name: 'x' ] ",
        "
m/config.pbtxt:1:21: expected the name of a field, or '}' to end 'input', found ']'
  1 | input [ { name: 'x' ] 
    |                     ^",
    );
    check(
        "input { dims: [ 1 2 ] }",
        "
m/config.pbtxt:1:19: expected ',' or ']' in the list 'dims', found the number 2
  1 | input { dims: [ 1 2 ] }
    |                   ^",
    );
}

#[test]
fn a_missing_colon_is_shown() {
    check(
        "max_batch_size 8",
        "
m/config.pbtxt:1:16: expected ':' after 'max_batch_size', found the number 8
  1 | max_batch_size 8
    |                ^
    = write max_batch_size: 1",
    );
}

#[test]
fn what_can_be_set_once_is_refused_twice() {
    check(
        "name: 'a'\nname: 'b'",
        "
m/config.pbtxt:2:1: 'name' is set twice
  2 | name: 'b'
    | ^^^^
    = it is set on line 1 already; keep one",
    );
    check(
        "dynamic_batching { }\nsequence_batching { }",
        "
m/config.pbtxt:2:1: 'sequence_batching' cannot be set beside 'dynamic_batching'
  2 | sequence_batching { }
    | ^^^^^^^^^^^^^^^^^
    = 'dynamic_batching' is set on line 1; keep one of the two",
    );
    check(
        "metric_tags { key: 'a' value: '1' }\nmetric_tags { key: 'a' value: '2' }",
        "
m/config.pbtxt:2:13: the key \"a\" is in 'metric_tags' twice
  2 | metric_tags { key: 'a' value: '2' }
    |             ^
    = keep one of the two entries",
    );
}

#[test]
fn a_file_that_stops_in_a_value_is_refused() {
    check(
        "name:",
        "
m/config.pbtxt:1:6: 'name' has no value; the file ends here
  1 | name:
    |      ^
    = it takes a string in quotes, for example \"…\"",
    );
}

#[test]
fn a_foreign_syntax_is_refused() {
    check(
        "{ \"name\": \"m\" }",
        "
m/config.pbtxt:1:1: expected the name of a field, found '{'
  1 | { \"name\": \"m\" }
    | ^",
    );
    check(
        "[type.googleapis.com/x] { }",
        "
m/config.pbtxt:1:1: extensions and Any values are not part of a configuration
  1 | [type.googleapis.com/x] { }
    | ^
    = write fields by their names",
    );
}

#[test]
fn windows_line_ends_do_not_move_the_caret() {
    check(
        "name: 'm'\r\nfoo_bar_baz_qux: 1\r\n",
        "
m/config.pbtxt:2:1: unknown field 'foo_bar_baz_qux' in ModelConfig
  2 | foo_bar_baz_qux: 1
    | ^^^^^^^^^^^^^^^
    = ModelConfig has the fields name, platform, version_policy, max_batch_size, input, output, instance_group, \
default_model_filename, cc_model_filenames, metric_tags, dynamic_batching, optimization, sequence_batching, parameters, \
ensemble_scheduling, model_warmup, backend, model_operations, model_transaction_policy, batch_input, batch_output, \
model_repository_agents, response_cache, runtime, model_metrics",
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z_{}<>\\[\\]:,;#'\"\\\\0-9.\\- \n\t\u{b5}\u{1F600}]{0,60}") {
        let _ = parse_text("config.pbtxt", &text);
    }

    #[test]
    fn no_damage_to_a_real_configuration_makes_the_parser_panic(cut in 0..DENSENET.len(), insert in "\\PC{0,3}") {
        let (head, tail) = DENSENET.split_at(DENSENET.floor_char_boundary(cut));
        if let Err(error) = parse_text("config.pbtxt", &format!("{head}{insert}{tail}")) {
            proptest::prop_assert!(error.to_string().contains(" | "));
        }
        let _ = parse_text("config.pbtxt", head);
    }
}
