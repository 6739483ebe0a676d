//! The options of `cargo xtask gateways`. xtask passes them to the lab's verb `gateways`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

/// Which combinations of clients and gateways run, and where the result goes.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
pub struct Options {
    /// Only combinations with this text in their names
    pub filter: Option<String>,
    /// A sample of combinations, with programs of this machine only
    #[arg(long, group = "choice")]
    pub sample: bool,
    /// Newer releases of clients and gateways, instead of those of Debian 12
    #[arg(long, group = "choice")]
    pub newer: bool,
    /// Clients with options that change the lengths or the number of records
    #[arg(long, group = "choice")]
    pub unusual: bool,
    /// How gateways refuse hellos without SNI and with an unknown name, instead of combinations
    #[arg(long, group = "choice", conflicts_with = "records")]
    pub refusals: bool,
    /// Whether the lines of `diagnose` for gateways' own configurations heal what they claim
    #[arg(long, group = "choice", conflicts_with = "records")]
    pub fixes: bool,
    /// The lines that make clients send SNI, each client without and with its line, instead of combinations
    #[arg(long, group = "choice")]
    pub clients: bool,
    /// Write a line for each combination to this file, with the records on the wire; with --clients, the table of lines
    /// with the versions of this run
    #[arg(long, value_name = "FILE")]
    pub records: Option<PathBuf>,
}

impl Options {
    /// Returns the words of a command line with these options.
    pub fn words(&self) -> Vec<OsString> {
        let flags = [
            (self.sample, "--sample"),
            (self.newer, "--newer"),
            (self.unusual, "--unusual"),
            (self.refusals, "--refusals"),
            (self.fixes, "--fixes"),
            (self.clients, "--clients"),
        ];
        let flags = flags.into_iter().filter(|(is_set, _)| *is_set);
        let mut words: Vec<OsString> = flags.map(|(_, flag)| flag.into()).collect();
        if let Some(records) = &self.records {
            words.extend(["--records".into(), records.into()]);
        }
        if let Some(filter) = &self.filter {
            words.extend(["--".into(), filter.into()]);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn the_words_are_parsed_as_the_same_options() {
        for line in [
            "",
            "Envoy",
            "--sample",
            "--newer --records a.tsv",
            "--unusual -- -x",
            "--refusals nginx",
            "--fixes Caddy",
            "--clients curl",
        ] {
            let options = Cli::parse_from(["lab"].into_iter().chain(line.split_whitespace())).options;
            let words = [OsString::from("lab")].into_iter().chain(options.words());
            let again = Cli::parse_from(words).options;
            assert_eq!(format!("{options:?}"), format!("{again:?}"));
            assert_eq!(options.words().is_empty(), line.is_empty());
        }
    }
}
