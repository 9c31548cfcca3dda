//! A registered URL, what it subscribes to, and the secrets that its deliveries are signed with.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ids::{ProjectId, RegistryVersion, WebhookId};
use crate::pattern;
use crate::shape::Shape;
use crate::time::Millis;

/// A signing secret: 64 lowercase hex characters, used as the key just as they stand. It prints nothing.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SigningSecret(String);

impl SigningSecret {
    /// The secret that these 32 bytes of secure randomness stand for.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(hex::encode(bytes))
    }

    /// The 64 characters. The only way to see them: a caller either signs with them, encrypts them or shows them
    /// the one time that they are shown.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The form of the Standard Webhooks libraries: `whsec_` and the base64 of the key bytes, which are the 64
    /// characters.
    pub fn expose_standard(&self) -> String {
        use base64::Engine as _;
        format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode(self.0.as_bytes()))
    }
}

/// Not 64 lowercase hex characters.
#[derive(Debug, thiserror::Error)]
#[error("a signing secret is 64 lowercase hex characters")]
pub struct MalformedSecret;

impl FromStr for SigningSecret {
    type Err = MalformedSecret;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(hex_digit) { Ok(Self(text.to_owned())) } else { Err(MalformedSecret) }
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// The keys of a webhook at one moment. During a rotation's overlap there are two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SigningKeys {
    /// The newest key.
    pub current: SigningSecret,
    /// The key before it, and when its overlap ends.
    pub previous: Option<(SigningSecret, Millis)>,
}

impl SigningKeys {
    /// The key for `X-Spectrum-Signature`, which holds one value only: the old one until the overlap ends.
    pub fn spectrum(&self, now: Millis) -> &SigningSecret {
        self.overlapping(now).unwrap_or(&self.current)
    }

    /// The old key, while the overlap lasts.
    pub fn overlapping(&self, now: Millis) -> Option<&SigningSecret> {
        self.previous.as_ref().filter(|(_, until)| now < *until).map(|(key, _)| key)
    }
}

/// Why a webhook takes no deliveries at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// Someone switched it off.
    Manual,
    /// The endpoint answered `410 Gone`.
    Gone,
    /// It did not answer for the whole outage budget.
    Outage,
}

impl DisabledReason {
    /// The stable word for it, in the store and in the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Gone => "gone",
            Self::Outage => "outage",
        }
    }

    /// The reason of a code.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Manual, Self::Gone, Self::Outage].into_iter().find(|reason| reason.code() == code)
    }
}

/// A webhook as its project sees it, without its signing secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Its project.
    pub project: ProjectId,
    /// The URL as it was sent, to the byte.
    pub url: String,
    /// Since when and why it is disabled; `None` is enabled.
    pub disabled: Option<(Millis, DisabledReason)>,
    /// [Patterns](pattern) of the events that it takes; `None` is all.
    pub event_types: Option<Vec<String>>,
    /// How it wants its deliveries.
    pub shape: Shape,
    /// The registry version that added it: events accepted under an older one are not for it.
    pub added: RegistryVersion,
    /// When it was registered.
    pub created_at: Millis,
    /// When it was last changed.
    pub updated_at: Millis,
}

impl Webhook {
    /// Whether an event of this type, accepted under this registry version, is delivered to this webhook.
    pub fn takes(&self, event_type: &str, version: RegistryVersion) -> bool {
        self.added <= version
            && self
                .event_types
                .as_ref()
                .is_none_or(|types| types.iter().any(|taken| pattern::matches(taken, event_type)))
    }
}

/// The webhooks of one project at one registry version, deleted ones left out, with the keys to sign with.
#[derive(Clone, Debug)]
pub struct Registry {
    /// The version.
    pub version: RegistryVersion,
    /// The webhooks, oldest first.
    pub webhooks: Vec<(Webhook, SigningKeys)>,
}
