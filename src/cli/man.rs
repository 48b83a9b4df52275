//! `chaos completions SHELL` and `chaos man [DIR]`: what shells and `man` want to know of chaos.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::examples::EXAMPLES;
use super::failure::{self, Failure};
use crate::exit::Exit;

/// Which shell.
#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Where to.
#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// Write the pages of all commands there; without it the page of chaos is printed
    dir: Option<PathBuf>,
}

/// Prints the script.
pub(super) fn completions(arguments: &CompletionsArguments) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::command(), "chaos", &mut script);
    failure::output(&String::from_utf8_lossy(&script));
    Ok(Exit::Pass)
}

/// Prints the page of chaos, or writes all.
pub(super) fn man(arguments: &ManArguments) -> Result<Exit, Failure> {
    let pages = pages().map_err(|error| Failure::of(Exit::Bug, &error))?;
    let Some(dir) = &arguments.dir else {
        let first = pages.first();
        failure::output(first.map_or("", |(_, text)| text));
        return Ok(Exit::Pass);
    };
    let unwritable = |error: std::io::Error| {
        let message = format!("cannot write to {}: {error}", dir.display());
        Failure::new(Exit::Usage, message)
    };
    std::fs::create_dir_all(dir).map_err(unwritable)?;
    for (name, text) in &pages {
        std::fs::write(dir.join(name), text).map_err(unwritable)?;
    }
    failure::output(&format!(
        "wrote {} pages to {}\n",
        pages.len(),
        dir.display()
    ));
    Ok(Exit::Pass)
}

/// Every page with its file name; that of chaos first.
fn pages() -> std::io::Result<Vec<(String, String)>> {
    let mut chaos = super::bare_command();
    chaos.build();
    let mut pages = vec![page("", "chaos", chaos.clone())?];
    for command in chaos.get_subcommands() {
        let name = command.get_name();
        if name != "help" {
            pages.push(page(name, &format!("chaos-{name}"), command.clone())?);
        }
    }
    Ok(pages)
}

/// One page: what clap knows, then the examples.
fn page(name: &str, title: &str, command: Command) -> std::io::Result<(String, String)> {
    let mut bytes = Vec::new();
    let version = env!("CARGO_PKG_VERSION");
    Man::new(command.version(version))
        .title(title.to_uppercase())
        .source(format!("chaos {version}"))
        .render(&mut bytes)?;
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    let examples = EXAMPLES.iter().find(|(known, _)| *known == name);
    if let Some((_, examples)) = examples {
        text.push_str(".SH EXAMPLES\n");
        for (line, what) in *examples {
            let mut what = (*what).to_owned();
            if let Some(first) = what.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            text.push_str(&format!(
                ".PP\n{}:\n.RS 4\n{}\n.RE\n",
                roff(&what),
                roff(line)
            ));
        }
    }
    Ok((format!("{title}.1"), text))
}

/// Text that roff shows as it is.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_options_and_examples() {
        let pages = pages().unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[0], "chaos.1");
        assert!(
            names.contains(&"chaos-run.1") && names.contains(&"chaos-schema.1"),
            "{names:?}"
        );
        for (name, text) in &pages {
            for section in [
                ".TH ",
                ".SH NAME",
                ".SH SYNOPSIS",
                ".SH OPTIONS",
                ".SH EXAMPLES",
            ] {
                assert!(text.contains(section), "{name} lacks {section}");
            }
        }
        let run = pages
            .iter()
            .find(|(name, _)| name == "chaos-run.1")
            .unwrap();
        assert!(
            run.1.contains("CHAOS-RUN 1  \"chaos ")
                && run.1.contains("\\-\\-trials")
                && run.1.contains("chaos run plans"),
            "{}",
            run.1
        );
    }

    #[test]
    fn every_shell_has_a_script_that_knows_the_commands() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut crate::cli::command(), "chaos", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in ["validate", "completions", "dry-run"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
