//! The table of lines, as the program reads it.

/// The file.
pub(super) const TEXT: &str = include_str!("../../../../crates/playbook/src/diagnose/clients.tsv");
/// In place of versions, where the line was not run.
pub(super) const NOT_TRIED: &str = "not tried";
/// The columns of which the names are needed here.
pub(super) const VERIFIED_WITH: usize = 6;

/// A line of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    /// Its name.
    pub(super) id: &'static str,
    /// The program, for people.
    pub(super) software: &'static str,
    /// The line, with placeholders.
    pub(super) text: &'static str,
    /// The versions with which it is listed as verified.
    pub(super) verified_with: Option<&'static str>,
}

/// Returns all lines.
pub(super) fn lines() -> impl Iterator<Item = Line> {
    TEXT.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        let verified_with = *columns.get(VERIFIED_WITH)?;
        Some(Line {
            id: columns[0],
            software: columns[1],
            text: columns[4],
            verified_with: (verified_with != NOT_TRIED).then_some(verified_with),
        })
    })
}

/// Returns the line with this name.
pub(super) fn line(id: &str) -> Option<Line> {
    lines().find(|line| line.id == id)
}

impl Line {
    /// Returns the line with its placeholders replaced.
    pub(super) fn with(&self, name: &str, port: u16, address: &str) -> String {
        let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let mut replaced = String::new();
        let mut word = String::new();
        for character in self.text.chars().chain(['\0']) {
            if is_word(character) {
                word.push(character);
                continue;
            }
            match word.as_str() {
                "NAME" => replaced.push_str(name),
                "PORT" => replaced.push_str(&port.to_string()),
                "GATEWAY_IP" => replaced.push_str(address),
                other => replaced.push_str(other),
            }
            word.clear();
            replaced.push(character);
        }
        replaced.pop();
        replaced
    }
}

#[cfg(test)]
mod tests {
    use super::super::list;
    use super::*;

    #[test]
    fn placeholders_are_replaced() {
        let curl = line("curl").unwrap();
        assert_eq!(
            curl.with("a.example", 443, "192.0.2.1"),
            "--resolve a.example:443:192.0.2.1 https://a.example:443/"
        );
    }

    #[test]
    fn each_program_has_a_line_and_each_verified_line_a_program() {
        for subject in list::all() {
            assert!(line(subject.id).is_some(), "{}", subject.id);
            assert!(subject.script.contains("{LINE}"), "{}", subject.id);
        }
        for line in lines().filter(|line| line.verified_with.is_some()) {
            assert!(list::all().any(|subject| subject.id == line.id), "{}", line.id);
        }
    }
}
