//! The man pages and the shells' completions, made from the definition of the commands: in a folder as an
//! installation has them in its `share`.

use crate::Failure;
use crate::commands::{NAME, command};
use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::aot::{Bash, Fish, Generator, Zsh, generate, generate_to};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The command that writes them: for the builds of packages, so it is not in the help.
pub fn subcommand() -> Command {
    let folder = Arg::new("folder").required(true).value_parser(value_parser!(PathBuf));
    Command::new("generate")
        .about("Write the man pages and the shells' completions to a folder")
        .arg(folder)
        .hide(true)
}

pub fn run(given: &ArgMatches) -> Result<(), Failure> {
    let folder: &PathBuf = given.get_one("folder").ok_or("no folder is given")?;
    let man = folder.join("man/man1");
    fs::create_dir_all(&man)?;
    clap_mangen::generate_to(command(), man)?;
    bash(&folder.join("bash-completion/completions"))?;
    completion(Zsh, &folder.join("zsh/site-functions"))?;
    completion(Fish, &folder.join("fish/vendor_completions.d"))?;
    Ok(())
}

fn completion(shell: impl Generator, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    generate_to(shell, &mut command(), NAME, folder).map(drop)
}

/// clap_complete 4.6's functions for bash complete no options of a command if the program's name has a
/// dash (its issue 6421), so they are made for another name and then given this one.
fn bash(folder: &Path) -> io::Result<()> {
    let (mut script, without_dash) = (Vec::new(), NAME.replace('-', "_"));
    generate(Bash, &mut command(), &without_dash, &mut script);
    let script = String::from_utf8_lossy(&script);
    let script = script.replace(&format!(" {without_dash}\n"), &format!(" {NAME}\n"));
    fs::create_dir_all(folder)?;
    fs::write(folder.join(NAME.to_owned() + ".bash"), script)
}
