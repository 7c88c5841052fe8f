//! The control socket: a file that only its owner may open, and that stands for one running server.

use std::fmt;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

/// Connections that the operating system holds until they are accepted.
const BACKLOG: i32 = 64;

/// The socket, listening. The file goes with it.
pub struct ControlSocket {
    pub listener: UnixListener,
    file: Owned,
}

/// Why there is no control socket. Each is a sentence that says what to do.
#[derive(Debug)]
pub enum SocketError {
    /// Another server answers there.
    Taken(PathBuf),
    /// Something else has that name.
    NoSocket(PathBuf),
    /// The path is longer than an address of the operating system holds.
    TooLong(PathBuf),
    Io(PathBuf, io::Error),
}

impl ControlSocket {
    /// Listens on `path`, in place of what a server left there that is gone.
    pub fn bind(path: &Path) -> Result<ControlSocket, SocketError> {
        let failed = |error| SocketError::Io(path.to_owned(), error);
        let address = SockAddr::unix(path).map_err(|_| SocketError::TooLong(path.to_owned()))?;
        clear(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
        socket.bind(&address).map_err(failed)?;
        let file = Owned::new(path).map_err(failed)?;
        // Before it listens: until then nobody can connect, whatever the process's umask is.
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).map_err(failed)?;
        socket.listen(BACKLOG).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let listener: std::os::unix::net::UnixListener = socket.into();
        Ok(ControlSocket { listener: UnixListener::from_std(listener).map_err(failed)?, file })
    }

    pub fn path(&self) -> &Path {
        &self.file.path
    }
}

/// Removes a socket on which nobody listens.
fn clear(path: &Path) -> Result<(), SocketError> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SocketError::Io(path.to_owned(), error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NoSocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| SocketError::Io(path.to_owned(), error))
        }
        Ok(_) => Err(SocketError::Taken(path.to_owned())),
        Err(error) => Err(SocketError::Io(path.to_owned(), error)),
    }
}

/// A file that this process made, by its inode: one of the same name that another process made since is
/// left alone.
struct Owned {
    path: PathBuf,
    inode: u64,
}

impl Owned {
    fn new(path: &Path) -> io::Result<Owned> {
        Ok(Owned { path: path.to_owned(), inode: path.symlink_metadata()?.ino() })
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if self.path.symlink_metadata().is_ok_and(|metadata| metadata.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketError::Taken(path) => write!(
                f,
                "a server answers on {} already: stop that one, or give this one another folder by --data",
                path.display()
            ),
            SocketError::NoSocket(path) => write!(
                f,
                "{} is the place of the control socket, and something else is there: move it away",
                path.display()
            ),
            SocketError::TooLong(path) => write!(
                f,
                "{} is too long for the control socket (107 bytes at most): choose a data folder with a shorter \
                 path",
                path.display()
            ),
            SocketError::Io(path, error) => {
                write!(f, "the control socket {} cannot be made: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for SocketError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_its_owner_may_open_it_and_the_file_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ctl.sock");
        let socket = ControlSocket::bind(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(ControlSocket::bind(&path), Err(SocketError::Taken(_))));
        assert!(UnixStream::connect(&path).is_ok());
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_dead_server_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ctl.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = ControlSocket::bind(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());

        // Another server took the place meanwhile: its socket is not ours to remove.
        std::fs::remove_file(&path).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn other_files_are_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ctl.sock");
        std::fs::write(&path, "a diary").unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(SocketError::NoSocket(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"a diary");
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_named() {
        let path = Path::new("/tmp").join("a".repeat(120));
        let error = ControlSocket::bind(&path).err().unwrap();
        assert!(matches!(error, SocketError::TooLong(_)), "{error}");
    }
}
