//! Whether each platform can be used.

use std::sync::Arc;

use postq_core::media::MediaStore;
use postq_core::memory::MemoryMedia;
use postq_core::platform::Platform;

use super::Finding;
use crate::adapters::{Adapters, addresses};
use crate::config::Config;

/// Each platform: where it is, and how accounts get to it. That no app is set is nothing wrong.
pub(super) fn platforms(config: &Config) -> Vec<Finding> {
    // Nothing is read from it here: the one in force would make its folder.
    let files: Arc<dyn MediaStore> = Arc::new(MemoryMedia::default());
    let adapters = match Adapters::new(config, &files) {
        Ok(adapters) => adapters,
        Err(error) => return vec![Finding::broken("platforms", error.to_string())],
    };
    let all = adapters.all();
    let addresses = addresses(config);
    let told = addresses.iter().filter_map(|(name, address)| {
        let platform = all.iter().find(|platform| platform.name().as_str() == name)?;
        Some(match config.dry_run {
            true => Finding::warning(name, "DRY_RUN is on: nothing is sent"),
            false => Finding::ok(name, format!("{address}; {}", way_in(&**platform))),
        })
    });
    told.collect()
}

/// How an account comes to be.
fn way_in(platform: &dyn Platform) -> String {
    let name = platform.name();
    match platform.connect().map(|connect| connect.redirect_uri()) {
        Some(Ok(_)) => format!("postqd account connect {name} adds accounts"),
        Some(Err(why)) => format!("accounts are added by access token alone: {why}"),
        None => format!("postqd account add {name} adds accounts"),
    }
}
