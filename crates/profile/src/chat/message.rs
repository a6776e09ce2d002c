//! One message of a chat.

use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};

/// A message: who says it, and its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// Its text.
    pub content: String,
}

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Whoever asks.
    User,
    /// The model.
    Assistant,
}

impl Message {
    /// As OpenAI and Anthropic have it.
    pub(super) fn to_json(&self) -> Value {
        json!({ "role": self.role.as_str(), "content": self.content })
    }
}

impl Role {
    /// As every vendor writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }

    /// Reads a role as it is written.
    pub(crate) fn read(text: &str) -> Option<Self> {
        [Role::User, Role::Assistant].into_iter().find(|role| role.as_str() == text)
    }
}

/// Whether the user and the model take turns, and the user begins and ends. Some APIs refuse all else.
pub(crate) fn take_turns(roles: impl Iterator<Item = Role>) -> bool {
    let mut last = Role::Assistant;
    for role in roles {
        if role == last {
            return false;
        }
        last = role;
    }
    last == Role::User
}

impl fmt::Debug for Message {
    /// Leaves out the text, which is customer data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("role", &self.role).finish_non_exhaustive()
    }
}
