//! A browser that knows how often it has visited, and so notices a session that is lost.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::iter::Sum;
use std::net::TcpStream;
use std::time::Duration;

use crate::site::Site;

#[derive(Clone, Copy, Default)]
pub struct Tally {
    pub logins: u32,
    pub visits: u32,
    pub failed: u32,
    pub lost: u32,
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Tally>>(tallies: I) -> Tally {
        tallies.fold(Tally::default(), |sum, tally| Tally {
            logins: sum.logins + tally.logins,
            visits: sum.visits + tally.visits,
            failed: sum.failed + tally.failed,
            lost: sum.lost + tally.lost,
        })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "{} logins, {} visits, {} requests failed, {} sessions lost",
            self.logins, self.visits, self.failed, self.lost
        )
    }
}

#[derive(Default)]
pub struct Browser {
    number: usize,
    steps: usize,
    cookies: BTreeMap<String, String>,
    visits: u32,
    pub tally: Tally,
}

impl Browser {
    pub fn new(number: usize) -> Self {
        Browser { number, ..Browser::default() }
    }

    /// One more request, to the sites in turn; now and then a logout, and so a login.
    pub fn step(&mut self, sites: &[&Site]) {
        self.steps += 1;
        let site = sites[(self.number + self.steps) % sites.len()];
        if self.steps.is_multiple_of(29) && !self.cookies.is_empty() {
            self.request(site, "/logout");
            self.cookies.clear();
        }
        self.visit(site);
        std::thread::sleep(Duration::from_millis(5));
    }

    pub fn visit(&mut self, site: &Site) {
        if self.cookies.is_empty() {
            self.tally.logins += 1;
            let path = format!("/login?who=user{}", self.number);
            self.visits = 0;
            if self.request(site, &path).as_deref() != Some("0") {
                self.tally.failed += 1;
            }
            return;
        }
        self.tally.visits += 1;
        match self.request(site, "/visit") {
            Some(visits) if visits == (self.visits + 1).to_string() => self.visits += 1,
            Some(answer) => {
                self.tally.lost += 1;
                eprintln!("expected visit {}, got {answer:?}", self.visits + 1);
            }
            None => self.tally.failed += 1,
        }
    }

    /// The body of a good answer.
    fn request(&mut self, site: &Site, path: &str) -> Option<String> {
        let answer = self.exchange(site, path).unwrap_or_else(|error| error.to_string());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        if !head.starts_with("HTTP/1.1 200") {
            eprintln!("{path}: {head}");
            return None;
        }
        for line in head.lines() {
            let cookie = line.strip_prefix("Set-Cookie: ");
            if let Some((name, rest)) = cookie.and_then(|it| it.split_once('=')) {
                let value = rest.split(';').next().unwrap_or_default();
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Some(body.to_owned())
    }

    fn exchange(&self, site: &Site, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", site.port()))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let cookies = self.cookies.iter();
        let cookies: Vec<_> = cookies.map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\nCookie: {cookies}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}
