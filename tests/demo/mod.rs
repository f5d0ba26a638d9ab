//! The demo in real browsers, on the site that `make demo` starts.

mod browser;
mod site;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::process;
use browser::{Browser, Driver};
use site::Site;

/// In seconds; longer than the lifetime of the demo's sessions.
const FAR: f64 = 90_000.0;

impl Browser {
    async fn sign_in(&self, site: &Site, name: &str) {
        self.open(&site.url).await;
        assert_eq!(self.text("h1").await, "Who are you?");
        self.type_into("#name", name).await;
        self.press("form button").await;
        self.assert_signed_in(name).await;
    }

    async fn assert_signed_in(&self, name: &str) {
        assert_eq!(self.text("h1").await, format!("Hello, {name}"));
    }

    /// Checks the list of the visitor's sessions: their number, that each expires in the future, and that one is
    /// this browser's.
    async fn assert_sessions(&self, number: usize) {
        let rows = self.texts("tr.session").await;
        assert_eq!(rows.len(), number, "{rows:?}");
        let here = rows.iter().filter(|row| row.ends_with("this browser"));
        assert_eq!(here.count(), 1, "{rows:?}");
        for ends in self.texts("tr.session td:nth-child(2)").await {
            let left = self.seconds_until(&ends).await;
            assert!((1.0..FAR).contains(&left), "{ends} is in {left} s");
        }
    }
}

/// Whether an argument of a process is, or has in it, one of the random passwords of the demo.
fn has_password(arguments: &str) -> bool {
    let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    arguments.split(|c| !is_digit(c)).any(|word| word.len() == 48)
}

/// Other users of the machine can see them.
#[test]
fn no_password_is_on_a_command_line() {
    let running = AtomicBool::new(true);
    let seen = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while running.load(Ordering::Relaxed) {
                let processes = fs::read_dir("/proc").expect("procfs").flatten();
                let lines = processes.map(|process| fs::read(process.path().join("cmdline")));
                let lines = lines.map(|line| line.unwrap_or_default());
                seen.extend(lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")));
            }
            seen
        });
        let site = Site::start();
        running.store(false, Ordering::Relaxed);
        site.stop();
        watcher.join().expect("no panic")
    });
    assert!(seen.iter().any(|line| line.starts_with("psql ") && line.contains("--file")));
    let wrong: Vec<_> = seen.iter().filter(|line| has_password(line)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// As `make demo CHECK=1` does.
#[test]
fn the_walk_through_the_demo_passes() {
    let folder = process::folder();
    let mut command = Command::new("scripts/demo.sh");
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("CHECK", "1");
    let output = command.env("TMPDIR", folder.path()).output().expect("the demo's script");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// A page of another site may have its name lead here.
#[test]
fn only_the_demos_own_name_is_answered() {
    let site = Site::start();
    let status = |host: &str| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]);
        process::output(curl.args(["--header", &format!("Host: {host}"), &site.url]))
    };
    let own = site.url.trim_start_matches("http://").trim_end_matches('/');
    assert_eq!(status(own), "200");
    assert_eq!(status("evil.example"), "421");
    site.stop();
}

/// The configuration is the one of lua-resty-session, whether the demo has found that or not.
#[test]
fn the_demo_prints_a_configuration_for_lua_resty_session() {
    let mut site = Site::start();
    let said = site.said();
    let page = process::output(Command::new("curl").args(["--silent", &site.url]));
    for line in [
        r#"lua_package_path  "/opt/sessions/share/lua/5.1/?.lua;;";"#,
        r#"require("resty.session").init({"#,
        r#"storage = "postgres","#,
        r#"username = "web","#,
        "port = 5432,",
    ] {
        assert!(said.contains(line), "no {line:?} in: {said}");
    }
    assert!(!said.contains("require(\"demo") && !said.contains("plain_sessions"), "{said}");
    let is_missing = !page.contains("lua-resty-session ");
    assert_eq!(said.contains("luarocks --lua-version 5.1 install lua-resty-session"), is_missing);
    site.stop();
}

#[test]
fn signing_out_my_other_sessions_reaches_the_other_browsers() {
    let (site, driver) = (Site::start(), Driver::start());
    driver.run(async {
        let here = driver.browser("here").await;
        let others = [driver.browser("second").await, driver.browser("third").await];
        here.sign_in(&site, "Ada").await;
        for other in &others {
            other.sign_in(&site, "Ada").await;
        }
        here.reload().await;
        here.assert_sessions(3).await;

        here.press("#others").await;
        here.assert_signed_in("Ada").await;
        here.assert_sessions(1).await;
        for other in &others {
            other.reload().await;
            assert_eq!(other.text("h1").await, "Who are you?");
        }
        // The cookie of the session that has ended is still there.
        others[0].sign_in(&site, "Ada").await;
        here.reload().await;
        here.assert_signed_in("Ada").await;
        here.assert_sessions(2).await;

        here.follow("Metrics of this worker").await;
        let counted = r#"resty_session_postgres_operations_total{kind="set",outcome="ok"}"#;
        let metrics = here.text("body").await;
        assert!(metrics.contains(counted), "{metrics}");
    });
    driver.stop();
    site.stop();
}
