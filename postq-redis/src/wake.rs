//! Wake-ups between processes: one connection that listens, for all who wait.
//!
//! They are hints. Whoever waits also looks once in a while, so that a lost one costs little.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::{
    AsyncConnectionConfig, Client, ProtocolVersion, PushInfo, PushKind, RedisResult, cmd,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::connect::{servers, times};
use crate::error::Fault;

/// A connection that tells nothing is asked so often whether it is alive.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// The longest pause between two tries to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Listens from the first wait on, until it is dropped.
#[derive(Debug)]
pub(crate) struct Wake {
    channel: String,
    /// The number of wake-ups so far.
    heard: watch::Sender<u64>,
    listener: Mutex<Option<JoinHandle<()>>>,
}

impl Wake {
    pub(crate) fn new(channel: String) -> Self {
        Self { channel, heard: watch::Sender::new(0), listener: Mutex::default() }
    }

    /// Where wake-ups are sent to.
    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    /// Tells of every wake-up from now on.
    pub(crate) fn listen(&self, config: &Config) -> watch::Receiver<u64> {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if listener.as_ref().is_none_or(JoinHandle::is_finished) {
            let listen = listen(config.clone(), self.channel.clone(), self.heard.clone());
            *listener = Some(tokio::spawn(listen));
        }
        self.heard.subscribe()
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        let listener = self.listener.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = listener {
            listener.abort();
        }
    }
}

/// Listens for ever, on one connection after the other.
async fn listen(config: Config, channel: String, heard: watch::Sender<u64>) {
    let mut pause = Duration::from_millis(100);
    loop {
        let started = tokio::time::Instant::now();
        if let Err(fault) = on_one_connection(&config, &channel, &heard).await {
            let error = postq_core::error::chain(&fault.during("listen for wake-ups"));
            tracing::debug!(
                error,
                "wake-ups are lost until it is back; waiting goes on by looking"
            );
        }
        // What was sent meanwhile is lost: everybody looks.
        heard.send_modify(|count| *count += 1);
        if started.elapsed() > LONGEST_PAUSE {
            pause = Duration::from_millis(100);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Listens until the connection is gone.
async fn on_one_connection(
    config: &Config,
    channel: &str,
    heard: &watch::Sender<u64>,
) -> Result<(), Fault> {
    let lost = Arc::new(tokio::sync::Notify::new());
    let mut connection = None;
    // Of a cluster any node will do: a message reaches all of them.
    for server in servers(config)? {
        let settings = server.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(server.set_redis_settings(settings))?;
        let settings = hearing(times(config), heard.clone(), Arc::clone(&lost));
        match client.get_multiplexed_async_connection_with_config(&settings).await {
            Ok(link) => connection = Some(Ok(link)),
            Err(error) => connection = Some(Err(error)),
        }
        if matches!(connection, Some(Ok(_))) {
            break;
        }
    }
    let Some(connection) = connection else { return Ok(()) };
    let mut connection = connection?;
    connection.subscribe(channel).await?;
    heard.send_modify(|count| *count += 1);
    loop {
        tokio::select! {
            () = lost.notified() => return Ok(()),
            () = tokio::time::sleep(ASK_EVERY) => {
                let alive: RedisResult<()> = cmd("PING").query_async(&mut connection).await;
                alive?;
            }
        }
    }
}

/// Counts what is heard; nothing is kept, so that nothing can pile up.
fn hearing(
    times: AsyncConnectionConfig,
    heard: watch::Sender<u64>,
    lost: Arc<tokio::sync::Notify>,
) -> AsyncConnectionConfig {
    times.set_push_sender(move |push: PushInfo| {
        match push.kind {
            PushKind::Message => heard.send_modify(|count| *count += 1),
            PushKind::Disconnection => lost.notify_one(),
            _ => {}
        }
        Ok::<(), deadpool_redis::redis::aio::SendError>(())
    })
}
