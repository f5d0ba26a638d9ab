//! Chromium, driven by ChromeDriver over WebDriver. Each `Browser` has a separate profile, like the
//! browsers of different people.

use std::fs::File;
use std::future::Future;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::support::process::{self, Sweeper};

const TIMEOUT: Duration = Duration::from_secs(30);

/// The limit for a whole visit.
const VISIT: Duration = Duration::from_secs(60);

/// Chromium contacts its vendor's servers; a test must use the loopback interface only. The sandbox does not
/// work for root and in most containers, and the pages are the demo's.
const ARGUMENTS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

pub struct Driver {
    url: String,
    process: Child,
    /// The browsers are in the driver's process group. Dropped before the folder.
    sweeper: Sweeper,
    folder: TempDir,
}

impl Driver {
    pub fn start() -> Driver {
        let folder = process::folder();
        let said = folder.path().join("driver.log");
        let program = process::program("/usr/bin/chromedriver", "chromium-driver");
        let mut command = Command::new(program);
        command
            .arg("--port=0")
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .stdout(File::create(&said).expect("a file"))
            .process_group(0);
        let mut process = process::spawn(command, Signal::SIGTERM).expect("chromedriver");
        let sweeper = Sweeper::of(process.id());
        let url = process::wait_for_line(&mut process, &said, |line| {
            let (_, rest) = line.split_once("started successfully on port ")?;
            Some(format!("http://127.0.0.1:{}", rest.split_once('.')?.0))
        });
        Driver { url, process, sweeper, folder }
    }

    /// Carries a visit out.
    pub fn run(&self, visit: impl Future<Output = ()>) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let visit = runtime.block_on(async { tokio::time::timeout(VISIT, visit).await });
        visit.expect("an end in time");
    }

    /// A browser with a new profile.
    pub async fn browser(&self, profile: &str) -> Browser {
        let profile = self.folder.path().join(profile);
        let profile = format!("--user-data-dir={}", profile.display());
        let arguments = [ARGUMENTS, &[&profile]].concat();
        let capabilities = json!({ "goog:chromeOptions": { "args": arguments } });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().expect("an object").clone())
            .connect(&self.url)
            .await;
        Browser(client.expect("a browser"))
    }

    /// Stops the browsers as well.
    pub fn stop(self) {}
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.sweeper.sweep();
        let _ = process::wait(&mut self.process, TIMEOUT);
    }
}

/// The actions of a visitor, and what the page shows. Elements are named by CSS selectors.
pub struct Browser(Client);

impl Browser {
    pub async fn open(&self, url: &str) {
        self.0.goto(url).await.expect("a page");
    }

    pub async fn reload(&self) {
        self.0.refresh().await.expect("a page");
    }

    pub async fn type_into(&self, field: &str, text: &str) {
        let field = self.find(Locator::Css(field)).await;
        field.send_keys(text).await.expect("typed");
    }

    /// Presses a button that opens another page, or this one again.
    pub async fn press(&self, button: &str) {
        self.leave_by(Locator::Css(button)).await;
    }

    pub async fn follow(&self, link: &str) {
        self.leave_by(Locator::LinkText(link)).await;
    }

    async fn leave_by(&self, link: Locator<'_>) {
        let page = self.find(Locator::Css("html")).await;
        self.find(link).await.click().await.expect("a link");
        // The old page's elements are valid until the answer has come.
        while page.tag_name().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for an element.
    async fn find(&self, element: Locator<'_>) -> Element {
        let found = self.0.wait().for_element(element).await;
        found.unwrap_or_else(|error| panic!("{element:?}: {error}"))
    }

    pub async fn text(&self, element: &str) -> String {
        let element = self.find(Locator::Css(element)).await;
        element.text().await.expect("its text")
    }

    pub async fn texts(&self, elements: &str) -> Vec<String> {
        let mut texts = Vec::new();
        let elements = self.0.find_all(Locator::Css(elements)).await;
        for element in elements.expect("a list") {
            texts.push(element.text().await.expect("its text"));
        }
        texts
    }

    /// From now to a time that the page shows, in UTC.
    pub async fn seconds_until(&self, time: &str) -> f64 {
        let script =
            "return (Date.parse(arguments[0].replace(' ', 'T') + 'Z') - Date.now()) / 1000";
        let left = self.0.execute(script, vec![json!(time)]).await;
        left.expect("an answer").as_f64().expect("a number")
    }
}
