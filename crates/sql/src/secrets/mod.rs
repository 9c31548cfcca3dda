//! The master keys, and the cipher under which signing secrets and the headers of webhooks rest.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`MasterKey`], [`Fingerprint`] (`key`) | one key, and the name by which people may call it |
//! | [`KeyFile`] (`file`) | the file of the data folder that holds the keys of the embedded mode |
//! | [`Keyring`] (`keyring`) | the key that encrypts, and those that decrypt; what a value looks like at rest |

mod file;
mod key;
mod keyring;

pub use file::{KeyExchange, KeyFile};
pub use key::{Fingerprint, MasterKey};
pub use keyring::Keyring;
pub(crate) use keyring::{Sealer, Unopened, headers_of};
