//! `top`, from what a site serves.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;

use super::cli::{out, program};
use super::login;
use crate::nginx::site;
use crate::support::{self, Calls, Database, process};

fn top(address: &str, arguments: &[&str]) -> Output {
    let mut top = Command::new(program());
    // Nothing of a database is needed, and no proxy is used.
    top.args(["top", address]).args(arguments).env("http_proxy", "http://127.0.0.1:1");
    top.output().expect("an end")
}

/// The screens that a command has printed, each as the words of its lines.
fn screens(output: &Output) -> Vec<Vec<String>> {
    assert!(output.status.success(), "{output:?}");
    let text = out(output);
    let mut screens = vec![];
    for line in text.lines() {
        if line.starts_with("http://") {
            screens.push(vec![]);
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        screens.last_mut().expect("a first line").push(words.join(" "));
    }
    screens
}

fn has(screen: &[String], line: &str) {
    assert!(screen.iter().any(|shown| shown == line), "no {line:?} in {screen:#?}");
}

/// The numbers of the line that begins so.
fn numbers(screen: &[String], begin: &str) -> Vec<f64> {
    let line = screen.iter().find_map(|line| line.strip_prefix(begin));
    let line = line.unwrap_or_else(|| panic!("no {begin:?} in {screen:#?}"));
    line.split_whitespace().map(|word| word.parse().expect("a number")).collect()
}

/// Answers one request after the other, each with the next text.
fn serve(answers: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}/metrics", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for answer in answers {
            let (mut connection, _) = listener.accept().expect("a request");
            let lines = BufReader::new(connection.try_clone().expect("a socket")).lines();
            lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            connection.write_all(answer.as_bytes()).expect("an answer");
        }
    });
    address
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

/// Samples by what follows the names' common beginning.
fn text(samples: &[(&str, f64)]) -> String {
    let line = |(name, value): &(&str, f64)| format!("resty_session_postgres_{name} {value}\n");
    "# HELP x y\nother_metric 3\n".to_owned() + &samples.iter().map(line).collect::<String>()
}

const GETS: &str = "operations_total{kind=\"get\",outcome=\"ok\"}";
const LATE: &str = "operations_total{kind=\"get\",outcome=\"timeout\"}";

#[test]
fn rates_and_times_are_those_of_what_has_happened_since() {
    let queue = |bound| format!("queue_seconds_bucket{{le=\"{bound}\"}}");
    let [ms, five, beyond] = ["0.001", "0.005", "+Inf"].map(queue);
    let sample = |gets, late, in_ms, in_five, all| {
        text(&[
            (GETS, gets),
            (LATE, late),
            ("operations_total{kind=\"set\",outcome=\"ok\"}", 0.0),
            (&ms, in_ms),
            (&five, in_five),
            (&beyond, all),
            ("batch_operations_sum", gets * 3.0),
            ("batch_operations_count", gets),
            ("connections{state=\"busy\"}", 2.0),
            ("backlog", 7.0),
        ])
    };
    // A thousand were there before, all of them slow.
    let before = sample(1000.0, 5.0, 0.0, 0.0, 1000.0);
    let after = sample(1100.0, 6.0, 50.0, 100.0, 1100.0);
    let address = serve(vec![ok(&before), ok(&after)]);
    let screens = screens(&top(&address, &["--interval", "0.5", "--count", "2"]));
    let [first, second] = &screens[..] else { panic!("{screens:?}") };
    has(first, "get - -");
    has(first, "in the queue - - -");
    // A busy machine may take longer than the interval.
    let rates = numbers(second, "get");
    assert!(rates[0] > 20.0 && rates[0] <= 200.0 && rates[1] > 0.0 && rates[1] <= 2.0, "{rates:?}");
    assert_eq!(numbers(second, "failed by reason timeout"), rates[1..]);
    assert_eq!(numbers(second, "in the queue"), [1.0, 4.6, 4.9]);
    assert_eq!(numbers(second, "operations a statement"), [3.0]);
    assert_eq!(numbers(second, "waiting operations"), [7.0]);
    has(second, "connections 2 busy, 0 idle, 0 opening; opened 0.0 and failed 0.0 a second");
    // Of these there were none.
    assert!(!second.iter().any(|line| line.starts_with("set")), "{second:?}");
}

#[test]
fn a_counter_that_began_anew_and_a_site_that_is_away_are_survived() {
    let gone = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let answers = vec![ok(&text(&[(GETS, 1e6)])), gone.to_owned(), ok(&text(&[(GETS, 10.0)]))];
    let screens = screens(&top(&serve(answers), &["--interval", "0.2", "--count", "3"]));
    assert_eq!(screens.len(), 3);
    assert!(screens[1][1].starts_with("no figures now: "), "{:?}", screens[1]);
    let rate = numbers(&screens[2], "get")[0];
    assert!(rate > 0.0 && rate <= 25.0, "{rate}");
}

#[test]
fn nothing_but_the_address_is_asked() {
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    other.set_nonblocking(true).expect("an option");
    let elsewhere = other.local_addr().expect("an address");
    let answer =
        format!("HTTP/1.1 302 Found\r\nLocation: http://{elsewhere}/\r\nContent-Length: 0\r\n\r\n");
    let nothing = process::free_port();
    for (address, said) in [
        (serve(vec![answer]), "no figures of resty.session.postgres"),
        (serve(vec![ok("<html>\u{1b}[2J")]), "no figures of resty.session.postgres"),
        (format!("http://127.0.0.1:{nothing}/metrics"), "Connection refused"),
        (format!("https://127.0.0.1:{nothing}/metrics"), "https"),
    ] {
        let failed = top(&address, &["--count", "1"]);
        let text = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert_eq!((failed.status.code(), text.contains(said)), (Some(1), true), "{text}");
    }
    assert!(other.accept().is_err(), "the redirect was followed");
    let json = top("http://127.0.0.1:1/", &["--json"]);
    assert!(String::from_utf8_lossy(&json.stderr).contains("prints no JSON"), "{json:?}");
}

/// What a site serves has names that no other site would think of.
#[test]
fn names_control_no_terminal() {
    let name = "operations_total{kind=\"\u{1b}[2J\",outcome=\"ok\"}";
    let output = top(&serve(vec![ok(&text(&[(name, 1.0)]))]), &["--count", "1"]);
    assert!(output.status.success() && !out(&output).contains('\u{1b}'), "{output:?}");
}

#[test]
fn a_sites_figures_are_shown() {
    let site = site::on(support::shared())
        .content("/metrics", "ngx.print(require('site').storage():metrics())")
        .start();
    site::assert_answer(&site.set("key", "value"), 200, "true");
    let address = format!("http://127.0.0.1:{}/metrics", site.nginx.port());
    let address = address.as_str();
    let screens = thread::scope(|scope| {
        let shown = scope.spawn(|| screens(&top(address, &["--interval", "1", "--count", "3"])));
        while !shown.is_finished() {
            site::assert_answer(&site.set("key", "value"), 200, "true");
        }
        shown.join().expect("no panic")
    });
    let sets = numbers(&screens[2], "set");
    assert!(sets[0] > 1.0 && sets[1] == 0.0, "{screens:?}");
    for line in ["in the queue", "of a statement"] {
        let times = numbers(&screens[2], line);
        assert!(times.len() == 3 && times[0] > 0.0 && times[0] <= times[2], "{screens:?}");
    }
}

/// Every sample that it asks for is one that there is.
#[test]
fn what_it_shows_is_counted() {
    let db = Database::new();
    db.storage().call(login("key")).expect("a save");
    db.storage().cleanup(None).expect("a clean-up");
    let metrics = db.storage().metrics().expect("a text");
    let output = top(&serve(vec![ok(&metrics)]), &["--count", "1"]);
    let screen = &screens(&output)[0];
    has(screen, "set - -");
    let connections = screen.iter().find(|line| line.starts_with("connections 0 busy, "));
    let connections = connections.expect("a line of connections");
    // A slow moment may have opened a second one.
    assert!(!connections.contains("0 idle") && connections.contains("opened -"), "{connections}");
    assert!(!screen.iter().any(|line| line.ends_with("last at never")), "{screen:?}");
}
