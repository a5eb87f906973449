//! `postqd account connect`: a person agrees at the platform, and comes back: to this command, to the
//! daemon, or by hand.

use std::io::{BufRead, Read};
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use postq_core::id::AccountId;
use postq_core::platform::PlatformName;
use reqwest::Url;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::api::shown::{Account as Connected, Shown};
use crate::api::{Api, Refused};
use crate::output::{Output, Usage};

/// A person has so long; the platform's code, and what is kept for it, end earlier or as early.
const PATIENCE: Duration = Duration::from_secs(600);

/// Whether the daemon has connected the account is asked so often.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// The longest request, and address, with which a person comes back.
const MOST_BACK: u64 = 16 * 1_024;

/// A browser that connects and says nothing is waited for so long.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// Where a person agrees, and to what. Not to be printed: the state is in the address.
#[derive(Deserialize)]
struct Begun {
    address: Option<String>,
    scopes: Vec<Asked>,
    redirect_uri: String,
    account_id: AccountId,
    expires_at: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
struct Asked {
    scope: String,
    why: String,
}

/// With what a person came back.
#[derive(PartialEq, Eq)]
struct Back {
    state: String,
    code: String,
}

/// Connects an account of this name, or connects it again.
pub(super) async fn run(
    api: &Api,
    output: Output,
    platform: &PlatformName,
    name: &str,
    identity: Option<&str>,
    paste: bool,
) -> anyhow::Result<Shown<Connected>> {
    let known = api.accounts().await?.into_iter().find(|account| account.name == name);
    if let Some(other) = known.as_ref().filter(|one| one.platform != platform.as_str()) {
        bail!("account \"{name}\" is there already, on {}; choose another name", other.platform);
    }
    let what = match &known {
        Some(known) => json!({ "account": known.id }),
        None => json!({ "name": name, "identity": identity }),
    };
    let begun = api.post::<Begun>(&format!("/api/accounts/connect/{platform}"), what).await?.it;
    let Some(address) = &begun.address else { bail!("the answer was lost; connect it again") };
    let redirect = Url::parse(&begun.redirect_uri).context("the address to come back to")?;
    // Before the address is told: a person may be quick.
    let listener = if paste { None } else { listener(&redirect).await };
    for Asked { scope, why } in &begun.scopes {
        output.note(format!("{platform} will ask for {scope}: {why}"));
    }
    let until = begun.expires_at.format("%H:%M UTC");
    output.note(format!("open this address before {until}, and agree:\n\n{address}\n"));
    let back = if paste {
        output
            .note("then paste the address that the browser ends at, whatever it shows:".to_owned());
        tokio::task::spawn_blocking(pasted).await.context("read the address")??
    } else {
        match listener {
            Some(listener) => listen(&listener, &redirect).await?,
            None => {
                let told = "it comes back to the daemon; elsewhere, --paste takes the address that the \
                            browser ends at";
                output.note(told.to_owned());
                return by_daemon(api, &begun, known.as_deref()).await;
            }
        }
    };
    let path = format!("/api/accounts/callback/{platform}");
    api.post(&path, json!({ "state": back.state, "code": back.code })).await
}

fn pasted() -> anyhow::Result<Back> {
    let mut line = String::new();
    std::io::stdin().lock().take(MOST_BACK).read_line(&mut line)?;
    came_back(line.trim())
}

/// What is in the address that a person came back to.
fn came_back(address: &str) -> anyhow::Result<Back> {
    let wrong = || {
        let expected = "expected the whole address, with state= and code= in it";
        Usage(format!("this is not where the platform sends people back to; {expected}"))
    };
    let url = Url::parse(address).map_err(|_| wrong())?;
    let one = |name: &str| {
        let mut pairs = url.query_pairs();
        pairs.find(|(own, _)| own == name).map(|(_, value)| value.into_owned())
    };
    if let Some(error) = one("error") {
        let error: String = error.chars().filter(char::is_ascii_graphic).take(40).collect();
        bail!("nothing was connected: the platform says {error}");
    }
    match (one("state"), one("code")) {
        (Some(state), Some(code)) => Ok(Back { state, code }),
        _ => Err(wrong().into()),
    }
}

/// Takes the place that people come back to, if it is on this machine and nobody has it: a daemon that
/// does finishes by itself.
async fn listener(redirect: &Url) -> Option<TcpListener> {
    let host = redirect.host_str()?.trim_start_matches('[').trim_end_matches(']');
    let is_here =
        host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if redirect.scheme() != "http" || !is_here {
        return None;
    }
    TcpListener::bind((host, redirect.port_or_known_default()?)).await.ok()
}

async fn listen(listener: &TcpListener, redirect: &Url) -> anyhow::Result<Back> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let accepted = tokio::time::timeout_at(deadline, listener.accept()).await;
        let (stream, _) =
            accepted.context("nobody came back in 10 minutes; connect it again")??;
        let answered = tokio::time::timeout(REQUEST_WITHIN, answer(stream, redirect)).await;
        // Something else that asks, for an icon say, is no reason to end.
        if let Ok(Ok(Some(back))) = answered {
            return back;
        }
    }
}

/// Reads one request; none if it is not the one that is waited for.
async fn answer(
    mut stream: TcpStream,
    redirect: &Url,
) -> std::io::Result<Option<anyhow::Result<Back>>> {
    let mut request = Vec::new();
    let mut piece = [0; 1_024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut piece).await?;
        if read == 0 || request.len() as u64 > MOST_BACK {
            return Ok(None);
        }
        request.extend_from_slice(&piece[..read]);
    }
    let head = String::from_utf8_lossy(&request);
    let target = head.split_whitespace().nth(1).unwrap_or_default();
    let url = redirect.join(target).ok().filter(|url| url.path() == redirect.path());
    let back = url.map(|url| came_back(url.as_str()));
    let (status, text) = match &back {
        Some(Ok(_)) => ("200 OK", "Thank you. You can close this page; postqd goes on."),
        Some(Err(_)) => ("400 Bad Request", "Nothing was connected; postqd says why."),
        None => ("404 Not Found", "There is nothing here."),
    };
    let length = text.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\
         cache-control: no-store\r\nconnection: close\r\n\r\n{text}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(back)
}

/// Waits until the daemon has connected the account.
async fn by_daemon(
    api: &Api,
    begun: &Begun,
    before: Option<&Connected>,
) -> anyhow::Result<Shown<Connected>> {
    let deadline = Instant::now() + PATIENCE;
    let path = format!("/api/accounts/{}", begun.account_id);
    while Instant::now() < deadline {
        match api.get::<Connected>(&path).await {
            Ok(account) => {
                let is_anew =
                    before.is_none_or(|before| before.token_expires_at != account.token_expires_at);
                if is_anew {
                    return Ok(account);
                }
            }
            Err(error) if Refused::is(&error, "not_found") => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    bail!("nobody came back in 10 minutes; connect it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_a_person_comes_back_to_is_read() {
        let back = came_back("http://127.0.0.1:8484/back?state=a%2Fb&code=c").unwrap();
        assert!(back == Back { state: "a/b".to_owned(), code: "c".to_owned() });

        for bad in ["", "code", "http://127.0.0.1/?state=a", "http://127.0.0.1/?code=a"] {
            let error = came_back(bad).err().unwrap().to_string();
            assert!(error.contains("expected the whole address"), "{error}");
        }
        let error = came_back("http://127.0.0.1/?error=access_denied&state=a").err().unwrap();
        assert!(error.to_string().contains("access_denied"));
    }

    #[tokio::test]
    async fn a_browser_comes_back_to_the_command() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let redirect = Url::parse(&format!("http://{free}/api/accounts/callback/x")).unwrap();
        let listener = listener(&redirect).await.unwrap();
        let waiting = tokio::spawn(async move { listen(&listener, &redirect).await });
        let ask = async |path: &str| {
            let mut stream = TcpStream::connect(free).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: {free}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };

        assert!(ask("/favicon.ico").await.starts_with("HTTP/1.1 404"));
        assert!(ask("/api/accounts/callback/x?state=s&code=c").await.starts_with("HTTP/1.1 200"));

        let back = waiting.await.unwrap().unwrap();
        assert!(back == Back { state: "s".to_owned(), code: "c".to_owned() });
    }

    #[tokio::test]
    async fn only_this_machine_is_listened_on() {
        for elsewhere in ["https://127.0.0.1:1/", "http://postq.example.com/", "http://10.0.0.1/"] {
            assert!(listener(&Url::parse(elsewhere).unwrap()).await.is_none(), "{elsewhere}");
        }
    }
}
