//! Where the API's secret is. The template's conditions compare whole texts and look into none, so they are
//! told.

use crate::Values;

/// Each parameter that names a secret, with the one that says where it is.
const PARAMETERS: [(&str, &str); 2] =
    [("ApiSecret", "SecretStore"), ("FallbackSecret", "FallbackSecretStore")];
/// The template's default.
const SECRETS_MANAGER: &str = "secrets-manager";

/// Says it where a secret is given that is elsewhere than before.
pub(crate) fn choose(parameters: &mut Values, present: &Values) {
    for (of, parameter) in PARAMETERS {
        let Some(secret) = parameters.get(of) else { continue };
        let store = store(secret);
        let before = present.get(parameter).map_or(SECRETS_MANAGER, String::as_str);
        if store != before {
            parameters.entry(parameter.into()).or_insert_with(|| store.into());
        }
    }
}

fn store(secret: &str) -> &'static str {
    match secret {
        _ if secret.starts_with("ssm:") => "parameter",
        _ if secret.starts_with("arn:") => "parameter-arn",
        _ => SECRETS_MANAGER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(name: &str, value: Option<&str>) -> Values {
        value.map(|value| (name.into(), value.into())).into_iter().collect()
    }

    #[test]
    fn it_is_said_where_it_is_another_than_before() {
        let arn = "arn:aws:ssm:eu-central-1:123456789012:parameter/prod/crm";
        for (given, before, said) in [
            (None, None, None),
            (None, Some("parameter"), None),
            (Some("prod/crm"), None, None),
            (Some("prod/crm"), Some("parameter"), Some("secrets-manager")),
            (Some("ssm:/prod/crm"), None, Some("parameter")),
            (Some("ssm:/prod/crm"), Some("parameter"), None),
            (Some(arn), Some("parameter"), Some("parameter-arn")),
            (Some(""), None, None),
        ] {
            for (of, parameter) in PARAMETERS {
                let mut parameters = values(of, given);
                choose(&mut parameters, &values(parameter, before));
                let found = parameters.get(parameter).map(String::as_str);
                assert_eq!(found, said, "{given:?} after {before:?}");
            }
        }
    }

    #[test]
    fn what_is_given_is_left() {
        let mut parameters = values("ApiSecret", Some("ssm:/prod/crm"));
        parameters.insert("SecretStore".into(), "parameter-arn".into());
        choose(&mut parameters, &Values::new());
        assert_eq!(parameters["SecretStore"], "parameter-arn");
    }
}
