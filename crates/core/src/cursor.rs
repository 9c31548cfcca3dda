//! Cursors: how a page of a list says where the next one begins.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest cursor that is read, in bytes of what it stands for.
pub const LONGEST: usize = 512;

/// The cursor of a row's key: for a URL, and for nobody to read anything into.
pub fn encode<K: Serialize>(key: &K) -> String {
    // Keys are tuples of numbers and texts, which can always be written.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default())
}

/// The key of a cursor; `None` when it is none of this list.
pub fn decode<K: DeserializeOwned>(cursor: &str) -> Option<K> {
    // Four characters stand for three bytes: what is longer need not be decoded.
    let json = Some(cursor).filter(|cursor| cursor.len() <= LONGEST.div_ceil(3) * 4)?;
    let json = URL_SAFE_NO_PAD.decode(json).ok().filter(|json| json.len() <= LONGEST)?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_given() {
        let key = (1_767_323_045_678_i64, "a-key".to_owned());
        assert_eq!(decode(&encode(&key)), Some(key));
        assert_eq!(decode::<String>(&encode(&7)), None, "of another list");
    }

    #[test]
    fn a_cursor_is_bounded() {
        let longest = "k".repeat(LONGEST - 2);
        assert_eq!(decode(&encode(&longest)), Some(longest.clone()));
        assert_eq!(decode::<String>(&encode(&format!("{longest}k"))), None);
    }
}
