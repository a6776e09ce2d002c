//! The profiles that come with this crate.

use crate::profile::Profile;

/// Each profile's name and its file.
pub const FILES: [(&str, &str); 12] = [
    ("anthropic", include_str!("../profiles/anthropic.toml")),
    ("bedrock", include_str!("../profiles/bedrock.toml")),
    ("dynamics", include_str!("../profiles/dynamics.toml")),
    ("github", include_str!("../profiles/github.toml")),
    ("http", include_str!("../profiles/http.toml")),
    ("hubspot", include_str!("../profiles/hubspot.toml")),
    ("openai", include_str!("../profiles/openai.toml")),
    ("salesforce", include_str!("../profiles/salesforce.toml")),
    ("sap-odata", include_str!("../profiles/sap-odata.toml")),
    ("shopify", include_str!("../profiles/shopify.toml")),
    ("stripe", include_str!("../profiles/stripe.toml")),
    ("zendesk", include_str!("../profiles/zendesk.toml")),
];

/// The names of the profiles.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    FILES.iter().map(|(name, _)| *name)
}

/// The profile of a name.
pub fn get(name: &str) -> Option<Profile> {
    let (_, text) = FILES.iter().find(|(known, _)| *known == name)?;
    // A test reads each of them, so none of them fails.
    Profile::parse(text).ok()
}
