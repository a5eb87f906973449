//! `postqd media`: pictures and videos that posts name.

use std::path::PathBuf;

use anyhow::{Context, bail};
use postq_core::id::TenantId;
use postq_core::media::MediaFile;
use postq_engine::media::{Addition, MediaDesk};
use serde_json::json;

use super::more;
use crate::api::Api;
use crate::api::shown::Media as Shown;
use crate::cli::Media;
use crate::media::media;
use crate::output::{Output, Usage, cut};

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
            api.delete(&format!("/api/media/{id}")).await?;
            output.tell(
                format!("media:{id}: taken away"),
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
    let Some(node) = api.node() else {
        let why =
            "media add works on this machine's store; to a daemon, POST the file to /api/media";
        return Err(Usage(why.to_owned()).into());
    };
    if alt.is_some() && files.len() > 1 {
        return Err(Usage("--alt describes one file; add the others by themselves".into()).into());
    }
    let desk = MediaDesk::new(media(&node.config, &node.store).await?, TenantId::DEFAULT);
    let mut failed = 0;
    for path in files {
        let shown = path.display().to_string();
        let added = async {
            let content = tokio::fs::File::open(&path).await.context("it cannot be read")?;
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let addition = Addition { name, alt: alt.clone() };
            Ok::<MediaFile, anyhow::Error>(
                desk.add(Box::new(content), addition, node.now().await?).await?,
            )
        };
        match added.await {
            Ok(file) => {
                let value =
                    json!({ "file": shown, "media": file.id, "source": file.id.as_source() });
                output.tell(format!("{shown}: {}", file.id.as_source()), &value);
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
