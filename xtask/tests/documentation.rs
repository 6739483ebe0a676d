//! Links in the documentation lead somewhere: to a file of the repository, and to a heading that is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

/// The repository's Markdown files, by their paths from its root. Not by git: it refuses a directory of another user, and
/// the test would then find nothing to check.
fn pages(root: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(root.join(&directory)).expect("a directory") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            let path = directory.join(&name);
            let kind = entry.file_type().expect("its type");
            if kind.is_dir() && name != "target" && !name.starts_with('.') {
                directories.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// Where a page links to, in this repository.
fn links(text: &str) -> Vec<String> {
    let destination = |event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            Some(dest_url.into_string())
        }
        _ => None,
    };
    let is_ours = |link: &String| !link.contains("://") && !link.starts_with("mailto:");
    Parser::new(text).filter_map(destination).filter(is_ours).collect()
}

/// The anchors of a page's headings, as GitHub makes them; of two alike the second is not told.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let text = heading.take().unwrap_or_default().to_lowercase();
                let kept = |character: &char| character.is_alphanumeric() || " -_".contains(*character);
                anchors.insert(text.chars().filter(kept).collect::<String>().replace(' ', "-"));
            }
            Event::Text(part) | Event::Code(part) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&part);
                }
            }
            _ => {}
        }
    }
    anchors
}

#[test]
fn all_links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let pages = pages(&root);
    let mut broken = Vec::new();
    let mut checked = 0;
    for page in &pages {
        let text = fs::read_to_string(root.join(page)).expect("a page");
        for link in links(&text) {
            checked += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let directory = root.join(page.parent().unwrap_or(Path::new("")));
            let target = if path.is_empty() { root.join(page) } else { directory.join(path) };
            let has_anchor = || {
                let text = fs::read_to_string(&target).unwrap_or_default();
                anchors(&text).contains(anchor)
            };
            if !target.exists() || !anchor.is_empty() && !has_anchor() {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "these lead nowhere:\n{}", broken.join("\n"));
    assert!(checked > 100, "{checked} links in {} pages", pages.len());
}

#[test]
fn links_and_anchors_are_found() {
    let text = "# A `b` (c)\n\n[one](a.md#b) ![two](c.png) <https://a.example> [three](https://b.example)\n\n```\n[x](y)\n```\n";
    assert_eq!(links(text), ["a.md#b", "c.png"]);
    assert_eq!(anchors(text), BTreeSet::from(["a-b-c".to_owned()]));
}
