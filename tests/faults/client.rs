//! An HTTP client that is cheap enough to load nginx, and tells how a request ended.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::Response;

/// Far beyond any deadline here: a request that takes so long hangs.
const TIMEOUT: Duration = Duration::from_secs(20);

pub struct Client {
    port: u16,
    /// Whether a connection serves more than one request.
    keep: bool,
    stream: Option<TcpStream>,
}

impl Client {
    pub fn new(port: u16, keep: bool) -> Self {
        Client {
            port,
            keep,
            stream: None,
        }
    }

    /// Sends a request and reads its response.
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        let connection = if self.keep { "keep-alive" } else { "close" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let (response, may_keep) = read_response(&mut stream)?;
        if self.keep && may_keep {
            self.stream = Some(stream);
        }
        Ok(response)
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(stream)
    }
}

/// A response, and whether its connection may serve one more: nginx ends it after many.
fn read_response(stream: &mut TcpStream) -> io::Result<(Response, bool)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(response) = parse(&bytes) {
            return response;
        }
        let mut more = [0; 4096];
        match stream.read(&mut more)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&more[..count]),
        }
    }
}

/// The response, if all of it is there.
fn parse(bytes: &[u8]) -> Option<io::Result<(Response, bool)>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let status = head.get(9..12)?.parse().ok()?;
    let field = |name: &str| {
        let mut lines = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        lines.find(|(field, _)| field.eq_ignore_ascii_case(name))
    };
    let body = if let Some((_, length)) = field("content-length") {
        rest.get(..length.parse().ok()?)?.to_owned()
    } else if field("transfer-encoding").is_some() {
        dechunk(rest)?
    } else {
        let what = format!("a response of unknown length: {head}");
        return Some(Err(io::Error::other(what)));
    };
    let may_keep = field("connection").is_none_or(|(_, value)| value != "close");
    Some(Ok((Response { status, body }, may_keep)))
}

fn dechunk(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        let chunk = after.get(..length)?;
        rest = after.get(length..)?.strip_prefix("\r\n")?;
        if length == 0 {
            return Some(body);
        }
        body += chunk;
    }
}
