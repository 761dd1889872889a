//! What the rules hand to the next version: for each its name and the length of its text, a line, and the text.

const HEAD: &str = "standard-alerts 1\n";

pub(crate) fn write<'r>(rules: impl Iterator<Item = (&'r str, String)>) -> String {
    let parts = rules.filter(|(_, state)| !state.is_empty());
    parts.fold(HEAD.to_owned(), |text, (name, state)| format!("{text}{name} {}\n{state}", state.len()))
}

pub(crate) fn read(bytes: &[u8]) -> Result<Vec<(&str, &str)>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("the state is not text: {error}"))?;
    let mut rest = text.strip_prefix(HEAD).ok_or("the state is of another plugin or version")?;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let part = rest.split_once('\n').and_then(|(line, behind)| {
            let (name, len) = line.split_once(' ')?;
            let (state, left) = behind.split_at_checked(len.parse().ok()?)?;
            rest = left;
            Some((name, state))
        });
        parts.push(part.ok_or("the state ends in the middle of a rule")?);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let rules = [("a", "x\ny 1\n".to_owned()), ("b", String::new()), ("c", "ä".to_owned())];
        let text = write(rules.into_iter());
        assert_eq!(read(text.as_bytes()).unwrap(), [("a", "x\ny 1\n"), ("c", "ä")]);
    }

    #[test]
    fn what_is_not_a_state_is_refused() {
        let cases: [&[u8]; 6] = [
            b"",
            b"standard-alerts 2\n",
            b"\xff",
            b"standard-alerts 1\na 9\nxy",
            b"standard-alerts 1\na\n",
            "standard-alerts 1\na 1\nä".as_bytes(),
        ];
        for bad in cases {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert_eq!(read(b"standard-alerts 1\n"), Ok(vec![]));
    }
}
