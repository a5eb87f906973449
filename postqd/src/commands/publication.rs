//! `postqd publication`: what is out.

use super::more;
use crate::api::shown::Publication as Out;
use crate::api::{Api, Names};
use crate::cli::Publication;
use crate::output::{Output, cut};

pub(super) async fn run(api: &Api, output: Output, command: Publication) -> anyhow::Result<()> {
    let Publication::List(paging) = command;
    let all = api.list::<Out>("/api/publications", &[], &paging).await?;
    let names = api.names().await?;
    let columns = ["id", "published at", "account", "post", "where"];
    output.list(columns, &all, |publication| row(publication, &names));
    more(output, &paging, all.len(), all.last().map(|publication| publication.id));
    Ok(())
}

fn row(publication: &Out, names: &Names) -> [String; 5] {
    let account = publication.account_id;
    [
        publication.id.to_string(),
        publication.published_at.format("%Y-%m-%d %H:%M:%S%.3fZ").to_string(),
        names.get(&account).cloned().unwrap_or_else(|| format!("{account} (gone)")),
        publication.post_id.to_string(),
        cut(publication.url.as_deref().unwrap_or(&publication.remote_id), 80),
    ]
}
