//! JSON files that carry their own checksum, so that a flipped bit is noticed: the manifest, the commit payload, tantivy's `meta.json`.

use kokeshi_core::file::checksum;

/// `json` (an object or an array) with a last member that holds the checksum of `json`. Readers that don't know it can ignore it.
pub fn seal(json: &[u8]) -> Vec<u8> {
    let end = json.trim_ascii_end().len();
    let (body, close) = json[..end].split_at(end.saturating_sub(1));
    let tag = format!("{:016x}", checksum(json));
    let member = match close {
        b"]" => format!("\"checksum {tag}\""),
        _ => format!("\"checksum\":\"{tag}\""),
    };
    let comma = if matches!(body.trim_ascii_end().last(), Some(b'{' | b'[') | None) {
        ""
    } else {
        ","
    };
    [
        body,
        comma.as_bytes(),
        member.as_bytes(),
        close,
        // What was after the closing bracket stays, so that unsealing gives back the same bytes.
        &json[end..],
    ]
    .concat()
}

/// The JSON that was given to [`seal`].
///
/// # Errors
/// What is wrong: no checksum, or another one.
pub fn unseal(sealed: &[u8]) -> Result<Vec<u8>, String> {
    const DIGITS: usize = 16;
    let end = sealed.trim_ascii_end().len();
    let close = end.checked_sub(1).ok_or("empty")?;
    let opening: &[u8] = match sealed[close] {
        b'}' => b"\"checksum\":\"",
        b']' => b"\"checksum ",
        _ => return Err("cut off: it does not end with a closing bracket".into()),
    };
    let start = close
        .checked_sub(opening.len() + DIGITS + 1)
        .filter(|&start| sealed[start..].starts_with(opening) && sealed[close - 1] == b'"')
        .ok_or("it has no checksum")?;
    let found = std::str::from_utf8(&sealed[start + opening.len()..close - 1])
        .ok()
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or("its checksum is not a number")?;
    let body = &sealed[..start];
    let with_comma = body.strip_suffix(b",").unwrap_or(body);
    let json = [with_comma, &sealed[close..]].concat();
    let expected = checksum(&json);
    if expected != found {
        return Err(format!(
            "checksum {found:016x} does not fit its contents ({expected:016x})"
        ));
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_json_is_still_json_and_unseals_to_the_same_bytes() {
        for json in ["{}", "[]", "{\"a\":1}", "[1,2]\n", "{\n  \"a\": [1]\n}\n"] {
            let sealed = seal(json.as_bytes());
            assert!(serde_json::from_slice::<serde_json::Value>(&sealed).is_ok());
            assert_eq!(unseal(&sealed).as_deref(), Ok(json.as_bytes()));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let sealed = seal(b"{\"a\":\"some text\",\"b\":[1,2,3]}\n");
        for at in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(
                unseal(&flipped).is_err() || flipped.eq_ignore_ascii_case(&sealed),
                "bit {at}"
            );
        }
        for end in 0..sealed.len() - 1 {
            assert!(unseal(&sealed[..end]).is_err(), "cut at {end}");
        }
    }
}
