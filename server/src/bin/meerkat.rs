//! `meerkat`: the server.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use server::config::{self, Config, TlsMode};
use server::node::{Listening, Node};
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

    let node = Node::open(config, &data_dir).await?;
    let listening = node.listen()?;
    announce(&node, &listening);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = node.until_asked_to_stop() => break,
            _ = hangup.recv() => match load(arguments) {
                Ok(new) => {
                    logging.apply(&new.general);
                    for change in node.reload(new) {
                        tracing::info!(key = %change.key, old = ?change.old, new = ?change.new, applies = ?change.applies, "reloaded");
                    }
                }
                Err(problems) => tracing::error!("the configuration is not reloaded: {problems}"),
            },
        }
    }
    node.stop().await;
    Ok(())
}

/// What a person wants to know who has just started it.
fn announce(node: &Node, listening: &Listening) {
    let config = node.config();
    let hosts: Vec<&str> = config.general.hosts.iter().map(|host| host.as_str()).collect();
    println!("Meerkat {} serves {}", env!("CARGO_PKG_VERSION"), hosts.join(", "));
    for (address, mode) in &listening.c2s {
        let how = match mode {
            TlsMode::Starttls => "STARTTLS",
            TlsMode::StarttlsOptional => "STARTTLS, or no TLS at all",
            TlsMode::Direct => "TLS from the first byte",
            TlsMode::None => "no TLS",
        };
        println!("  clients   {address} ({how})");
    }
    for address in &listening.metrics {
        println!("  metrics   http://{address}/metrics, /healthz, /readyz");
    }
    println!("  data      {}", node.data_dir.display());
    println!("Make an account with:");
    let socket = node.data_dir.join("ctl.sock");
    let domain = hosts.first().copied().unwrap_or("localhost");
    println!(
        "  meerkatctl --socket {} account registerUser --domain {domain} --username juliet",
        socket.display()
    );
}
