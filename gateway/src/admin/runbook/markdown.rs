//! The runbook's Markdown as HTML: headings have the ids that GitHub gives them, links lead within the page, and no
//! markup comes from the text itself. Pure.

use pulldown_cmark::{
    CodeBlockKind, CowStr, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd, html,
};

/// The id of a heading, as links to it are written: small letters, digits, hyphens.
fn id(title: &str) -> String {
    let kept = title.chars().filter(|one| one.is_alphanumeric() || matches!(one, ' ' | '-' | '_'));
    kept.map(|one| if one == ' ' { '-' } else { one.to_ascii_lowercase() }).collect()
}

/// Links to the sections, as a list.
pub fn contents(text: &str) -> String {
    let items = page(text).sections.into_iter().flat_map(|(id, title)| {
        let link = Tag::Link {
            link_type: LinkType::Inline,
            dest_url: format!("#{id}").into(),
            title: CowStr::Borrowed(""),
            id: CowStr::Borrowed(""),
        };
        [
            Event::Start(Tag::Item),
            Event::Start(link),
            Event::Text(title.into()),
            Event::End(TagEnd::Link),
            Event::End(TagEnd::Item),
        ]
    });
    let mut out = String::new();
    let (begin, end) = (Event::Start(Tag::List(None)), Event::End(TagEnd::List(false)));
    html::push_html(&mut out, std::iter::once(begin).chain(items).chain([end]));
    out
}

/// See the module.
pub fn to_html(text: &str) -> String {
    let mut out = String::new();
    html::push_html(&mut out, page(text).events.into_iter());
    out
}

/// What of a text is shown.
fn page(text: &str) -> Page<'_> {
    let mut page = Page::default();
    Parser::new_ext(text, Options::ENABLE_TABLES).for_each(|event| page.take(event));
    page
}

#[derive(Default)]
struct Page<'t> {
    events: Vec<Event<'t>>,
    /// The id and the title of each heading of the second level.
    sections: Vec<(String, String)>,
    /// Where the open heading begins, and its title so far.
    heading: Option<(usize, String)>,
    /// Of each link and picture that is open: what it leads to, where that is not on this page.
    elsewhere: Vec<Option<CowStr<'t>>>,
    items: usize,
    is_comment: bool,
}

impl<'t> Page<'t> {
    fn take(&mut self, event: Event<'t>) {
        let shown = match event {
            Event::Start(tag) => self.begins(tag),
            Event::End(tag) => self.ends(tag),
            Event::Html(text) | Event::InlineHtml(text) => {
                self.is_comment |= text.starts_with("<!--");
                let is_shown = !self.is_comment;
                self.is_comment &= !text.trim_end().ends_with("-->");
                is_shown.then_some(Event::Text(text))
            }
            // What stands under an item belongs to it, line by line.
            Event::SoftBreak if self.items > 0 => Some(Event::HardBreak),
            other => Some(other),
        };
        if let (Some((_, title)), Some(Event::Text(text) | Event::Code(text))) =
            (&mut self.heading, &shown)
        {
            title.push_str(text);
        }
        self.events.extend(shown);
    }

    fn begins(&mut self, tag: Tag<'t>) -> Option<Event<'t>> {
        Some(Event::Start(match tag {
            Tag::Heading { .. } => {
                self.heading = Some((self.events.len(), String::new()));
                tag
            }
            Tag::Item => {
                self.items += 1;
                tag
            }
            Tag::CodeBlock(_) => Tag::CodeBlock(CodeBlockKind::Indented),
            Tag::Link { ref dest_url, .. } if dest_url.starts_with('#') => {
                self.elsewhere.push(None);
                tag
            }
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.elsewhere.push(Some(dest_url));
                return None;
            }
            other => other,
        }))
    }

    fn ends(&mut self, tag: TagEnd) -> Option<Event<'t>> {
        match tag {
            TagEnd::Heading(level) => {
                if let Some((at, title)) = self.heading.take()
                    && let Some(Event::Start(Tag::Heading { id: known, .. })) =
                        self.events.get_mut(at)
                {
                    let id = id(&title);
                    *known = Some(id.clone().into());
                    if level == HeadingLevel::H2 {
                        self.sections.push((id, title));
                    }
                }
            }
            TagEnd::Item => self.items -= 1,
            // A file beside the page is not here, and is named.
            TagEnd::Link | TagEnd::Image => {
                if let Some(target) = self.elsewhere.pop().flatten() {
                    let target = format!(" ({})", target.trim_start_matches("../"));
                    return Some(Event::Text(target.into()));
                }
            }
            _ => {}
        }
        Some(Event::End(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_have_ids_and_are_listed() {
        let text = "# A title\n\n## Landfall`Failing`, now\n\n## Other & more\n";
        assert_eq!(
            to_html(text),
            "<h1 id=\"a-title\">A title</h1>\n\
             <h2 id=\"landfallfailing-now\">Landfall<code>Failing</code>, now</h2>\n\
             <h2 id=\"other--more\">Other &amp; more</h2>\n"
        );
        assert_eq!(
            contents(text).replace('\n', ""),
            "<ul><li><a href=\"#landfallfailing-now\">LandfallFailing, now</a></li>\
             <li><a href=\"#other--more\">Other &amp; more</a></li></ul>"
        );
    }

    #[test]
    fn what_belongs_to_an_item_stands_below_it() {
        assert_eq!(
            to_html("**Look:**\n1. a\n   b\n2. c\n\none\ntwo"),
            "<p><strong>Look:</strong></p>\n<ol>\n<li>a<br />\nb</li>\n<li>c</li>\n</ol>\n<p>one\ntwo</p>\n"
        );
    }

    #[test]
    fn comments_are_not_shown_and_code_has_no_class() {
        assert_eq!(
            to_html("<!-- block: not run,\nREASON -->\n```sh\na | b **c**\n\n```\nd <!-- e -->f"),
            "<pre><code>a | b **c**\n\n</code></pre>\n<p>d f</p>\n"
        );
    }

    #[test]
    fn links_lead_within_the_page() {
        for (text, html) in [
            (
                "[a](#b) and [Operating](../../docs/operating.md)",
                "<p><a href=\"#b\">a</a> and Operating (docs/operating.md)</p>\n",
            ),
            ("![a](b.png)", "<p>a (b.png)</p>\n"),
            ("[a](javascript:alert%281%29)", "<p>a (javascript:alert%281%29)</p>\n"),
            ("[a](#\"><script>)", "<p><a href=\"#%22%3E%3Cscript%3E\">a</a></p>\n"),
        ] {
            assert_eq!(to_html(text), html, "{text}");
        }
    }

    #[test]
    fn no_markup_comes_from_the_text() {
        for (text, html) in [
            ("a <b onclick='x'>&\"", "<p>a &lt;b onclick='x'&gt;&amp;\"</p>\n"),
            ("<script>\nx\n</script>", "&lt;script&gt;\nx\n&lt;/script&gt;"),
            ("`<script>`", "<p><code>&lt;script&gt;</code></p>\n"),
        ] {
            assert_eq!(to_html(text), html, "{text}");
        }
    }
}
