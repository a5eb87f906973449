//! `postqd media`: pictures and videos that posts name; and those that posts and calendars name by a path, which
//! are added before anything names them.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use postq_core::content::MediaRef;
use postq_core::media::MediaId;
use postq_engine::import::{CalendarFile, LocalMedia};
use postq_engine::media::{Addition, MediaDesk};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::more;
use crate::api::Api;
use crate::api::shown::Media as Shown;
use crate::cli::Media;
use crate::output::{Output, Usage, cut};

/// Read at once.
const CHUNK: usize = 256 * 1_024;

pub(super) async fn run(api: &Api, output: Output, command: Media) -> anyhow::Result<()> {
    match command {
        Media::Add { files, alt } => add(api, output, files, alt).await,
        Media::List { paging } => {
            let all = api.list::<Shown>("/api/media", &[], &paging).await?;
            let columns = ["media", "kind", "size", "bytes", "name", "shows"];
            output.list(columns, &all, |file| row(file));
            more(output, &paging, all.len(), all.last().map(|file| file.entry));
            Ok(())
        }
        Media::Remove { id } => {
            let id = MediaId::in_source(&id).or_else(|| id.parse().ok()).ok_or_else(|| {
                Usage(format!(
                    "\"{id}\" is no file; expected media:... as postqd media list shows it"
                ))
            })?;
            api.delete(&format!("/api/media/{id}")).await?;
            output.tell(
                format!("{}: taken away", id.as_source()),
                &json!({ "media": id, "done": "removed" }),
            );
            Ok(())
        }
    }
}

/// Read as they come, straight into where media are kept.
async fn add(
    api: &Api,
    output: Output,
    files: Vec<PathBuf>,
    alt: Option<String>,
) -> anyhow::Result<()> {
    if alt.is_some() && files.len() > 1 {
        return Err(Usage("--alt describes one file; add the others by themselves".into()).into());
    }
    let mut failed = 0;
    for path in files {
        let shown = path.display().to_string();
        match api.upload(&path, alt.as_deref()).await {
            Ok(file) => {
                let value = json!({ "file": shown, "media": file.id, "source": file.source });
                output.tell(format!("{shown}: {}", file.source), &value);
            }
            Err(error) => {
                failed += 1;
                output.warn(format!("{shown}: {error:#}"));
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of the files could not be added");
    }
    Ok(())
}

/// The media of a new post: what is a path is added, and named by what that gave.
pub(super) async fn of_post(
    api: &Api,
    sources: &[String],
    alts: &[String],
) -> anyhow::Result<Vec<Value>> {
    if alts.len() > sources.len() {
        let what = format!(
            "--alt: {} texts for {} media; expected at most one each",
            alts.len(),
            sources.len()
        );
        return Err(Usage(what).into());
    }
    let mut alts =
        alts.iter().map(|alt| alt.trim()).map(|alt| (!alt.is_empty()).then(|| alt.to_owned()));
    let mut named = Vec::with_capacity(sources.len());
    for source in sources {
        let alt = alts.next().flatten();
        let source = match is_path(source) {
            true => {
                let file = api.upload(Path::new(source), None).await;
                file.with_context(|| format!("--media {source}"))?.it.source
            }
            false => source.clone(),
        };
        named.push(json!({ "source": source, "alt": alt }));
    }
    Ok(named)
}

/// What adds the files that calendars name.
pub(super) enum Keeper<'a> {
    /// A daemon, or this machine's store.
    Api(&'a Api),
    /// This machine's store.
    Desk(&'a MediaDesk, DateTime<Utc>),
    /// Nothing is added: what the files would be called is all that is asked.
    Nobody,
}

impl Keeper<'_> {
    async fn add(&self, path: &Path) -> anyhow::Result<MediaId> {
        match self {
            Self::Api(api) => Ok(api.upload(path, None).await?.id),
            Self::Desk(desk, now) => {
                let content = tokio::fs::File::open(path).await.context("it cannot be read")?;
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                let addition = Addition { name, alt: None };
                Ok(desk.add(Box::new(content), addition, *now).await?.id)
            }
            Self::Nobody => hash(path).await.context("it cannot be read"),
        }
    }

    /// What became of the pictures and videos that a calendar names by a path.
    pub(super) async fn bring(&self, calendar: &mut CalendarFile) {
        let folder = Path::new(&calendar.name).parent().unwrap_or(Path::new("")).to_owned();
        for path in calendar.paths() {
            let kept = match self.add(&folder.join(&path)).await {
                Ok(id) => LocalMedia::Is(id),
                Err(error) => LocalMedia::Wrong(format!("{error:#}")),
            };
            calendar.media.insert(path, kept);
        }
    }
}

/// What the file would be called.
async fn hash(path: &Path) -> std::io::Result<MediaId> {
    let path = path.to_owned();
    let hashing = tokio::task::spawn_blocking(move || {
        use std::io::Read;
        let mut file = std::fs::File::open(path)?;
        let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(MediaId::of_hash(hash.finalize().into())),
                read => hash.update(&chunk[..read]),
            }
        }
    });
    hashing.await.map_err(std::io::Error::other)?
}

fn is_path(source: &str) -> bool {
    MediaRef { source: source.to_owned(), alt: None }.is_path()
}

fn row(file: &Shown) -> [String; 6] {
    [
        file.source.clone(),
        file.kind.clone(),
        format!("{}x{}", file.width, file.height),
        file.bytes.to_string(),
        cut(file.name.as_deref().unwrap_or_default(), 40),
        cut(file.alt.as_deref().unwrap_or_default(), 40),
    ]
}
