//! Characters that ZooKeeper refuses, and keys may have.
//!
//! A server takes names as UTF-16 and refuses surrogates, so every character above U+FFFF. Such a character is stored as
//! an introducer and its number in six digits. All other names are stored as they are, except that an introducer in a
//! name is doubled; it is a letter that occurs in ancient Slavonic manuscripts.

use std::borrow::Cow;

const INTRODUCER: char = '\u{2E2F}';
const DIGITS: usize = 6;

/// The name, or path, as it is stored.
pub(super) fn encode(text: &str) -> Cow<'_, str> {
    if !text.chars().any(needs_escape) {
        return Cow::Borrowed(text);
    }
    let mut stored = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character == INTRODUCER {
            stored.push(INTRODUCER);
            stored.push(INTRODUCER);
        } else if needs_escape(character) {
            stored.push(INTRODUCER);
            stored.push_str(&format!("{:0DIGITS$x}", u32::from(character)));
        } else {
            stored.push(character);
        }
    }
    Cow::Owned(stored)
}

/// The name, or path, that is stored like this; `None` where none is.
pub(super) fn decode(stored: &str) -> Option<Cow<'_, str>> {
    if !stored.contains(INTRODUCER) {
        return Some(Cow::Borrowed(stored));
    }
    let mut text = String::with_capacity(stored.len());
    let mut rest = stored;
    while let Some((before, after)) = rest.split_once(INTRODUCER) {
        text.push_str(before);
        if let Some(after) = after.strip_prefix(INTRODUCER) {
            text.push(INTRODUCER);
            rest = after;
        } else {
            let digits = after.get(..DIGITS)?;
            text.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
            rest = after.get(DIGITS..)?;
        }
    }
    text.push_str(rest);
    // Each text is stored in one way only.
    (encode(&text) == stored).then_some(Cow::Owned(text))
}

fn needs_escape(character: char) -> bool {
    character > '\u{FFFF}' || character == INTRODUCER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_stored_as_they_are() {
        for text in ["/a/b", "/100%", "/\u{5de5}", "/\\u{1f980}"] {
            assert_eq!(encode(text), text);
            assert_eq!(decode(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn every_name_comes_back_and_no_two_are_stored_alike() {
        let parts = ["\u{1F980}", "\u{2E2F}", "01f980", "a", "\u{10FFFD}"];
        let mut stored = std::collections::BTreeSet::new();
        for one in parts {
            for other in parts {
                for third in parts {
                    let text = format!("{one}{other}{third}");
                    let encoded = encode(&text).into_owned();
                    assert!(!encoded.chars().any(|character| character > '\u{FFFF}'), "{encoded}");
                    assert_eq!(decode(&encoded).as_deref(), Some(text.as_str()));
                    assert!(stored.insert(encoded), "{text} is stored like another");
                }
            }
        }
    }

    #[test]
    fn what_no_name_is_stored_like_is_none() {
        for stored in ["\u{2E2F}", "\u{2E2F}12", "\u{2E2F}00004a", "\u{2E2F}01F980", "\u{2E2F}zzzzzz", "\u{2E2F}é12345"]
        {
            assert_eq!(decode(stored), None, "{stored}");
        }
    }
}
