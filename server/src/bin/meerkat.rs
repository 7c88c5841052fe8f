//! `meerkat`: the server.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use server::admin::socket::ControlSocket;
use server::admin::{self, Admin};
use server::config::{self, Config};
use server::node::Node;
use server::telemetry::logging::{self, Logging};
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An XMPP server that loses nothing. Without arguments it serves `localhost`.
#[derive(Parser)]
#[command(name = "meerkat", version)]
struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the database, the certificate and the control socket.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Check the configuration, print what it comes to, and exit: 0 when it is good, 1 when not.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The one TLS provider; whoever asks for the default gets this one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = match load(&arguments) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::FAILURE;
        }
    };
    if arguments.check {
        print!("{}", config::resolved_toml(&config));
        return ExitCode::SUCCESS;
    }
    let logging = Arc::new(logging::init(&config.general));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("meerkat: no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve(&arguments, config, logging)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("meerkat: {error}");
            ExitCode::FAILURE
        }
    }
}

fn load(arguments: &Arguments) -> Result<Config, config::Problems> {
    let environment = config::environment();
    let file = config::config_file(arguments.config.as_deref(), &environment);
    config::load(file.as_deref(), &environment)
}

async fn serve(
    arguments: &Arguments,
    config: Config,
    logging: Arc<Logging>,
) -> Result<(), Box<dyn std::error::Error>> {
    let environment = config::environment();
    let data_dir = config::data_dir(arguments.data.as_deref(), &environment, &config);
    // Before anything that takes time: a signal that comes while it starts is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;

    // It may wait for its database; being stopped meanwhile is no failure.
    let node = tokio::select! {
        node = Node::open(config, &data_dir) => node?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let socket = ControlSocket::bind(&data_dir.join(admin::SOCKET_NAME))?;
    let listening = node.listen()?;
    // Somebody who does not listen to it wants the server all the same.
    let _ = write!(std::io::stdout(), "{}", admin::welcome::welcome(&node, &listening, socket.path()));
    let admin =
        Admin::new(node.clone(), logging, listening, arguments.config.clone(), arguments.data.clone());
    let commands = tokio::spawn(admin.clone().serve(socket));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = node.until_asked_to_stop() => break,
            // It logs what comes of it.
            _ = hangup.recv() => drop(admin.reload().await),
        }
    }
    node.stop().await;
    // The socket's file goes when all is written out: its end is what `meerkatctl stop` waits for.
    commands.abort();
    let _ = commands.await;
    Ok(())
}
