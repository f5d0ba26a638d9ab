//! The demo in real browsers, on the site that `make demo` starts.

mod browser;
mod site;

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
        here.reload().await;
        here.assert_signed_in("Ada").await;
        here.assert_sessions(1).await;

        here.follow("Metrics of this worker").await;
        let counted = r#"resty_session_postgres_operations_total{kind="set",outcome="ok"}"#;
        let metrics = here.text("body").await;
        assert!(metrics.contains(counted), "{metrics}");
    });
    driver.stop();
    site.stop();
}
