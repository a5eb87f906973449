//! The API as the commands use it: of a daemon (`--server`), or put together here, over this machine's
//! store. Either way a command asks the same and is answered the same.

mod answer;
mod form;
mod here;
mod server;
pub(crate) mod shown;
mod wait;

use std::path::Path;

use anyhow::Context;
use postq_core::id::AccountId;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use self::answer::Refused;
use self::answer::{Answer, read};
use self::form::Form;
use self::here::Here;
use self::server::Server;
use self::shown::{Account, Shown};
pub(crate) use self::wait::until_out;
use crate::cli::Paging;
use crate::compose::Node;
use crate::config::Config;
use crate::output::{Output, Usage};

/// The most that one page of a list shows to a command.
const MOST_LISTED: usize = 1_000;

/// Things in one answer: a post may have 64 KiB of text for each platform.
const PAGE: usize = 200;

/// Pages that are followed where all of something is asked for.
const MOST_PAGES: usize = 100;

/// Where pictures and videos are added.
const MEDIA: &str = "/api/media";

/// Where a command's questions go.
#[derive(Debug)]
pub(crate) struct Api {
    door: Door,
}

#[derive(Debug)]
enum Door {
    Here(Box<Here>),
    Server(Box<Server>),
}

/// What is asked.
#[derive(Clone, Debug)]
struct Ask {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    /// The revision that was seen.
    seen: Option<u32>,
}

impl Ask {
    fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), body: None, seen: None }
    }
}

impl Api {
    /// The daemon that the configuration names, or else this machine's store.
    pub(crate) async fn open(config: &Config, output: Output) -> anyhow::Result<Self> {
        let door = match Server::of(config)? {
            Some(server) => {
                server.warn(output);
                Door::Server(Box::new(server))
            }
            None => Door::Here(Box::new(Here::over(Node::open(config.clone()).await?, None)?)),
        };
        Ok(Self { door })
    }

    /// The same for a command that seals credentials.
    pub(crate) async fn open_with_vault(config: &Config, output: Output) -> anyhow::Result<Self> {
        if config.server.is_some() {
            return Self::open(config, output).await;
        }
        let node = Node::open(config.clone()).await?;
        let vault = node.vault().await?;
        Ok(Self { door: Door::Here(Box::new(Here::over(node, Some(vault))?)) })
    }

    /// The same for a command that asks platforms where there is something to ask them with, and goes on where that
    /// cannot be opened.
    pub(crate) async fn open_to_ask(config: &Config, output: Output) -> anyhow::Result<Self> {
        if config.server.is_some() {
            return Self::open(config, output).await;
        }
        let node = Node::open(config.clone()).await?;
        let vault = match node.secrets().await?.has_credentials() {
            true => node.vault().await.map(Some).unwrap_or_else(|error| {
                output.note(format!("note: no platform is asked: {error:#}"));
                None
            }),
            false => None,
        };
        Ok(Self { door: Door::Here(Box::new(Here::over(node, vault)?)) })
    }

    /// The same for what needs no store.
    pub(crate) fn without_store(config: &Config, output: Output) -> anyhow::Result<Self> {
        let door = match Server::of(config)? {
            Some(server) => {
                server.warn(output);
                Door::Server(Box::new(server))
            }
            None => Door::Here(Box::new(Here::over_nothing(config)?)),
        };
        Ok(Self { door })
    }

    /// What this machine has, where no daemon is asked.
    pub(crate) fn node(&self) -> Option<&Node> {
        match &self.door {
            Door::Here(here) => here.node(),
            Door::Server(_) => None,
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Shown<T>> {
        read(self.ask(Ask::new(Method::GET, path)).await?)
    }

    /// The same with a query.
    pub(crate) async fn get_with<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&'static str, String)],
    ) -> anyhow::Result<Shown<T>> {
        read(self.ask(Ask { query: query.to_vec(), ..Ask::new(Method::GET, path) }).await?)
    }

    /// Puts something in the place of what is there.
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Value,
    ) -> anyhow::Result<Shown<T>> {
        read(self.ask(Ask { body: Some(body), ..Ask::new(Method::PUT, path) }).await?)
    }

    /// A question with a body; what it makes is made once, even if it has to be asked twice.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Value,
    ) -> anyhow::Result<Shown<T>> {
        let ask = Ask { body: Some(body), ..Ask::new(Method::POST, path) };
        read(self.ask(ask).await?)
    }

    /// A change; of what has changed since that revision was seen, it is refused.
    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        seen: Option<u32>,
        body: Value,
    ) -> anyhow::Result<Shown<T>> {
        let ask = Ask { body: Some(body), seen, ..Ask::new(Method::PATCH, path) };
        read(self.ask(ask).await?)
    }

    /// Adds a picture or video, read as it is sent.
    pub(crate) async fn upload(
        &self,
        path: &Path,
        alt: Option<&str>,
    ) -> anyhow::Result<Shown<shown::Media>> {
        let form = Form::of(path, alt).await.context("it cannot be read")?;
        read(match &self.door {
            Door::Here(here) => here.send(form).await?.good()?,
            Door::Server(server) => server.send(form).await?,
        })
    }

    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.ask(Ask::new(Method::DELETE, path)).await?;
        Ok(())
    }

    /// Part of a list, over as many pages as that takes.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&'static str, String)],
        paging: &Paging,
    ) -> anyhow::Result<Vec<Shown<T>>> {
        let after = paging.after.as_deref().map(str::parse::<uuid::Uuid>).transpose();
        let after = after.map_err(|_| Usage("--after: expected an id".to_owned()))?;
        if !(1..=MOST_LISTED).contains(&paging.limit) {
            return Err(Usage(format!("--limit: expected 1 to {MOST_LISTED}")).into());
        }
        let mut query = query.to_vec();
        query.extend(paging.newest.then(|| ("order", "newest".to_owned())));
        self.pages(path, &query, after.map(|after| after.to_string()), paging.limit).await
    }

    /// All of a list.
    pub(crate) async fn all<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&'static str, String)],
    ) -> anyhow::Result<Vec<Shown<T>>> {
        self.pages(path, query, None, MOST_PAGES * PAGE).await
    }

    async fn pages<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&'static str, String)],
        after: Option<String>,
        limit: usize,
    ) -> anyhow::Result<Vec<Shown<T>>> {
        let (mut found, mut cursor) = (Vec::new(), after);
        while found.len() < limit {
            let mut ask = Ask { query: query.to_vec(), ..Ask::new(Method::GET, path) };
            ask.query.push(("limit", PAGE.min(limit - found.len()).to_string()));
            ask.query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let page: Shown<shown::Page<T>> = read(self.ask(ask).await?)?;
            let shown::Page { items, next } = page.it;
            // A page that leads nowhere on would be asked for again and again.
            let is_last = items.is_empty();
            found.extend(items);
            cursor = next;
            if cursor.is_none() || is_last {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn ask(&self, ask: Ask) -> anyhow::Result<Answer> {
        match &self.door {
            Door::Here(here) => here.ask(ask).await?.good(),
            Door::Server(server) => server.ask(ask).await,
        }
    }

    /// All accounts, and what holds them back.
    pub(crate) async fn accounts(&self) -> anyhow::Result<Vec<Shown<Account>>> {
        self.all("/api/accounts", &[]).await
    }

    /// What people call the accounts.
    pub(crate) async fn names(&self) -> anyhow::Result<Names> {
        let accounts = self.accounts().await?;
        Ok(accounts.into_iter().map(|account| (account.id, account.it.name)).collect())
    }
}

/// What people call the accounts.
pub(crate) type Names = std::collections::BTreeMap<AccountId, String>;
