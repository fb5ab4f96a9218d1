//! A token issuer in this process: what it answers, and how often it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use scistream_daemon::config::{IntrospectionSettings, IssuerUrl, Secret};

use crate::rig::CLIENT_ID;

/// An issuer that runs until the process ends.
pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) asked: Arc<AtomicUsize>,
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
}

/// What is answered: status, body, and after which time.
type Answer = (u16, String, Duration);

impl Issuer {
    /// Answers each request (its path, headers and body) with what `answer` says.
    pub(crate) fn start(answer: impl Fn(&str, &str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let issuer = Self {
            url,
            asked: Arc::clone(&asked),
            seen: Arc::clone(&seen),
        };
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, asked, seen) =
                    (Arc::clone(&answer), Arc::clone(&asked), Arc::clone(&seen));
                thread::spawn(move || {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let (path, text) = read_request(&stream)?;
                    seen.lock().unwrap().push(text.clone());
                    let (status, body, after) = answer(&path, &text);
                    thread::park_timeout(after);
                    write!(
                        &stream,
                        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                        body.len()
                    )
                });
            }
        });
        issuer
    }

    /// Answers as Globus Auth does, with tokens that are named for what is wrong with them.
    pub(crate) fn like_globus() -> Self {
        Self::start(|_path, request| {
            let token = request.split("token=").nth(1).unwrap_or_default();
            let token = token.split('&').next().unwrap_or_default();
            (200, claims(token), Duration::ZERO)
        })
    }

    /// The settings that make a gateway ask it.
    pub(crate) fn settings(&self) -> IntrospectionSettings {
        let mut settings = IntrospectionSettings::globus_with_secret(Secret("hush".to_owned()));
        settings.issuer = self.url.parse::<IssuerUrl>().unwrap();
        settings
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn claims(token: &str) -> String {
    let scope = format!("openid https://auth.globus.org/scopes/{CLIENT_ID}/scistream");
    let (mut exp, mut nbf, mut audience, mut scopes) =
        (now() + 60, now(), CLIENT_ID, scope.as_str());
    match token {
        "valid" => {}
        "expired" => exp = now() - 60,
        "early" => nbf = now() + 60,
        "for-others" => audience = "another",
        "unscoped" => scopes = "openid",
        _ => return r#"{"active":false}"#.to_owned(),
    }
    format!(
        r#"{{"active":true,"sub":"7","username":"carol@uni.edu","scope":"{scopes}","aud":["{audience}","x"],"exp":{exp},"nbf":{nbf},"iat":{nbf},"iss":"https://auth.globus.org","identity_set":["7","8"]}}"#
    )
}

fn read_request(stream: &TcpStream) -> std::io::Result<(String, String)> {
    let mut reader = BufReader::new(stream);
    let mut text = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        text.push_str(&line);
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    text.push_str(&String::from_utf8_lossy(&body));
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    Ok((path, text))
}
