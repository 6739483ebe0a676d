//! Edits of a gateway's setup.

use anyhow::{Context as _, Result, ensure};

use super::super::gateways::Setup;

/// Replaces a part of a file of the setup.
pub(super) fn replace(setup: &mut Setup, file: &str, part: &str, by: &str) -> Result<()> {
    let mut files = setup.files.iter_mut().filter(|(name, _)| *name == file);
    let (_, text) = files.next().with_context(|| format!("the setup has no {file}"))?;
    *text = replaced(text, part, by)?;
    Ok(())
}

/// Returns the text with a part replaced.
pub(super) fn replaced(text: &str, part: &str, by: &str) -> Result<String> {
    ensure!(text.contains(part), "the configuration has no {part:?}");
    Ok(text.replace(part, by))
}

/// Adds the program with an edited source, and has the setup run it.
pub(super) fn run_edited(
    setup: &mut Setup,
    (file, source): (&'static str, &str),
    (original, edited): (&str, &str),
    (part, by): (&str, &str),
) -> Result<()> {
    setup.files.push((file, replaced(source, part, by)?));
    for script in &mut setup.scripts {
        *script = replaced(script, original, edited)?;
    }
    Ok(())
}
