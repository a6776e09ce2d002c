//! Where the API's secret is. The template's conditions compare whole texts and look into none, so they are
//! told.

use crate::Values;

const PARAMETER: &str = "SecretStore";
/// The template's default.
const SECRETS_MANAGER: &str = "secrets-manager";

/// Says it where an `ApiSecret` is given that is elsewhere than before.
pub(crate) fn choose(parameters: &mut Values, present: &Values) {
    let Some(secret) = parameters.get("ApiSecret") else { return };
    let store = store(secret);
    let before = present.get(PARAMETER).map_or(SECRETS_MANAGER, String::as_str);
    if store != before {
        parameters.entry(PARAMETER.into()).or_insert_with(|| store.into());
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
            let mut parameters = values("ApiSecret", given);
            choose(&mut parameters, &values(PARAMETER, before));
            let found = parameters.get(PARAMETER).map(String::as_str);
            assert_eq!(found, said, "{given:?} after {before:?}");
        }
    }

    #[test]
    fn what_is_given_is_left() {
        let mut parameters = values("ApiSecret", Some("ssm:/prod/crm"));
        parameters.insert(PARAMETER.into(), "parameter-arn".into());
        choose(&mut parameters, &Values::new());
        assert_eq!(parameters[PARAMETER], "parameter-arn");
    }
}
