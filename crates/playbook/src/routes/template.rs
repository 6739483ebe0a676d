//! Templates and variables that are not rendered.

use sni_probe_terminal::printable_within;

/// Characters of a template that a message shows.
const MAX_TEMPLATE: usize = 60;

/// How actions and variables begin and end: of Go templates (Helm) and Jinja, of Jinja, of envsubst and Flux.
const MARKS: [(&str, &str); 3] = [("{{", "}}"), ("{%", "%}"), ("${", "}")];

/// Whether the text begins with an action, as no JSON and no YAML does.
pub(super) fn begins(text: &str) -> bool {
    text.starts_with("{{") || text.starts_with("{%")
}

/// Where the first action of a template begins in a file that is not YAML: the text before it, and the rest. Braces
/// within braces that are YAML of another program are not one.
pub(super) fn in_file(text: &str) -> Option<(&str, &str)> {
    text.match_indices(['{']).find_map(|(at, _)| {
        let (before, rest) = text.split_at_checked(at)?;
        let line = rest.lines().next()?;
        let is_action = if line.starts_with("{{") {
            let inside = line.trim_start_matches(['{', '-']).trim_start();
            let is_expression =
                inside.starts_with(['.', '$', '(', '/', '"']) || inside.starts_with(char::is_alphabetic);
            // A comment may end in a later line.
            is_expression && (line.contains("}}") || inside.starts_with("/*"))
        } else {
            line.starts_with("{%") && line.contains("%}")
        };
        // A comment in YAML may speak of templates.
        let begins_line = before.rsplit('\n').next()?.trim_start();
        (is_action && !begins_line.starts_with('#')).then_some((before, rest))
    })
}

/// The first action or variable in a value, and the text after it.
pub(super) fn in_value(text: &str) -> Option<&str> {
    MARKS.iter().find_map(|(begin, end)| {
        let at = text.find(begin)?;
        let rest = text.get(at..)?;
        let inside = rest.strip_prefix(begin)?;
        let is_name = inside.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        (*begin != "${" || is_name && inside.contains(end)).then_some(rest)
    })
}

/// The message about a template or a variable, with which the text begins.
pub(super) fn unrendered(template: &str) -> String {
    let template = template.lines().next().unwrap_or_default();
    let mark = MARKS.iter().find(|(begin, _)| template.starts_with(begin));
    let end = mark.and_then(|(_, end)| Some(template.find(end)? + end.len())).unwrap_or(template.len());
    let shown = printable_within(MAX_TEMPLATE, template.get(..end).unwrap_or(template));
    if template.starts_with("${") {
        return format!(
            "a variable that is not replaced: {shown}; replace it first, for example with `envsubst`, and read the result"
        );
    }
    let how = if template.starts_with("{{") { ", for a chart with `helm template`," } else { "" };
    format!("a template that is not rendered: {shown}; render it first{how} and read the result")
}
