//! A diagnosis for people: as text, or as Markdown for a ticket.

use std::fmt::{self, Write as _};

use sni_probe_terminal::{Colour, Painted};

use super::model::{Answer, Candidate, Cause, Diagnosis, Fix, Snippet, Step};

/// Gateways that are shown.
const MAX_GATEWAYS: usize = 4;

/// As text. What came from outside is printable already.
pub(super) fn text(diagnosis: &Diagnosis, colour: bool) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = write_text(&mut text, diagnosis, colour);
    text
}

fn write_text(text: &mut String, diagnosis: &Diagnosis, colour: bool) -> fmt::Result {
    let paint = |words: &str, shade: Colour| Painted::new(words, colour.then_some(shade));
    if let Some(message) = &diagnosis.message {
        writeln!(text, "The client's message: {}\n", message.sentence)?;
    }
    for (number, step) in questions(diagnosis) {
        let shade = if step.answer == Answer::Unknown { Colour::Yellow } else { Colour::Bold };
        writeln!(text, "{number:>2}. {} {}", step.question, paint(step.answer.as_str(), shade))?;
        for line in &step.evidence {
            writeln!(text, "      {line}")?;
        }
    }
    let shade = match diagnosis.cause {
        Cause::NothingWrong => Colour::Green,
        Cause::NotEnoughEvidence => Colour::Yellow,
        _ => Colour::Red,
    };
    writeln!(text, "\nCause: {} ({})", paint(diagnosis.cause.title(), shade), diagnosis.confidence.as_str())?;
    writeln!(text, "{}", diagnosis.sentence)?;
    writeln!(text, "About this cause: {}", diagnosis.page)?;
    if !diagnosis.gateways.is_empty() && diagnosis.cause != Cause::NothingWrong {
        writeln!(text, "\nWhich gateway it may be:")?;
        for candidate in diagnosis.gateways.iter().take(MAX_GATEWAYS) {
            let Candidate { software, certainty, evidence } = candidate;
            writeln!(text, "  {software} ({}): {evidence}", certainty.as_str())?;
        }
    }
    if !diagnosis.missing.is_empty() {
        writeln!(text, "\nMore evidence would come from:")?;
        for input in &diagnosis.missing {
            writeln!(text, "  {input}")?;
        }
    }
    let Some(Fix { documents, snippets, commands, warnings, client_owner }) = &diagnosis.fix else {
        return Ok(());
    };
    writeln!(text, "\nFix:")?;
    for document in documents {
        writeln!(text, "\n# {}: {}", document.file, document.note)?;
        text.push_str(&document.yaml);
    }
    for Snippet { gateway, file, note, text: lines, trial } in snippets {
        writeln!(text, "\n# If it is {gateway}: {file} ({trial}). {note}")?;
        text.push_str(lines);
    }
    if !warnings.is_empty() {
        writeln!(text, "\nBefore you do this:")?;
        for line in warnings {
            writeln!(text, "  {line}")?;
        }
    }
    if !commands.is_empty() {
        writeln!(text, "\nThen:")?;
        for command in commands {
            writeln!(text, "  {command}")?;
        }
    }
    writeln!(text, "\nFor the client's owner:")?;
    for line in client_owner {
        writeln!(text, "  {line}")?;
    }
    Ok(())
}

/// The questions with their numbers; none where nothing but a client's message is known.
fn questions(diagnosis: &Diagnosis) -> impl Iterator<Item = (usize, &Step)> {
    let is_unknown = |step: &Step| step.answer == Answer::Unknown && step.evidence.is_empty();
    let is_message_only = diagnosis.message.is_some() && diagnosis.steps.iter().all(is_unknown);
    (1..).zip(&diagnosis.steps).filter(move |_| !is_message_only)
}

/// As Markdown.
pub(super) fn markdown(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = write_markdown(&mut text, diagnosis);
    text
}

fn write_markdown(text: &mut String, diagnosis: &Diagnosis) -> fmt::Result {
    writeln!(text, "## {}", diagnosis.cause.title())?;
    writeln!(text, "\n{} ({})", escaped(&diagnosis.sentence), diagnosis.confidence.as_str())?;
    writeln!(text, "\nAbout this cause: {}", diagnosis.page)?;
    if !diagnosis.gateways.is_empty() && diagnosis.cause != Cause::NothingWrong {
        writeln!(text, "\n### Which gateway it may be\n")?;
        for Candidate { software, certainty, evidence } in diagnosis.gateways.iter().take(MAX_GATEWAYS) {
            writeln!(text, "- {} ({}): {}", escaped(software), certainty.as_str(), escaped(evidence))?;
        }
    }
    if let Some(message) = &diagnosis.message {
        writeln!(text, "\n### The client's message\n\n{}", escaped(&message.sentence))?;
    }
    writeln!(text, "\n### What was found\n")?;
    for (number, step) in questions(diagnosis) {
        writeln!(text, "{number}. {} **{}**", step.question, step.answer.as_str())?;
        for line in &step.evidence {
            writeln!(text, "   - {}", code(line))?;
        }
    }
    if !diagnosis.missing.is_empty() {
        writeln!(text, "\n### More evidence would come from\n")?;
        for input in &diagnosis.missing {
            writeln!(text, "- {}", escaped(input))?;
        }
    }
    let Some(Fix { documents, snippets, commands, warnings, client_owner }) = &diagnosis.fix else {
        return Ok(());
    };
    writeln!(text, "\n### Fix")?;
    for document in documents {
        writeln!(
            text,
            "\n{}: {}\n\n```yaml\n{}```",
            code(&document.file),
            escaped(&document.note),
            document.yaml
        )?;
    }
    for Snippet { gateway, file, note, text: lines, trial } in snippets {
        writeln!(
            text,
            "\nIf it is {}: {} ({}). {}\n\n```\n{lines}```",
            escaped(gateway),
            escaped(file),
            escaped(trial),
            escaped(note)
        )?;
    }
    if !warnings.is_empty() {
        writeln!(text, "\n### Before you do this\n")?;
        for line in warnings {
            writeln!(text, "- {}", escaped(line))?;
        }
    }
    if !commands.is_empty() {
        writeln!(text, "\n```sh\n{}\n```", commands.join("\n"))?;
    }
    writeln!(text, "\n### For the client's owner\n")?;
    for line in client_owner {
        writeln!(text, "- {}", escaped(line))?;
    }
    Ok(())
}

/// In backticks, more of them than the text has in a row.
fn code(line: &str) -> String {
    let longest = line.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if longest > 0 { " " } else { "" };
    format!("{fence}{pad}{line}{pad}{fence}")
}

/// Plain words: nothing of it is markup.
fn escaped(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for character in words.chars() {
        if matches!(character, '*' | '_' | '`' | '<' | '>' | '[' | ']' | '\\' | '|' | '#') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{code, escaped};

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a`` b"), "``` a`` b ```");
        assert_eq!(escaped("the host name * <b>"), "the host name \\* \\<b\\>");
    }
}
