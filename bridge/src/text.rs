//! Texts of strangers, made harmless for whoever reads them on a terminal or in a log.

/// The text with every character escaped that a terminal would obey or that would change how the rest is
/// read: control characters (ESC and C1 among them), line and paragraph separators, and what Unicode
/// calls formats (bidirectional overrides, zero-width characters, tags). Nothing else changes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => escaped.extend(character.escape_default()),
            _ if is_harmful(character) => escaped.extend(character.escape_unicode()),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Unicode's categories Cc, Cf, Zl and Zp (version 17), and the noncharacters.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fdd0}'..='\u{fdef}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}')
        || u32::from(character) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_nothing_else() {
        assert_eq!(escape("a\u{1b}[2J\n\u{9b}31m\u{7f}"), "a\\u{1b}[2J\\n\\u{9b}31m\\u{7f}");
        assert_eq!(escape("a\u{202e}b\u{2066}c\u{200f}d"), "a\\u{202e}b\\u{2066}c\\u{200f}d");
        assert_eq!(escape("\u{2028}\u{2029}\u{feff}\u{ad}"), "\\u{2028}\\u{2029}\\u{feff}\\u{ad}");
        assert_eq!(escape("\u{e0041}\u{ffff}"), "\\u{e0041}\\u{ffff}");
        let harmless = "Geräte \"Zürich\" 東京 \\ 'é' e\u{301} 🚜";
        assert_eq!(escape(harmless), harmless);
    }
}
