//! `medserve models`, black box: packages checked as the server loads them, and signatures on them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Server, copy_model};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::Value;

/// The pair of RFC 8410, section 10.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";
const PUBLIC_BYTES: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
/// Somebody else's: the public key of RFC 8032, test 2.
const OTHER: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=
-----END PUBLIC KEY-----
";

fn run(models: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_medserve"))
        .args(["models", "--models-dir", models.to_str().unwrap()])
        .args(arguments)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// Files of keys in a folder: private, public, somebody else's public.
fn keys(folder: &Path) -> [String; 3] {
    [("private.pem", PRIVATE), ("public.pem", PUBLIC), ("other.pem", OTHER)].map(|(name, text)| {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_string()
    })
}

#[test]
fn every_package_is_said_to_fit_or_not() {
    let root = tempfile::tempdir().unwrap();
    let (fits, said) = run(root.path(), &["verify"]);
    assert!(!fits && said.contains("no package"), "{said}");
    copy_model("triage", root.path());
    let pneumonia = copy_model("pneumonia", root.path());
    let (fits, said) = run(root.path(), &["verify"]);
    assert!(fits && said == "pneumonia/1: fits\ntriage/1: fits\n", "{said}");

    let weights = pneumonia.join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let (fits, said) = run(root.path(), &["verify"]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(!fits && lines[0].starts_with("pneumonia/1: refused: ") && lines[0].contains("sha256"), "{said}");
    assert!(lines[1] == "triage/1: fits" && said.contains("1 of 2 packages"), "{said}");
}

#[test]
fn a_signature_is_one_that_other_programs_check() {
    let (root, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let package = copy_model("pneumonia", root.path());
    let [private, ..] = keys(folder.path());
    let (done, said) = run(root.path(), &["sign", "--key", &private, "--model", "nobody"]);
    assert!(!done && said.contains("no such model"), "{said}");
    let (done, said) = run(root.path(), &["sign", "--key", &private]);
    assert!(done && said == "pneumonia/1: signed\n", "{said}");
    let signature = std::fs::read(package.join("manifest.sig")).unwrap();
    let manifest = std::fs::read(package.join("manifest.json")).unwrap();
    let key = UnparsedPublicKey::new(&ED25519, hex::decode(PUBLIC_BYTES).unwrap());
    key.verify(&manifest, &signature).unwrap();
    // A package that is not whole is not signed.
    std::fs::remove_file(package.join("model.safetensors")).unwrap();
    let (done, said) = run(root.path(), &["sign", "--key", &private]);
    assert!(!done && said.contains("model.safetensors"), "{said}");
}

/// What the log says of refused packages.
fn refused(server: Server) -> String {
    server.terminate().1.lines().filter(|line| line.contains("refused")).collect()
}

#[tokio::test]
async fn where_keys_are_configured_only_what_they_signed_is_served() {
    let (root, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [private, public, other] = keys(folder.path());
    let triage = copy_model("triage", root.path());
    let served = async |keys: &str| {
        let server = Server::start(root.path(), &["--model-keys", keys]);
        let models: Value = reqwest::get(server.at("/v1/models")).await.unwrap().json().await.unwrap();
        (models["models"].as_array().unwrap().len(), refused(server))
    };
    let (count, said) = served(&public).await;
    assert!(count == 0 && said.contains("manifest.sig") && said.contains("is not signed"), "{said}");
    assert!(run(root.path(), &["sign", "--key", &private]).0);
    assert_eq!(served(&public).await, (1, String::new()));
    let (fits, said) = run(root.path(), &["verify", "--model-keys", &public]);
    assert!(fits && said == "triage/1: fits and is signed\n", "{said}");
    let (count, said) = served(&other).await;
    assert!(count == 0 && said.contains("no signature over manifest.json"), "{said}");

    // A manifest that was changed, and a file that it says nothing of.
    let changed = |amend: &dyn Fn(&PathBuf)| {
        amend(&triage);
        let (fits, said) = run(root.path(), &["verify", "--model-keys", &public]);
        assert!(!fits, "{said}");
        said
    };
    let manifest = triage.join("manifest.json");
    let whole = std::fs::read_to_string(&manifest).unwrap();
    let said = changed(&|_| std::fs::write(&manifest, whole.replacen("\"1\"", "\"1\" ", 1)).unwrap());
    assert!(said.contains("no signature over manifest.json"), "{said}");
    std::fs::write(&manifest, &whole).unwrap();
    let said = changed(&|triage| std::fs::write(triage.join("items.json"), "[]").unwrap());
    assert!(said.contains("items.json") && said.contains("no digest"), "{said}");
}

#[test]
fn a_file_of_keys_that_holds_none_is_said_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let [private, ..] = keys(folder.path());
    for file in ["/no/such.pem", private.as_str()] {
        let output = Command::new(env!("CARGO_BIN_EXE_medserve"))
            .args(["serve", "--model-keys", file])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("--model-keys") && said.contains(file), "{said}");
    }
}
