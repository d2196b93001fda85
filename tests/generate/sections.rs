//! The parts of a page that are generated, between two comments: `<!-- generated: NAME -->` and
//! `<!-- end -->`, each on a line of its own. What stands around them is written by people.

const END: &str = "<!-- end -->";

/// The page with this in place of what stood between the comments.
pub fn replaced(page: &str, name: &str, text: &str) -> Result<String, String> {
    let begin = format!("<!-- generated: {name} -->");
    let (before, rest) = page
        .split_once(&format!("{begin}\n"))
        .ok_or_else(|| format!("there is no line {begin}"))?;
    let at = rest
        .find(&format!("{END}\n"))
        .ok_or_else(|| format!("there is no line {END} behind {begin}"))?;
    Ok(format!("{before}{begin}\n{}\n{}", text.trim_end(), &rest[at..]))
}

/// A text as a cell of a table.
pub fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_around_stays() {
        let page = "before\n<!-- generated: a -->\nold\n<!-- end -->\nbetween\n<!-- generated: b -->\n<!-- end -->\nafter\n";
        let changed = replaced(page, "a", "new\n").and_then(|page| replaced(&page, "b", "more"));
        let expected =
            page.replace("old\n", "new\n").replace("b -->\n<!-- end", "b -->\nmore\n<!-- end");
        assert_eq!(changed.as_deref(), Ok(expected.as_str()));
        assert_eq!(replaced(&expected, "a", "new"), Ok(expected.clone()));
        replaced(page, "c", "").expect_err("there is no such section");
    }
}
