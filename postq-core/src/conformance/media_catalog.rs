//! The rules of [`MediaCatalog`] and [`UploadStore`].

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::content::{Content, MediaRef, Part, Post};
use crate::error::ErrorKind;
use crate::id::{JobId, TenantId};
use crate::media::{
    MediaCatalog, MediaFacts, MediaFile, MediaId, MediaKind, Removal, Stored, Upload, UploadKey,
    UploadStore,
};
use crate::platform::PreparedMedia;
use crate::store::{Edited, Order, Page, PostStore};

/// Writes one test per rule of [`MediaCatalog`] and [`UploadStore`]; see
/// [`conformance`](crate::conformance).
#[macro_export]
macro_rules! media_catalog_conformance {
    ($fresh:expr) => {
        mod media_catalog_rules {
            $crate::conformance_rules! { $fresh, media_catalog {
                a_file_is_added_once,
                a_file_that_a_post_names_stays,
                content_goes_with_the_last_who_needs_it,
                what_nobody_names_is_found,
                files_are_listed_by_tenant,
                claimed_content_gets_no_file,
                a_post_names_no_file_that_is_gone,
                of_a_removal_and_a_post_one_is_refused,
                an_upload_replaces_its_like,
                uploads_are_found_by_their_job,
                old_uploads_are_cleaned,
            } }
        }
    };
}

/// Under test, all over one store.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The catalog.
    pub catalog: Arc<dyn MediaCatalog>,
    /// The uploads.
    pub uploads: Arc<dyn UploadStore>,
    /// The posts that name files.
    pub posts: Arc<dyn PostStore>,
}

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
}

fn id(n: u8) -> MediaId {
    MediaId::of_hash([n; 32])
}

fn file(n: u8) -> MediaFile {
    let facts = MediaFacts::picture(MediaKind::Png, 640, 480);
    let entry = Uuid::from_u64_pair(u64::from(n), 1);
    MediaFile { entry, ..MediaFile::new(Stored { id: id(n), bytes: 9 }, facts, at(n.into())) }
}

fn post_with(source: String) -> Post {
    let mut content = Content::text("look at \"media:\" this");
    content.parts[0].media.push(MediaRef { source, alt: None });
    Post::new(content, at(1))
}

fn upload(root: JobId, part: u16, index: u16, minutes: i64) -> Upload {
    Upload {
        key: UploadKey { root, part, index },
        source: "cat.png".to_owned(),
        alt: Some("a cat \u{1f431}".to_owned()),
        media: id(1),
        original: id(2),
        state: Some(json!({ "segment": 3 })),
        ready: None,
        updated_at: at(minutes),
    }
}

async fn found(parts: &Parts, n: u8) -> Vec<MediaFile> {
    parts.catalog.find(TenantId::DEFAULT, &[id(n)]).await.expect("find")
}

/// A file is added once for each tenant; a name and a description may follow.
pub async fn a_file_is_added_once(parts: Parts) {
    let video = MediaFacts {
        duration: Some(std::time::Duration::from_millis(1_500)),
        video: Some("avc1".to_owned()),
        located: true,
        ..MediaFacts::picture(MediaKind::Mp4, 1_920, 1_080)
    };
    let first = MediaFile { facts: video, ..file(1) };
    let theirs = MediaFile { tenant_id: TenantId::new(), ..file(1) };
    let again = MediaFile { name: Some("a".into()), alt: Some("b".into()), bytes: 7, ..file(1) };

    assert_eq!(parts.catalog.insert(&first).await.expect("insert"), first);
    assert_eq!(found(&parts, 1).await, std::slice::from_ref(&first));
    parts.catalog.insert(&theirs).await.expect("another tenant's");
    let kept = parts.catalog.insert(&again).await.expect("again");

    let named = MediaFile { name: again.name.clone(), alt: again.alt.clone(), ..first };
    assert_eq!(kept, named);
    let renamed = MediaFile { name: Some("z".into()), alt: None, ..again };
    parts.catalog.insert(&renamed).await.expect("once more");
    assert_eq!(found(&parts, 1).await, [named]);
    assert_eq!(found(&parts, 2).await, []);
}

/// A file that a post names stays until none does.
pub async fn a_file_that_a_post_names_stays(parts: Parts) {
    let tenant = TenantId::DEFAULT;
    for n in [1, 2] {
        parts.catalog.insert(&file(n)).await.expect("insert");
    }
    let mut first = post_with(id(1).as_source());
    let named = MediaRef { source: id(2).as_source(), alt: None };
    let variant = Part { text: "for x".to_owned(), media: vec![named] };
    first.content.variants.insert("x".parse().expect("a name"), vec![variant]);
    let second = post_with(id(1).as_source());
    parts.posts.insert(&[first.clone(), second.clone()]).await.expect("insert the posts");

    let remove = async |n| parts.catalog.remove(tenant, id(n)).await.expect("remove");
    assert_eq!((remove(1).await, remove(2).await), (Removal::InUse, Removal::InUse));
    let plain = Content::text("no more");
    let edited = parts.posts.edit(first.id, 1, &plain).await.expect("edit");
    assert_eq!(edited, Edited::Applied { revision: 2 });
    assert_eq!((remove(1).await, remove(2).await), (Removal::InUse, Removal::Last));
    let _ = parts.posts.remove(second.id).await.expect("remove the post");
    assert_eq!((remove(1).await, remove(1).await), (Removal::Last, Removal::Gone));
}

/// Content goes with the last who needs it.
pub async fn content_goes_with_the_last_who_needs_it(parts: Parts) {
    let (ours, theirs) = (TenantId::DEFAULT, TenantId::new());
    parts.catalog.insert(&file(1)).await.expect("insert");
    parts.catalog.insert(&MediaFile { tenant_id: theirs, ..file(1) }).await.expect("insert");
    parts.catalog.insert(&file(2)).await.expect("insert");
    let root = JobId::new();
    parts.uploads.save(&upload(root, 0, 0, 5)).await.expect("save");

    let remove = async |tenant, n| parts.catalog.remove(tenant, id(n)).await.expect("remove");
    let claimed = async |n| parts.catalog.claim(id(n)).await.expect("claim");
    assert_eq!((claimed(1).await, claimed(2).await, claimed(3).await), (false, false, true));
    assert_eq!(remove(ours, 1).await, Removal::Shared, "another tenant has it");
    assert_eq!(remove(theirs, 1).await, Removal::Shared, "an upload is of it");
    assert_eq!(remove(ours, 2).await, Removal::Shared, "an upload was made of it");
    let mut freed = parts.uploads.clean(at(6), 10).await.expect("clean");
    freed.sort_unstable();
    assert_eq!(freed, [id(1), id(2)]);
    assert_eq!((claimed(1).await, claimed(2).await), (true, true));
}

/// What nobody names is found, the oldest first.
pub async fn what_nobody_names_is_found(parts: Parts) {
    for n in [3, 1, 2, 4] {
        parts.catalog.insert(&file(n)).await.expect("insert");
    }
    parts.posts.insert(&[post_with(id(2).as_source())]).await.expect("insert the post");

    let unused = async |before, limit| {
        let files = parts.catalog.unused(at(before), limit).await.expect("unused");
        files.into_iter().map(|file| file.id).collect::<Vec<_>>()
    };
    assert_eq!(unused(4, 10).await, [id(1), id(3)]);
    assert_eq!(unused(9, 1).await, [id(1)]);
}

/// The list shows the files of one tenant, either way.
pub async fn files_are_listed_by_tenant(parts: Parts) {
    let foreign = MediaFile { tenant_id: TenantId::new(), ..file(9) };
    for file in [file(2), foreign, file(1), file(3)] {
        parts.catalog.insert(&file).await.expect("insert");
    }

    let list = async |page| {
        let files = parts.catalog.list(TenantId::DEFAULT, page).await.expect("list");
        files.into_iter().map(|file| file.id).collect::<Vec<_>>()
    };
    assert_eq!(list(Page::first(10)).await, [id(1), id(2), id(3)]);
    let after = Page { after: Some(file(1).entry), ..Page::first(1) };
    assert_eq!(list(after).await, [id(2)]);
    let back = Page { after: Some(file(3).entry), ..Page::first(9) }.ordered(Order::Newest);
    assert_eq!(list(back).await, [id(2), id(1)]);
}

/// Content that is claimed gets no file and no upload until it is released, and has one who claims it.
pub async fn claimed_content_gets_no_file(parts: Parts) {
    assert!(parts.catalog.claim(id(1)).await.expect("claim"));

    assert!(!parts.catalog.claim(id(1)).await.expect("claim"), "somebody else is at it");
    let refused = parts.catalog.insert(&file(1)).await.expect_err("it is being taken away");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let refused = parts.uploads.save(&upload(JobId::new(), 0, 0, 1)).await.expect_err("the same");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(found(&parts, 1).await, []);
    parts.catalog.insert(&file(3)).await.expect("another one is not held up");

    parts.catalog.release(id(1)).await.expect("release");
    parts.catalog.insert(&file(1)).await.expect("insert");
    parts.uploads.save(&upload(JobId::new(), 0, 0, 1)).await.expect("save");
    assert!(!parts.catalog.claim(id(1)).await.expect("claim"), "it is needed");
}

/// A post is not stored, nor changed, with a file that is not there; nor with another tenant's.
pub async fn a_post_names_no_file_that_is_gone(parts: Parts) {
    parts.catalog.insert(&file(1)).await.expect("insert");
    parts
        .catalog
        .insert(&MediaFile { tenant_id: TenantId::new(), ..file(2) })
        .await
        .expect("theirs");
    let (good, bad) = (post_with(id(1).as_source()), post_with(id(2).as_source()));

    let refused = parts.posts.insert(&[good.clone(), bad.clone()]).await.expect_err("not ours");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let told = crate::error::chain(&refused);
    assert!(told.contains(&id(2).to_string()), "{told}");
    assert_eq!(parts.posts.load(&[good.id, bad.id]).await.expect("load"), [], "all or none");

    parts.posts.insert(std::slice::from_ref(&good)).await.expect("insert");
    let refused = parts.posts.edit(good.id, 1, &bad.content).await.expect_err("not ours");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let kept = parts.posts.load(&[good.id]).await.expect("load");
    assert_eq!((kept[0].revision, &kept[0].content), (1, &good.content), "nothing was changed");
}

/// Of a removal and a post that come at one moment, one is refused: no post is without its file.
pub async fn of_a_removal_and_a_post_one_is_refused(parts: Parts) {
    for n in 1..=40 {
        parts.catalog.insert(&file(n)).await.expect("insert");
        let (post, posts) = (post_with(id(n).as_source()), Arc::clone(&parts.posts));
        let named = post.id;
        let storing = tokio::spawn(async move { posts.insert(&[post]).await });
        let catalog = Arc::clone(&parts.catalog);
        let removing = tokio::spawn(async move { catalog.remove(TenantId::DEFAULT, id(n)).await });

        let stored = storing.await.expect("no panic");
        let removed = removing.await.expect("no panic").expect("remove");

        let there = !parts.posts.load(&[named]).await.expect("load").is_empty();
        assert_eq!(there, stored.is_ok());
        let expected = if there { Removal::InUse } else { Removal::Last };
        assert_eq!(removed, expected, "stored: {stored:?}");
    }
}

/// One upload for each key: another one replaces it.
pub async fn an_upload_replaces_its_like(parts: Parts) {
    let root = JobId::new();
    let begun = upload(root, 0, 0, 1);
    let prepared = PreparedMedia { remote_id: "42".to_owned(), expires_at: Some(at(90)) };
    let done = Upload { state: None, ready: Some(prepared), updated_at: at(2), ..begun.clone() };

    for upload in [&begun, &done, &done] {
        parts.uploads.save(upload).await.expect("save");
    }

    assert_eq!(parts.uploads.of_root(root).await.expect("of root"), [done]);
}

/// The uploads of a job, by part and index.
pub async fn uploads_are_found_by_their_job(parts: Parts) {
    let (root, other) = (JobId::new(), JobId::new());
    for (root, part, index) in [(root, 1, 0), (root, 0, 1), (other, 0, 0), (root, 0, 0)] {
        parts.uploads.save(&upload(root, part, index, 1)).await.expect("save");
    }

    let of_root = parts.uploads.of_root(root).await.expect("of root");
    let places: Vec<_> = of_root.iter().map(|up| (up.key.part, up.key.index)).collect();
    assert_eq!(places, [(0, 0), (0, 1), (1, 0)]);
    assert_eq!(parts.uploads.of_root(JobId::new()).await.expect("of root"), []);
}

/// What did not go on since a time is taken away, and no other.
pub async fn old_uploads_are_cleaned(parts: Parts) {
    let root = JobId::new();
    for index in 0..4 {
        parts.uploads.save(&upload(root, 0, index, i64::from(index))).await.expect("save");
    }

    assert_eq!(parts.uploads.clean(at(3), 2).await.expect("clean"), [], "others are of the same");
    parts.uploads.clean(at(3), 10).await.map(drop).expect("clean");

    let left = parts.uploads.of_root(root).await.expect("of root");
    assert_eq!(left.iter().map(|up| up.key.index).collect::<Vec<_>>(), [3]);
}
