//! What is read of a configuration, and what is said of a wrong one.

use clap::{Args, FromArgMatches};

use super::*;

/// What these arguments of the command line give.
fn given(arguments: &[&str]) -> Settings {
    let command = Settings::augment_args(clap::Command::new("serve").no_binary_name(true));
    Settings::from_arg_matches(&command.get_matches_from(arguments)).unwrap()
}

/// What these arguments give over a file of this text.
fn over_file(text: &str, arguments: &[&str]) -> (tempfile::TempDir, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("medserve.toml");
    std::fs::write(&path, text).unwrap();
    let settings = given(&[&["--config", path.to_str().unwrap()], arguments].concat());
    (folder, settings)
}

#[test]
fn the_page_for_operators_is_made_from_the_settings() {
    let page = include_str!("../../docs/operations.md");
    let table = table();
    assert!(page.contains(&table), "put this table, which `medserve settings` prints, there:\n{table}");
}

#[test]
fn the_help_tells_the_default_that_holds() {
    let mut command = Settings::augment_args(clap::Command::new("serve"));
    let help = command.render_long_help().to_string();
    let (config, _) = Config::read(&Settings::default());
    for default in [
        format!("[default: {}]", config.listen),
        format!("[default: {}]", config.max_batch),
        format!("[default: {}]", config.max_body_bytes),
        format!("[default: {} for each engine]", settings::IN_FLIGHT),
        format!("[default: {}; with demo {}]", settings::DEFAULT_DATABASE, settings::DEMO_DATABASE),
    ] {
        assert!(help.contains(&default), "{default} is not in {help}");
    }
}

#[test]
fn defaults_are_valid() {
    let (config, problems) = Config::read(&Settings::default());
    assert_eq!(problems, [""; 0]);
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert!(config.engines >= 1);
    assert_eq!(config.max_in_flight, 128 * config.engines);
    let (config, _) = Config::read(&given(&["--engines", "3"]));
    assert_eq!(config.max_in_flight, 384, "so many for each engine");
}

#[test]
fn a_flag_wins_over_the_file() {
    let (_folder, settings) = over_file("max_batch = 4\nqueue = 7\ndemo = true\n", &["--max-batch", "5"]);
    let (config, problems) = Config::read(&settings);
    assert_eq!(problems, [""; 0]);
    assert_eq!((config.max_batch, config.queue, config.demo), (5, 7, true));
}

#[test]
fn every_problem_is_reported_at_once_wherever_it_was_written() {
    let text = "max_bach = 4\nmax_batch = 0\nqueue = [1]\napi_keys = [5]\ndemo = \"perhaps\"\n";
    let (_folder, settings) = over_file(text, &["--listen", "nowhere", "--engines", "two"]);
    let (_, problems) = Config::read(&settings);
    let expected = [
        "--listen (MEDSERVE_LISTEN) is \"nowhere\"",
        "--api-keys (MEDSERVE_API_KEYS) must be entries",
        "--demo (MEDSERVE_DEMO) is \"perhaps\"",
        "--engines (MEDSERVE_ENGINES) is \"two\"",
        "--max-batch (MEDSERVE_MAX_BATCH) is \"0\"; it must be a number from 1 to 4096",
        "--queue (MEDSERVE_QUEUE) must be a number from 1 to",
        "the file has an unknown setting \"max_bach\"",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, words) in problems.iter().zip(expected) {
        assert!(problem.contains(words), "{problem}");
    }
}

#[test]
fn an_address_that_others_can_reach_needs_a_word() {
    let open = ["--listen", "0.0.0.0:80"];
    let (_, problems) = Config::read(&given(&open));
    assert!(problems[0].contains("0.0.0.0:80") && problems[0].contains("--allow-anonymous"), "{problems:?}");
    let key = format!("ward:classify:{}", "0f".repeat(32));
    for word in [&["--allow-anonymous"][..], &["--api-keys", &key]] {
        let settled = given(&[&open, word].concat());
        assert_eq!(Config::read(&settled).1, [""; 0]);
    }
}

#[test]
fn an_empty_list_of_those_who_are_let_in_is_not_all_of_them() {
    for (list, name) in
        [("api_keys", "--api-keys"), ("dicom_callers", "--dicom-callers"), ("hl7_senders", "--hl7-senders")]
    {
        for nobody in ["[]", "\"\"", "\" , \""] {
            let text = format!("allow_anonymous = true\n{list} = {nobody}\n");
            let (_folder, settings) =
                over_file(&text, &["--dicom-listen", "0.0.0.0:104", "--hl7-listen", "0.0.0.0:2575"]);
            let (_, problems) = Config::read(&settings);
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(problems[0].contains(name) && problems[0].contains("no entry"), "{problems:?}");
        }
    }
}

#[test]
fn a_value_that_is_given_and_empty_is_no_value() {
    for line in [
        "tenants = \"\"",
        "tenants = []",
        "jwt_tenant_claim = \"\"",
        "jwt_audience = \" \"",
        "jwt_issuer = \"\"",
        "dicom_models = []",
        "tenant_recommenders = \"\"",
    ] {
        let (_folder, settings) = over_file(&format!("{line}\n"), &[]);
        let (_, problems) = Config::read(&settings);
        let name = line.split(' ').next().unwrap().replace('_', "-");
        assert!(problems.iter().any(|problem| problem.contains(&name)), "{line}: {problems:?}");
    }
}

#[test]
fn what_is_secret_is_not_repeated_and_what_goes_together_is_said() {
    let given = given(&[
        "--api-keys=ward:classify:hunter2, ward:everything:hunter2",
        "--jwt-issuer=https://login.example.org",
        "--tls-key=key.pem",
        "--cors-origins=ward.example.org",
        "--rate-limit=0",
        "--audit=maybe",
    ]);
    let (_, problems) = Config::read(&given);
    assert_eq!(problems.len(), 7, "{problems:#?}");
    assert!(!problems.concat().contains("hunter2"), "{problems:#?}");
    assert!(problems.concat().contains("entry 2 has a scope that is not"), "{problems:#?}");
}

#[test]
fn a_password_is_not_repeated() {
    let given =
        given(&["--database-url=mysql://me:hunter2@host/db", "--otlp-endpoint=https://me:hunter2@host:4318"]);
    let (_, problems) = Config::read(&given);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("DATABASE_URL") && problems[1].contains("MEDSERVE_OTLP_ENDPOINT"));
    assert!(!problems.concat().contains("hunter2"), "{problems:?}");
}

#[test]
fn spans_go_nowhere_unless_an_address_is_given_that_can_be() {
    assert!(Config::read(&Settings::default()).0.collector.is_none());
    let read = |endpoint: &str, ca: Option<&str>, ratio: &str| {
        let mut arguments = vec!["--otlp-endpoint", endpoint, "--trace-ratio", ratio];
        arguments.extend(ca.iter().flat_map(|ca| ["--otlp-ca", ca]));
        let given = given(&arguments);
        Config::read(&given).1
    };
    let ca = Some("ca.pem");
    for (endpoint, ca) in [
        ("http://127.0.0.1:4318", None),
        ("http://collector.hospital.example/otlp/", None),
        ("https://collector.hospital.example:4318", ca),
    ] {
        assert_eq!(read(endpoint, ca, "0.1"), [""; 0]);
    }
    for (endpoint, ca) in [
        ("", None),
        ("collector:4318", None),
        ("ftp://collector:4318", ca),
        ("http://", None),
        ("http://collector:4318?a=b", None),
        ("https://collector:4318", None),
        ("http://collector:4318", ca),
    ] {
        assert_eq!(read(endpoint, ca, "0").len(), 1, "{endpoint}");
    }
    for ratio in ["1.1", "NaN", "all"] {
        assert_eq!(read("http://[::1]:4318", None, ratio).len(), 1, "{ratio}");
    }
}
