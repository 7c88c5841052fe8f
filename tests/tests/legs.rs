//! The order of modules, leg by leg, as ARCHITECTURE.md shows it.

use std::fmt::Write;
use std::path::Path;

use meerkat_tests::stage::Stage;
use server::config::Config;

/// `MEERKAT_WRITE_LEGS=1 cargo test -p meerkat-tests --test legs` writes the table anew.
#[tokio::test(start_paused = true)]
async fn the_architecture_shows_the_order_of_modules() {
    let mut config = Config::default();
    config.modules.register.enabled = true;
    let stage = Stage::new(config).await.expect("a stage");
    let host = stage.node.router.host();
    let mut table = String::from("| leg | modules, in their order |\n|---|---|\n");
    let mut leg = |name: &str, modules: Vec<&str>| {
        let modules = if modules.is_empty() { "(none yet)".to_owned() } else { modules.join(", ") };
        writeln!(table, "| {name} | {modules} |").expect("a line");
    };
    leg("sent", host.sent.iter().map(|(module, _)| *module).collect());
    leg("arrived", host.arrived.iter().map(|(module, _)| *module).collect());
    leg("delivered", host.delivered.iter().map(|(module, _)| *module).collect());
    leg("absent", host.absent.iter().map(|(module, _)| *module).collect());
    leg("session", host.session.iter().map(|(module, _)| *module).collect());

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md");
    let text = std::fs::read_to_string(&file).expect("ARCHITECTURE.md");
    let (begin, end) = ("<!-- legs:begin -->\n", "<!-- legs:end -->");
    let (before, rest) = text.split_once(begin).expect("the mark of the table's begin");
    let (shown, after) = rest.split_once(end).expect("the mark of its end");
    if std::env::var_os("MEERKAT_WRITE_LEGS").is_some() {
        std::fs::write(&file, format!("{before}{begin}{table}{end}{after}")).expect("written");
        return;
    }
    assert_eq!(shown, table, "ARCHITECTURE.md shows another order");
}
