//! A number that tells whether a document changed.

use xxhash_rust::xxh3::Xxh3;

use crate::document::{Attribute, Document};

/// XXH3 over title, text and attributes, not over id and origin. Stable over versions: it is stored in collections, and the
/// encoding below (a tag and a length before every value, so that no two documents write the same bytes) never changes.
pub fn content_hash(document: &Document) -> u64 {
    let mut hash = Xxh3::new();
    string(&mut hash, &document.title);
    string(&mut hash, &document.text);
    for (name, value) in &document.attributes {
        string(&mut hash, name);
        attribute(&mut hash, value);
    }
    hash.digest()
}

fn string(hash: &mut Xxh3, text: &str) {
    hash.update(&(text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
}

fn attribute(hash: &mut Xxh3, value: &Attribute) {
    match value {
        Attribute::Bool(value) => hash.update(&[b'b', u8::from(*value)]),
        Attribute::Integer(value) => {
            hash.update(b"i");
            hash.update(&value.to_le_bytes());
        }
        Attribute::Float(value) => {
            hash.update(b"f");
            // Adding zero turns -0.0 into 0.0: they are equal, so they hash alike.
            hash.update(&(value + 0.0).to_bits().to_le_bytes());
        }
        Attribute::Text(value) => {
            hash.update(b"t");
            string(hash, value);
        }
        Attribute::List(values) => {
            hash.update(b"l");
            hash.update(&(values.len() as u64).to_le_bytes());
            for value in values {
                attribute(hash, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(title: &str, text: &str) -> Document {
        Document {
            id: "a".into(),
            title: title.into(),
            text: text.into(),
            ..Document::default()
        }
    }

    #[test]
    fn the_hash_is_the_same_in_every_version() {
        let mut it = document("T", "text");
        it.attributes.insert("year".into(), Attribute::Integer(2019));
        it.attributes.insert(
            "tags".into(),
            Attribute::List(vec![Attribute::Text("x".into()), Attribute::Float(0.5)]),
        );
        assert_eq!(
            content_hash(&it),
            10_601_371_992_849_188_151,
            "collections on disk hold this number"
        );
    }

    #[test]
    fn id_and_origin_do_not_count_and_everything_else_does() {
        let first = document("a", "b");
        let mut renamed = first.clone();
        renamed.id = "other".into();
        assert_eq!(content_hash(&first), content_hash(&renamed));
        assert_ne!(
            content_hash(&document("ab", "")),
            content_hash(&document("a", "b"))
        );
        let mut year = first.clone();
        year.attributes.insert("year".into(), Attribute::Integer(1));
        assert_ne!(content_hash(&first), content_hash(&year));
    }
}
