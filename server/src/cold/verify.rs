//! A look at every cold file: is it there, is it what was written, and does the catalogue say what is in it?

use std::collections::BTreeMap;

use super::Cold;
use super::format::parts;
use crate::storage::*;

/// Files that are read from the catalogue at a time, and findings that are told.
const FILES: usize = 50;
const FINDINGS: usize = 1_000;

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Looked {
    pub files: u64,
    pub messages: u64,
    pub entries: u64,
    pub bytes: u64,
    /// Sentences; none where all is as it should be.
    pub findings: Vec<String>,
}

impl Cold {
    /// Reads all files, one after the other. An error is one of the catalogue; what is wrong with a file is a finding.
    pub async fn verify(&self) -> Result<Looked, StoreError> {
        let mut looked = Looked::default();
        let (mut after, mut reach) = (0, MessageId(0));
        while looked.findings.len() < FINDINGS {
            let files = self.files()?.cold_files(after, false, FILES).await?;
            let Some(last) = files.last() else { break };
            after = last.number;
            for file in files {
                let name = format!("file {} ({})", file.number, file.place);
                if file.first <= reach || file.last < file.first {
                    looked.findings.push(format!("{name}: its ids are another file's too"));
                }
                reach = reach.max(file.last);
                let findings = self.verify_file(&file, &mut looked).await?;
                looked.findings.extend(findings.into_iter().map(|finding| format!("{name}: {finding}")));
            }
        }
        Ok(looked)
    }

    async fn verify_file(&self, file: &ColdFile, looked: &mut Looked) -> Result<Vec<String>, StoreError> {
        looked.files += 1;
        looked.bytes += file.bytes;
        let mut known = self.parts_of(file.number).await?;
        let entries = match self.entries_of(file).await {
            Ok(entries) => entries,
            Err(error) => {
                // It may have been written anew while this was looked for.
                let now = self.files()?.cold_files(file.number.saturating_sub(1), false, 1).await?;
                let is_same = now.first().is_some_and(|now| now == file);
                return Ok(if is_same { vec![error.to_string()] } else { Vec::new() });
            }
        };
        looked.messages += file.messages;
        looked.entries += entries.len() as u64;
        let mut findings = Vec::new();
        if entries.len() as u64 != file.entries {
            findings.push(format!("it has {} entries, and not {}", entries.len(), file.entries));
        }
        if entries.iter().any(|entry| !(file.first..=file.last).contains(&entry.id)) {
            findings.push("it has messages of other ids".to_owned());
        }
        let found: BTreeMap<AccountNumber, ColdPart> =
            parts(&entries).into_iter().map(|part| (part.owner, part)).collect();
        for (owner, part) in found {
            match known.remove(&owner) {
                Some(known) if known == part => {}
                // What was given up is still there until the file is written anew.
                Some(known) if file.stale > 0 && known.last == part.last && known.first >= part.first => {
                    let counts = |entry: &&super::format::Entry| {
                        entry.owner == owner && (known.first..=known.last).contains(&entry.id)
                    };
                    let count = entries.iter().filter(counts).count() as u64;
                    if count != known.entries {
                        findings.push(format!(
                            "account {} has {count} entries, and not {}",
                            owner.0, known.entries
                        ));
                    }
                }
                None if file.stale > 0 => {}
                Some(_) => findings.push(format!("the catalogue says other things of account {}", owner.0)),
                None => findings.push(format!("the catalogue does not know account {} there", owner.0)),
            }
        }
        findings.extend(known.keys().map(|owner| format!("it has nothing of account {}", owner.0)));
        Ok(findings)
    }
}
