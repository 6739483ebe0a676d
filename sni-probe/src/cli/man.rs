//! `man` and `completions`: what packagers and shells want to know of the command line.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;

/// Print the manual page, or write those of all verbs to a directory
#[derive(Args, Clone, Debug)]
#[command(after_long_help = MAN_EPILOGUE)]
pub(crate) struct ManOptions {
    /// The verb whose page to print [default: the page of sni-probe itself]
    #[arg(value_name = "VERB", conflicts_with = "output")]
    verb: Option<String>,

    /// Write the pages of sni-probe and all of its verbs to this directory, which is made if need be
    #[arg(short, long, value_name = "DIRECTORY")]
    output: Option<PathBuf>,
}

const MAN_EPILOGUE: &str = "\
Examples:
  sni-probe man check | man -l -
      The page of one verb, as man shows it.
  sudo sni-probe man --output /usr/local/share/man/man1
      All pages, to where man finds them: then `man sni-probe-check`.";

/// Print the completions of a shell, for all verbs and flags
#[derive(Args, Clone, Debug)]
#[command(after_long_help = COMPLETIONS_EPILOGUE)]
pub(crate) struct CompletionsOptions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

const COMPLETIONS_EPILOGUE: &str = "\
Examples:
  source <(sni-probe completions bash)
      For this shell.
  sni-probe completions zsh > ~/.zfunc/_sni-probe
      For all to come; ~/.zfunc is in fpath.
  sni-probe completions fish > ~/.config/fish/completions/sni-probe.fish";

/// Prints or writes manual pages.
///
/// # Errors
/// There is no such verb, or the directory cannot be written to.
pub(crate) fn man(options: &ManOptions) -> anyhow::Result<ExitCode> {
    // Whole: the pages of verbs have the flags that are the same for all, and names such as sni-probe-check.
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    if let Some(directory) = &options.output {
        return write_all(command, directory);
    }
    let page = match &options.verb {
        None => command,
        Some(verb) => command.find_subcommand(verb).cloned().ok_or_else(|| {
            let verbs: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
            anyhow!("there is no verb {verb:?}; expected one of {}", verbs.join(", "))
        })?,
    };
    let mut text = Vec::new();
    Man::new(page).render(&mut text)?;
    print(&text)
}

fn write_all(command: clap::Command, directory: &Path) -> anyhow::Result<ExitCode> {
    let told = || format!("cannot write manual pages to {}", directory.display());
    std::fs::create_dir_all(directory).with_context(told)?;
    clap_mangen::generate_to(command, directory).with_context(told)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints completions.
///
/// # Errors
/// If standard output cannot be written to.
pub(crate) fn completions(options: &CompletionsOptions) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "sni-probe", &mut text);
    print(&text)
}

fn print(text: &[u8]) -> anyhow::Result<ExitCode> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        // The reader has left (`sni-probe man | head -1`): no harm done.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        result => result.context("cannot write to standard output")?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    fn verbs() -> Vec<String> {
        Cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
    }

    #[test]
    fn every_verb_has_a_page() {
        let directory = tempfile::tempdir().unwrap();
        let pages = directory.path().join("share/man1");
        man(&ManOptions { verb: None, output: Some(pages.clone()) }).unwrap();
        let page = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap();
        let main = page("sni-probe.1");
        assert!(verbs().len() >= 8);
        for verb in verbs() {
            assert!(main.contains(&format!("sni\\-probe\\-{verb}(1)")), "{verb}: {main}");
            let page = page(&format!("sni-probe-{verb}.1"));
            // A flag that all verbs have.
            assert!(page.contains("log\\-level"), "{verb}: {page}");
        }
        assert!(page("sni-probe-check.1").contains("Exit codes:"));
    }

    #[test]
    fn a_verb_that_is_none() {
        let error = man(&ManOptions { verb: Some("chekc".to_owned()), output: None }).unwrap_err();
        assert!(error.to_string().contains("one of run, replay, watch, check"), "{error}");
    }

    #[test]
    fn every_shell_completes_every_verb() {
        for shell in Shell::value_variants() {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "sni-probe", &mut text);
            let text = String::from_utf8(text).unwrap();
            for verb in verbs() {
                assert!(text.contains(&verb), "{shell}: {verb}");
            }
        }
    }
}
