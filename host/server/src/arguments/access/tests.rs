//! What the security flags mean, and combinations that would leave a door open.

use std::{ffi::OsString, path::Path};

use super::*;
use crate::arguments::{Command, parse};

fn parsed(command_line: &str) -> Result<Command, String> {
    let words = std::iter::once("nereid").chain(command_line.split_whitespace());
    parse(words.map(OsString::from)).map_err(|error| error.to_string())
}

fn access(flags: &str) -> Result<AccessArguments, String> {
    match parsed(&format!("serve --model-repository=m {flags}"))? {
        Command::Serve(serve) => Ok(serve.access),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_refused(flags: &str, expected: &str) {
    assert_eq!(access(flags).unwrap_err(), expected);
}

#[test]
fn nothing_is_asked_for_unless_told() {
    let access = access("").unwrap();
    assert!(access.http_tls().unwrap().is_none() && access.grpc_tls().unwrap().is_none());
    assert!(access.api_key_file.is_none());
}

#[test]
fn restrictions_grow_and_are_read_at_the_start() {
    let access = access("--http-restricted-api=health:k=v --http-restricted-api metadata,metrics:k2=v2").unwrap();
    assert_eq!(access.http_restricted_api.len(), 2);
    check_refused(
        "--http-restricted-api=model-repository,health:k1=v1 --http-restricted-api=metadata,health:k2=v2",
        "restricted api 'health' can not be specified in multiple config groups",
    );
    check_refused(
        "--grpc-restricted-protocol=health",
        "--grpc-restricted-protocol option format is '<config name>:<setting>=<value>'. Got health",
    );
}

#[test]
fn a_service_is_encrypted_with_its_own_files() {
    let files = access("--grpc-use-ssl --grpc-server-cert=c --grpc-server-key=k --grpc-root-cert=r").unwrap();
    assert!(files.http_tls().unwrap().is_none());
    let files = files.grpc_tls().unwrap().unwrap();
    assert_eq!((files.certificate.as_path(), files.key.as_path()), (Path::new("c"), Path::new("k")));
    assert_eq!(files.client_roots, None);
    let mutual = access("--http-use-ssl-mutual=1 --http-server-cert=c --http-server-key=k --http-root-cert=r").unwrap();
    assert_eq!(mutual.http_tls().unwrap().unwrap().client_roots, Some("r".into()));
}

#[test]
fn a_certificate_that_would_not_be_used_is_refused() {
    check_refused("--http-use-ssl", "--http-use-ssl needs --http-server-cert=FILE");
    check_refused("--grpc-use-ssl=on --grpc-server-cert=c", "--grpc-use-ssl needs --grpc-server-key=FILE");
    check_refused(
        "--grpc-use-ssl-mutual=true --grpc-server-cert=c --grpc-server-key=k",
        "--grpc-use-ssl-mutual needs --grpc-root-cert=FILE",
    );
    check_refused(
        "--http-server-cert=c --http-server-key=k",
        "--http-server-cert does nothing without --http-use-ssl: connections would not be encrypted",
    );
    check_refused("--metrics-use-ssl", "--metrics-use-ssl needs --http-use-ssl, whose certificate it uses");
}

#[test]
fn a_new_key_has_a_name_and_categories() {
    let made = |command_line: &str| match parsed(command_line)? {
        Command::ApiKey(ApiKeyArguments { command: ApiKeyCommand::New { name, categories } }) => {
            Ok((name, categories.to_string()))
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(made("api-key new --name a"), Ok(("a".to_owned(), "health, metadata, inference".to_owned())));
    assert_eq!(made("api-key new --name=a --categories=all"), Ok(("a".to_owned(), "all".to_owned())));
    let error: Result<(String, String), String> = made("api-key new --name a --categories infer");
    assert!(error.unwrap_err().starts_with("--categories=infer: unknown category 'infer'; known are all, health"));
}
