//! What is installed with the command line: man pages, and completions for the shells.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use resty_session_postgres::ops::KINDS;

use crate::support::process::{self, output};
use crate::support::stage;

fn share() -> PathBuf {
    stage::root().join("share")
}

/// Each command, as it is written.
fn commands() -> Vec<String> {
    let operations = KINDS.iter().map(|kind| kind.spec.name.replace('_', "-"));
    operations.chain(["top".to_owned()]).collect()
}

/// The man pages and completions that are below a `share`, by the folder of zsh's.
pub(super) fn assert_complete(share: &Path, zsh: &str) {
    let name = "resty-session-postgres";
    for command in commands() {
        // dpkg's are compressed.
        let page = share.join(format!("man/man1/{name}-{command}.1"));
        assert!(page.exists() || page.with_extension("1.gz").exists(), "{}", page.display());
    }
    for completion in [
        format!("bash-completion/completions/{name}.bash"),
        format!("{zsh}/_{name}"),
        format!("fish/vendor_completions.d/{name}.fish"),
    ] {
        let text = fs::read_to_string(share.join(&completion));
        let text = text.unwrap_or_else(|error| panic!("{completion}: {error}"));
        for command in commands() {
            assert!(text.contains(&command), "{completion} lacks {command}");
        }
        assert!(!text.contains("generate"), "{completion}");
    }
}

#[test]
fn every_command_has_a_man_page_and_completions() {
    assert_complete(&share(), "zsh/site-functions");
    let groff = process::program("/usr/bin/groff", "groff-base");
    let read = |page: &str| {
        let file = share().join("man/man1").join(page);
        let shown =
            Command::new(&groff).args(["-Kutf8", "-man", "-Tutf8", "-ww"]).arg(file).output();
        let shown = shown.expect("groff");
        assert!(shown.status.success() && shown.stderr.is_empty(), "{page}: {shown:?}");
        // Lines are filled with blanks up to both margins.
        let text = String::from_utf8(shown.stdout).expect("text");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for command in commands() {
        let text = read(&format!("resty-session-postgres-{command}.1"));
        assert!(text.contains("DATABASE"), "{text}");
        assert!(text.contains(&format!("resty-session-postgres-{command}")), "{text}");
    }
    let text = read("resty-session-postgres.1");
    assert!(text.contains("Exit codes: 0 success"), "{text}");
}

#[test]
fn bash_completes_commands_and_options() {
    let file = share().join("bash-completion/completions/resty-session-postgres.bash");
    let complete = |words: &str| {
        let script = format!(
            "source {}; COMP_WORDS=(resty-session-postgres {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             complete=$(complete -p resty-session-postgres); complete=${{complete#* -F }}
             ${{complete%% *}} resty-session-postgres \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"
             echo \"${{COMPREPLY[@]}}\"",
            file.display()
        );
        output(Command::new("bash").args(["-euc", &script]))
    };
    assert_eq!(complete("rev"), "revoke revoke-audience\n");
    assert_eq!(complete("revoke --exc"), "--except-key\n");
    assert_eq!(complete("--quiet list --li"), "--limit\n");
}
