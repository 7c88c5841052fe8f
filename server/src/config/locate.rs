//! Where the configuration and the data are.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::Config;

const CONFIG_VARIABLE: &str = "MEERKAT_CONFIG";
const DATA_VARIABLE: &str = "MEERKAT_DATA";
const CONFIG_FILES: &[&str] = &["/member/meerkat.toml", "/etc/meerkat/meerkat.toml"];
const DATA_FOLDER: &str = "/var/lib/meerkat";
const DATA_FOLDER_HERE: &str = "./meerkat-data";

/// The configuration file, from `--config`, MEERKAT_CONFIG, or where it usually is. `None`: there is none,
/// and the defaults hold. A file that was named is returned whether or not it exists: that it does not is an
/// error then.
pub fn config_file(option: Option<&Path>, environment: &[(OsString, OsString)]) -> Option<PathBuf> {
    option
        .map(Path::to_owned)
        .or_else(|| variable(environment, CONFIG_VARIABLE))
        .or_else(|| CONFIG_FILES.iter().map(PathBuf::from).find(|file| file.exists()))
}

/// The data folder, from `--data`, MEERKAT_DATA, `general.data_dir`, or where it can be. It may not exist
/// yet.
pub fn data_dir(option: Option<&Path>, environment: &[(OsString, OsString)], config: &Config) -> PathBuf {
    option
        .map(Path::to_owned)
        .or_else(|| variable(environment, DATA_VARIABLE))
        .or_else(|| config.general.data_dir.clone())
        .unwrap_or_else(|| usual_data_dir(Path::new(DATA_FOLDER)))
}

/// The folders that are taken when none is named.
pub fn usual_data_dirs() -> [PathBuf; 2] {
    [DATA_FOLDER.into(), DATA_FOLDER_HERE.into()]
}

fn usual_data_dir(folder: &Path) -> PathBuf {
    if is_writable(folder) { folder.to_owned() } else { DATA_FOLDER_HERE.into() }
}

/// Whether this process can write in the folder, or make it.
fn is_writable(folder: &Path) -> bool {
    if folder.exists() {
        return folder.is_dir() && access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    }
    folder.parent().is_some_and(|parent| parent != folder && is_writable(parent))
}

fn variable(environment: &[(OsString, OsString)], name: &str) -> Option<PathBuf> {
    environment
        .iter()
        .find(|(key, value)| key == OsStr::new(name) && !value.is_empty())
        .map(|(_, value)| value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn the_file_that_was_named_goes_before_the_variable() {
        let environment = environment(&[("MEERKAT_CONFIG", "/b.toml")]);
        assert_eq!(config_file(Some(Path::new("/a.toml")), &environment), Some("/a.toml".into()));
        assert_eq!(config_file(None, &environment), Some("/b.toml".into()));
    }

    #[test]
    fn the_data_folder_that_was_named_goes_before_the_variable_and_that_before_the_key() {
        let mut config = Config::default();
        config.general.data_dir = Some("/c".into());
        let set = environment(&[("MEERKAT_DATA", "/b")]);
        assert_eq!(data_dir(Some(Path::new("/a")), &set, &config), Path::new("/a"));
        assert_eq!(data_dir(None, &set, &config), Path::new("/b"));
        assert_eq!(data_dir(None, &environment(&[("MEERKAT_DATA", "")]), &config), Path::new("/c"));
    }

    #[test]
    fn a_folder_that_cannot_be_written_or_made_gives_way_to_one_here() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("lib/meerkat");
        assert_eq!(usual_data_dir(&new), new);
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(usual_data_dir(&file), Path::new(DATA_FOLDER_HERE));
        assert_eq!(usual_data_dir(&file.join("meerkat")), Path::new(DATA_FOLDER_HERE));
    }
}
