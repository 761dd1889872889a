//! The node's side of the control socket.

use std::{
    fs::Permissions,
    future::Future,
    io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Answer, REQUEST_BYTES_MAX, Request, socket_path};

/// Connections that are served at once; more of them wait.
const CONNECTIONS_MAX: usize = 16;
/// A connection that sends no whole request, or takes no answer, for so long is closed.
const IDLE: Duration = Duration::from_secs(30);

/// What the node does with requests.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn handle(&self, request: Request) -> impl Future<Output = Answer> + Send;
}

/// A bound control socket; the file goes with it.
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Makes the socket in a data directory whose lock the caller holds: a socket that is there already was left by a
    /// process that was killed, and is replaced.
    pub(crate) fn bind(data: &Path) -> Result<ControlSocket> {
        let path = socket_path(data).map_err(anyhow::Error::msg)?;
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(&path)?,
            Ok(_) => bail!("{} is in the way of the control socket and is not a socket; move it away", path.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
        // Bound under a name that nobody knows, so that nobody connects before only this user may.
        let hidden = path.with_extension("new");
        match std::fs::remove_file(&hidden) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let listener = UnixListener::bind(&hidden).with_context(|| format!("could not make {}", hidden.display()))?;
        std::fs::set_permissions(&hidden, Permissions::from_mode(0o600))?;
        std::fs::rename(&hidden, &path)?;
        Ok(ControlSocket { listener, path })
    }

    /// Serves until cancelled, then takes the file away.
    pub(crate) async fn serve(self, handler: Arc<impl Handler>, cancel: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let accept = async {
            loop {
                // Never closed, so it always yields a place.
                let Ok(place) = places.clone().acquire_owned().await else { return };
                match self.listener.accept().await {
                    Ok((stream, _)) => {
                        let handler = handler.clone();
                        tokio::spawn(async move {
                            if let Err(error) = converse(stream, &*handler).await {
                                tracing::debug!(%error, "control connection ended");
                            }
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the control socket cannot accept; trying again in a second");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        };
        cancel.run_until_cancelled(accept).await;
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // The next start replaces it anyway.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn converse(stream: UnixStream, handler: &impl Handler) -> Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut reader).take(REQUEST_BYTES_MAX as u64);
        if timeout(IDLE, bounded.read_until(b'\n', &mut line)).await.context("idle")?? == 0 {
            return Ok(());
        }
        let whole = line.ends_with(b"\n");
        let answer = match serde_json::from_slice(&line) {
            _ if !whole => Answer::Error(format!("a request is one line of at most {REQUEST_BYTES_MAX} bytes")),
            Ok(request) => handler.handle(request).await,
            Err(error) => Answer::Error(format!("the request is not understood: {error}")),
        };
        let mut bytes = serde_json::to_vec(&answer)?;
        bytes.push(b'\n');
        timeout(IDLE, writer.write_all(&bytes)).await.context("the answer is not taken")??;
        if !whole {
            return Ok(());
        }
    }
}
