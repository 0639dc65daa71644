//! Variables of the environment that begin as ours do and that nothing reads.
//!
//! The file and the command line refuse a name that is none; a variable that was misspelt would be silence, and a
//! server without the signatures, keys or limits that somebody believes it has. But others set variables, too: an
//! orchestrator for a service of this name, whoever runs the clients or trains. So a name that is nearly one of ours is
//! refused, what is plainly an orchestrator's passes, and of the rest the log tells.

use std::ffi::OsString;

/// What every variable of ours begins with, but the database's.
const PREFIX: &str = "MEDSERVE_";

/// Variables that are read and are no option: the filter of the log.
const OTHERS: [&str; 1] = ["MEDSERVE_LOG"];

/// Variables that begin as ours do and are none.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Strange {
    /// Those that are nearly one of ours, each with the one that must be meant.
    pub slips: Vec<String>,
    /// The others.
    pub unknown: Vec<String>,
}

/// Looks through variables for those that begin as ours do and are none of the `known`. Their values are not repeated.
pub fn strange(known: &[String], given: impl Iterator<Item = (OsString, OsString)>) -> Strange {
    let known: Vec<&str> = known.iter().map(String::as_str).chain(OTHERS).collect();
    let mut strange = Strange::default();
    for (name, value) in given {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        let upper = name.to_uppercase();
        let Some(own) = upper.strip_prefix(PREFIX) else { continue };
        if known.contains(&name.as_ref()) || is_of_a_service(own, &value) {
            continue;
        }
        let distance = |known: &str| strsim::osa_distance(own, known.strip_prefix(PREFIX).unwrap_or(known));
        let nearest = known.iter().map(|known| (distance(known), *known)).min();
        match nearest {
            // A letter in five.
            Some((distance, nearest)) if distance <= (own.len() / 5).max(1) => {
                strange.slips.push(format!("the variable {name} is no setting; {nearest} is one"));
            }
            Some((distance, nearest)) if distance <= own.len() / 2 => {
                strange.unknown.push(format!("{name} is no setting; the nearest is {nearest}"));
            }
            _ => strange.unknown.push(format!("{name} is no setting")),
        }
    }
    strange.slips.sort_unstable();
    strange.unknown.sort_unstable();
    strange
}

/// Whether a variable is one of those that Kubernetes gives each container for each service of its namespace, and Docker for a
/// linked container: `X_SERVICE_HOST`, `X_SERVICE_PORT_NAME`, `X_PORT=tcp://...`, `X_PORT_8080_TCP_ADDR`, where X is the
/// service's name, which may begin as ours does.
fn is_of_a_service(own: &str, value: &str) -> bool {
    const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
    let words: Vec<&str> = own.split('_').collect();
    let follow = |wanted: [&str; 2]| words.windows(2).any(|pair| pair == wanted);
    let is_port = |three: &[&str]| {
        let number = !three[1].is_empty() && three[1].bytes().all(|byte| byte.is_ascii_digit());
        three[0] == "PORT" && number && PROTOCOLS.contains(&three[2])
    };
    let is_address = PROTOCOLS.iter().any(|own| value.starts_with(&format!("{}://", own.to_lowercase())));
    own.ends_with("SERVICE_HOST")
        || follow(["SERVICE", "PORT"])
        || words.windows(3).any(is_port)
        || (words.last() == Some(&"PORT") && is_address)
}

#[cfg(test)]
mod tests {
    use super::super::setting::variable;
    use super::super::settings;
    use super::*;

    fn found(given: &[(&str, &str)]) -> Strange {
        let known: Vec<String> = settings::all().map(|setting| variable(setting.about().name)).collect();
        let given = given.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        strange(&known, given)
    }

    #[test]
    fn a_name_that_is_nearly_one_is_refused_with_the_one_that_is_meant() {
        for (slip, meant) in [
            ("MEDSERVE_APIKEYS", "MEDSERVE_API_KEYS"),
            ("MEDSERVE_API_KEY", "MEDSERVE_API_KEYS"),
            ("MEDSERVE_MODEL_KEY", "MEDSERVE_MODEL_KEYS"),
            ("MEDSERVE_AUDIT_PEOPLES", "MEDSERVE_AUDIT_PEOPLE"),
            ("MEDSERVE_AUDITKEYFILE", "MEDSERVE_AUDIT_KEY_FILE"),
            ("MEDSERVE_TLS_CLIENTS_REQUIRED", "MEDSERVE_TLS_CLIENT_REQUIRED"),
            ("medserve_api_keys", "MEDSERVE_API_KEYS"),
            ("MEDSERVE_DATABASE_URL", "DATABASE_URL"),
            ("MEDSERVE_LOGS", "MEDSERVE_LOG"),
        ] {
            let found = found(&[(slip, "secret")]);
            assert!(found.unknown.is_empty() && found.slips.len() == 1, "{slip}: {found:?}");
            assert!(
                found.slips[0].contains(slip) && found.slips[0].ends_with(&format!("{meant} is one")),
                "{found:?}"
            );
            assert!(!found.slips[0].contains("secret"));
        }
    }

    #[test]
    fn what_is_ours_an_orchestrators_or_of_something_else_passes() {
        let known =
            [("MEDSERVE_API_KEYS", "a"), ("DATABASE_URL", "b"), ("MEDSERVE_LOG", "info"), ("PATH", "c")];
        assert_eq!(found(&known), Strange::default());
        let services = [
            ("MEDSERVE_SERVICE_HOST", "10.0.0.1"),
            ("MEDSERVE_SERVICE_PORT", "80"),
            ("MEDSERVE_SERVICE_PORT_HTTP", "80"),
            ("MEDSERVE_PORT", "tcp://10.0.0.1:80"),
            ("MEDSERVE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("MEDSERVE_PORT_8080_TCP_PROTO", "tcp"),
            ("MEDSERVE_PORT_11112_TCP_ADDR", "10.0.0.1"),
            ("MEDSERVE_DICOM_SERVICE_HOST", "10.0.0.2"),
            ("MEDSERVE_DICOM_PORT", "tcp://10.0.0.2:104"),
            ("MEDSERVE_DICOM_PORT_104_TCP_PORT", "104"),
        ];
        assert_eq!(found(&services), Strange::default());
        let others = [
            "MEDSERVE_IMAGE",
            "MEDSERVE_TAG",
            "MEDSERVE_VERSION",
            "MEDSERVE_URL",
            "MEDSERVE_EPOCHS",
            "MEDSERVE_PORT",
        ];
        let Strange { slips, unknown } = found(&others.map(|name| (name, "8080")));
        assert_eq!((slips, unknown.len()), (Vec::new(), others.len()), "{unknown:?}");
    }
}
