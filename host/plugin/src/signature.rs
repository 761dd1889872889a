//! Who made a plugin: a detached ed25519 signature of the whole file, beside it as `FILE.sig`.

use std::{fs::File, io::Read, path::Path};

use ed25519_dalek::{Signature, VerifyingKey};

use crate::{refusal::Refusal, spec::HostOptions};

/// A signature, raw.
pub const SIGNATURE_LEN: usize = 64;

/// Refuses a file whose signature is missing where one is asked for, or is not by a trusted key. A file that is signed while
/// keys are trusted must be signed rightly, asked for or not.
pub(crate) fn check(options: &HostOptions, file: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    let beside = signature_file(file);
    let signature = match read(&beside) {
        Ok(signature) => Ok(Some(signature)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    };
    check_bytes(options, &beside, bytes, signature)
}

/// The same with the signature at hand; `beside` is where an operator would look for it.
pub(crate) fn check_bytes(
    options: &HostOptions,
    beside: &Path,
    bytes: &[u8],
    signature: Result<Option<Vec<u8>>, String>,
) -> Result<(), Refusal> {
    let refused = |reason: String| Err(Refusal::Signature(format!("{}: {reason}", beside.display())));
    if !options.require_signed && options.trusted_keys.is_empty() {
        return Ok(());
    }
    let signature = match signature {
        Ok(Some(signature)) => signature,
        Ok(None) if !options.require_signed => return Ok(()),
        Ok(None) => return refused("there is none".to_owned()),
        Err(error) => return refused(error),
    };
    let Some(signature) = parse(&signature) else {
        return refused(format!("{} bytes that are no signature, expected 64, or 128 hex digits", signature.len()));
    };
    let valid =
        |key: &[u8; 32]| VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify_strict(bytes, &signature).is_ok());
    match options.trusted_keys.iter().any(valid) {
        true => Ok(()),
        false => refused(format!("by none of the {} trusted keys, or of another file", options.trusted_keys.len())),
    }
}

/// `orders.wasm` has its signature in `orders.wasm.sig`.
pub(crate) fn signature_file(file: &Path) -> std::path::PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Hex digits and a line's end are the longest that it may be.
    File::open(file)?.take(2 * SIGNATURE_LEN as u64 + 3).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Option<Signature> {
    if let Ok(raw) = <[u8; SIGNATURE_LEN]>::try_from(bytes) {
        return Some(Signature::from_bytes(&raw));
    }
    let text = std::str::from_utf8(bytes).ok()?.trim();
    Some(Signature::from_bytes(&hex(text)?))
}

/// Exactly `N` bytes of hex digits.
pub fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    // RFC 8032, section 7.1, test 3.
    const KEY: &str = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
    const MESSAGE: [u8; 2] = [0xaf, 0x82];
    const SIGNATURE: &str = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";

    #[test]
    fn a_file_is_taken_from_who_is_trusted_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.wasm");
        let beside = signature_file(&file);
        let trusting = HostOptions { trusted_keys: vec![[7; 32], hex(KEY).unwrap()], ..HostOptions::default() };
        let strict = HostOptions { require_signed: true, ..trusting.clone() };
        let refusal = |options: &HostOptions| check(options, &file, &MESSAGE).err().map(|refusal| refusal.to_string());

        assert_eq!((refusal(&trusting), refusal(&HostOptions::default())), (None, None), "nothing is asked for");
        assert!(refusal(&strict).unwrap().contains("p.wasm.sig"), "missing");
        fs::write(&beside, format!("{SIGNATURE}\n")).unwrap();
        assert_eq!((refusal(&trusting), refusal(&strict)), (None, None));
        fs::write(&beside, hex::<64>(SIGNATURE).unwrap()).unwrap();
        assert_eq!(refusal(&strict), None, "raw");
        assert!(check(&strict, &file, b"other").unwrap_err().to_string().contains("none of the 2 trusted keys"));
        fs::write(&beside, SIGNATURE.replacen('6', "7", 1)).unwrap();
        assert!(refusal(&trusting).is_some(), "a wrong signature is refused even where none is asked for");
        fs::write(&beside, "signed, honestly").unwrap();
        assert!(refusal(&strict).unwrap().contains("16 bytes that are no signature"));
        let nobody = HostOptions { require_signed: true, ..HostOptions::default() };
        fs::write(&beside, SIGNATURE).unwrap();
        assert!(refusal(&nobody).is_some(), "without keys nobody is trusted");
    }
}
