//! Where the control socket is when nobody says.

use std::path::PathBuf;

use crate::admin::SOCKET_NAME;
use crate::config::{self, Config};

/// In the data folder that a server would have which was started here. If there is none, in the first usual
/// data folder that has one.
pub fn socket() -> PathBuf {
    let environment = config::environment();
    let file = config::config_file(None, &environment);
    // A configuration that this user may not read, or with faults: the server knows it better.
    let config = config::load(file.as_deref(), &environment).unwrap_or_else(|_| Config::default());
    let socket = config::data_dir(None, &environment, &config).join(SOCKET_NAME);
    if socket.exists() {
        return socket;
    }
    let mut usual = config::usual_data_dirs().into_iter().map(|folder| folder.join(SOCKET_NAME));
    usual.find(|socket| socket.exists()).unwrap_or(socket)
}
