//! The part of Markdown that the runbook is written in, as HTML: headings with the ids that GitHub gives them,
//! paragraphs, lists, tables, code, strong text and links within the page. Whatever else there is stands there as
//! text; nothing becomes markup that is not written here. Pure.

/// A text as HTML shows it.
pub fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

/// The id of a heading, as links to it are written: small letters, digits, hyphens.
pub fn id(title: &str) -> String {
    let kept = title.chars().filter(|one| one.is_alphanumeric() || matches!(one, ' ' | '-' | '_'));
    kept.map(|one| if one == ' ' { '-' } else { one.to_ascii_lowercase() }).collect()
}

/// The headings of one level: the id of each, and its title.
pub fn headings(text: &str, level: usize) -> impl Iterator<Item = (String, &str)> {
    let found = text.lines().filter_map(heading).filter(move |(known, _)| *known == level);
    found.map(|(_, title)| (id(title), title))
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let title = line[level..].strip_prefix(' ')?;
    (1..=6).contains(&level).then_some((level, title.trim()))
}

/// What is open, and ends where another block begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    None,
    Paragraph,
    Bullets,
    Numbers,
    Code,
    /// Its head was there.
    Table,
    Comment,
}

impl Block {
    const fn end(self) -> &'static str {
        match self {
            Block::None | Block::Comment => "",
            Block::Paragraph => "</p>\n",
            Block::Bullets => "</li>\n</ul>\n",
            Block::Numbers => "</li>\n</ol>\n",
            Block::Code => "</code></pre>\n",
            Block::Table => "</tbody>\n</table>\n",
        }
    }
}

/// See the module.
pub fn to_html(text: &str) -> String {
    let mut page = Page { html: String::new(), open: Block::None };
    for line in text.lines() {
        page.line(line);
    }
    page.enter(Block::None);
    page.html
}

struct Page {
    html: String,
    open: Block,
}

impl Page {
    fn line(&mut self, line: &str) {
        let trimmed = line.trim();
        match self.open {
            Block::Code if trimmed == "```" => self.enter(Block::None),
            Block::Code => {
                self.html.push_str(&escaped(line));
                self.html.push('\n');
            }
            Block::Comment if trimmed.ends_with("-->") => self.open = Block::None,
            Block::Comment => {}
            _ => self.begin(line, trimmed),
        }
    }

    /// A line outside of code and comments.
    fn begin(&mut self, line: &str, trimmed: &str) {
        if trimmed.is_empty() {
            return self.enter(Block::None);
        }
        if trimmed.starts_with("```") {
            self.enter(Block::Code);
            return self.html.push_str("<pre><code>");
        }
        if trimmed.starts_with("<!--") {
            self.enter(Block::Comment);
            if trimmed.ends_with("-->") {
                self.open = Block::None;
            }
            return;
        }
        if let Some((level, title)) = heading(line) {
            self.enter(Block::None);
            let (id, title) = (id(title), inline(title));
            return self.html.push_str(&format!("<h{level} id=\"{id}\">{title}</h{level}>\n"));
        }
        if let Some(row) = trimmed.strip_prefix('|') {
            return self.row(row);
        }
        let numbered = trimmed.split_once(". ").filter(|(number, _)| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        match (trimmed.strip_prefix("- "), numbered) {
            (Some(item), _) => self.item(Block::Bullets, "<ul>\n", item),
            (None, Some((_, item))) => self.item(Block::Numbers, "<ol>\n", item),
            (None, None) => self.text(trimmed),
        }
    }

    /// A line of a paragraph, or one that belongs to the item before it.
    fn text(&mut self, text: &str) {
        match self.open {
            Block::Paragraph => self.html.push('\n'),
            Block::Bullets | Block::Numbers => self.html.push_str("<br>\n"),
            _ => {
                self.enter(Block::Paragraph);
                self.html.push_str("<p>");
            }
        }
        self.html.push_str(&inline(text));
    }

    fn item(&mut self, list: Block, begin: &str, text: &str) {
        if self.open == list {
            self.html.push_str("</li>\n");
        } else {
            self.enter(list);
            self.html.push_str(begin);
        }
        self.html.push_str("<li>");
        self.html.push_str(&inline(text));
    }

    fn row(&mut self, row: &str) {
        let row = row.strip_suffix('|').unwrap_or(row);
        let is_rule = row.chars().all(|one| matches!(one, '-' | ':' | '|' | ' '));
        if is_rule {
            return;
        }
        let is_head = self.open != Block::Table;
        if is_head {
            self.enter(Block::Table);
            self.html.push_str("<table>\n<thead>\n");
        }
        let (begin, end) =
            if is_head { ("<th scope=\"col\">", "</th>") } else { ("<td>", "</td>") };
        self.html.push_str("<tr>");
        for cell in row.split('|') {
            self.html.push_str(begin);
            self.html.push_str(&inline(cell.trim()));
            self.html.push_str(end);
        }
        self.html.push_str("</tr>\n");
        if is_head {
            self.html.push_str("</thead>\n<tbody>\n");
        }
    }

    fn enter(&mut self, block: Block) {
        self.html.push_str(self.open.end());
        self.open = block;
    }
}

/// What stands within a line. A mark without its second half is text.
fn inline(text: &str) -> String {
    let (mut html, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(['`', '*', '[']) {
        let (before, marked) = rest.split_at(at);
        html.push_str(&escaped(before));
        let (shown, left) = code(marked)
            .or_else(|| strong(marked))
            .or_else(|| link(marked))
            .unwrap_or_else(|| (escaped(&marked[..1]), &marked[1..]));
        html.push_str(&shown);
        rest = left;
    }
    html + &escaped(rest)
}

fn code(text: &str) -> Option<(String, &str)> {
    let (code, left) = text.strip_prefix('`')?.split_once('`')?;
    Some((format!("<code>{}</code>", escaped(code)), left))
}

fn strong(text: &str) -> Option<(String, &str)> {
    let (strong, left) = text.strip_prefix("**")?.split_once("**")?;
    Some((format!("<strong>{}</strong>", inline(strong)), left))
}

/// Within the page it is one; a file beside the page is not here, and is named.
fn link(text: &str) -> Option<(String, &str)> {
    let (shown, rest) = text.strip_prefix('[')?.split_once("](")?;
    let (target, left) = rest.split_once(')')?;
    let shown = inline(shown);
    let html = match target.starts_with('#') {
        true => format!("<a href=\"{}\">{shown}</a>", escaped(target)),
        false => format!("{shown} ({})", escaped(target.trim_start_matches("../"))),
    };
    Some((html, left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_becomes_its_markup() {
        for (text, html) in [
            ("# A title", "<h1 id=\"a-title\">A title</h1>\n"),
            (
                "## LandfallKafkaFailing",
                "<h2 id=\"landfallkafkafailing\">LandfallKafkaFailing</h2>\n",
            ),
            ("one\ntwo\n\nthree", "<p>one\ntwo</p>\n<p>three</p>\n"),
            ("- a\n- b\n\nc", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n<p>c</p>\n"),
            (
                "**Look:**\n1. a\n   b\n2. c",
                "<p><strong>Look:</strong></p>\n<ol>\n<li>a<br>\nb</li>\n<li>c</li>\n</ol>\n",
            ),
            (
                "| a | `b` |\n|---|---|\n| c | d |",
                "<table>\n<thead>\n<tr><th scope=\"col\">a</th><th scope=\"col\"><code>b</code></th></tr>\n</thead>\n<tbody>\n<tr><td>c</td><td>d</td></tr>\n</tbody>\n</table>\n",
            ),
            (
                "<!-- block: not run, REASON -->\n```sh\na | b **c**\n\n```\nd",
                "<pre><code>a | b **c**\n\n</code></pre>\n<p>d</p>\n",
            ),
            (
                "[a](#b) and [Operating](../../docs/operating.md)",
                "<p><a href=\"#b\">a</a> and Operating (docs/operating.md)</p>\n",
            ),
            ("**`a` b**", "<p><strong><code>a</code> b</strong></p>\n"),
        ] {
            assert_eq!(to_html(text), html, "{text}");
        }
    }

    #[test]
    fn what_is_no_mark_is_text() {
        for (text, html) in [
            ("<b onclick='x'>&\"", "<p>&lt;b onclick=&#39;x&#39;&gt;&amp;&quot;</p>\n"),
            ("a ` b * c [ d", "<p>a ` b * c [ d</p>\n"),
            ("`<script>`", "<p><code>&lt;script&gt;</code></p>\n"),
            ("[a](javascript:alert%281%29)", "<p>a (javascript:alert%281%29)</p>\n"),
            ("[a](#\"><script>)", "<p><a href=\"#&quot;&gt;&lt;script&gt;\">a</a></p>\n"),
            ("#no heading", "<p>#no heading</p>\n"),
            ("3.5 of them", "<p>3.5 of them</p>\n"),
        ] {
            assert_eq!(to_html(text), html, "{text}");
        }
    }
}
