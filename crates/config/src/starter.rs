//! The first `slowlane.toml` of a team.

use slowlane_profile::auth::Auth;
use slowlane_profile::{Base, Profile};

/// Writes a `slowlane.toml` for one target with a profile. It is complete but for the address and
/// the secret's name, where a team writes its own, and says what the secret must hold.
///
/// `target` is the target's name, `auth` one of the profile's ways to authenticate, and `base_url`
/// the API's address.
pub fn starter(target: &str, profile: &Profile, auth: &str, base_url: &Base) -> String {
    let (name, title) = (profile.name(), &profile.title);
    let base_url = base_url.url();
    let way = profile.auth.get(auth);
    let fields: Vec<String> = way
        .map(Auth::secret_fields)
        .into_iter()
        .flatten()
        .map(|field| format!("\"{field}\": \"...\""))
        .collect();
    let secret = match fields.is_empty() {
        true => String::new(),
        false => format!(
            "# A secret in Secrets Manager: {{{}}}\nsecret = \"prod/{target}\"\n",
            fields.join(", ")
        ),
    };
    let auth = match profile.auth.all().len() {
        0 | 1 => String::new(),
        _ => format!("auth = \"{auth}\"\n"),
    };
    format!(
        "# {title}\n\
         [targets.{target}]\n\
         profile = \"{name}\"\n\
         {auth}\
         base_url = \"{base_url}\"\n\
         {secret}\
         # The most calls at once, whatever happens.\n\
         concurrency = 5\n\
         # What the vendor allows besides, such as {{ rate = \"100/20s\" }} or {{ quota = \"15000/1d\" }}.\n\
         limits = []\n\
         \n\
         [stages.prod]\n\
         region = \"eu-central-1\"\n"
    )
}
