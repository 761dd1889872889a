//! Languages of clients, by name in JSON headers and by number in binary ones. Source: RocketMQ `LanguageCode`.

/// Language of a peer's client; only logs and one reset body depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "names of RocketMQ's LanguageCode")]
pub enum Language {
    Java = 0,
    Cpp,
    Dotnet,
    Python,
    Delphi,
    Erlang,
    Ruby,
    Other,
    Http,
    Go,
    Php,
    Oms,
    Rust,
    NodeJs,
}

const LANGUAGES: [(Language, &str); 14] = [
    (Language::Java, "JAVA"),
    (Language::Cpp, "CPP"),
    (Language::Dotnet, "DOTNET"),
    (Language::Python, "PYTHON"),
    (Language::Delphi, "DELPHI"),
    (Language::Erlang, "ERLANG"),
    (Language::Ruby, "RUBY"),
    (Language::Other, "OTHER"),
    (Language::Http, "HTTP"),
    (Language::Go, "GO"),
    (Language::Php, "PHP"),
    (Language::Oms, "OMS"),
    (Language::Rust, "RUST"),
    (Language::NodeJs, "NODE_JS"),
];

impl Language {
    /// The code of the binary header.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The name of the JSON header.
    pub fn name(self) -> &'static str {
        LANGUAGES[self as usize].1
    }

    /// Unknown codes are OTHER.
    pub fn from_number(number: u8) -> Self {
        LANGUAGES.get(usize::from(number)).map_or(Language::Other, |(language, _)| *language)
    }

    /// Unknown names are OTHER.
    pub fn from_name(name: &str) -> Self {
        LANGUAGES.iter().find(|(_, known)| *known == name).map_or(Language::Other, |(language, _)| *language)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for (number, (language, name)) in LANGUAGES.iter().enumerate() {
            assert_eq!((usize::from(language.number()), language.name()), (number, *name));
            assert_eq!((Language::from_number(number as u8), Language::from_name(name)), (*language, *language));
        }
        assert_eq!((Language::from_number(14), Language::from_name("COBOL")), (Language::Other, Language::Other));
    }
}
