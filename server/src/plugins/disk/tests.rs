use std::time::Duration;

use super::*;

fn name(byte: u8) -> BlobName {
    BlobName::new([byte; BlobName::BYTES])
}

fn parts(parts: &[&'static str], end: Option<io::ErrorKind>) -> Content {
    let parts: Vec<io::Result<Bytes>> =
        parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect();
    Box::pin(stream::iter(parts.into_iter().chain(end.map(|kind| Err(kind.into())))))
}

async fn put(disk: &Disk, name: &BlobName, size: u64, content: Content) -> Result<(), PutError> {
    let shown = Shown { media_type: None, disposition: "attachment".to_owned() };
    disk.put(name, size, &shown, content).await
}

async fn read(disk: &Disk, name: &BlobName, range: Range<u64>) -> Option<String> {
    let mut content = disk.read(name, range).await.unwrap()?;
    let mut bytes = Vec::new();
    while let Some(part) = content.next().await {
        bytes.extend_from_slice(&part.unwrap());
    }
    Some(String::from_utf8(bytes).unwrap())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = entries(folder).unwrap().into_iter().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_blob_is_read_as_it_was_put() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path());
    assert_eq!(read(&disk, &name(1), 0..1).await, None);
    put(&disk, &name(1), 11, parts(&["hello", " ", "world"], None)).await.unwrap();
    put(&disk, &name(2), 0, parts(&[], None)).await.unwrap();
    assert_eq!(read(&disk, &name(1), 0..11).await.unwrap(), "hello world");
    assert_eq!(read(&disk, &name(1), 4..7).await.unwrap(), "o w");
    assert_eq!(read(&disk, &name(2), 0..0).await.unwrap(), "");
    for _ in 0..2 {
        assert_eq!(disk.remove(&name(1)).await, Ok(()));
        assert_eq!(read(&disk, &name(1), 0..11).await, None);
    }
    assert_eq!(files(folder.path()).len(), 1);
}

/// Nothing is left of what did not come whole, under no name.
#[tokio::test]
async fn half_a_blob_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path());
    let broken = [
        parts(&["hel"], Some(io::ErrorKind::ConnectionReset)),
        parts(&["hel"], None),
        parts(&["hello", "!"], None),
    ];
    for content in broken {
        let put = put(&disk, &name(1), 5, content).await;
        assert!(matches!(put, Err(PutError::Incomplete(_))), "{put:?}");
        assert_eq!(read(&disk, &name(1), 0..5).await, None);
    }
    // And of one that is given up in the middle.
    let silent = Box::pin(parts(&["hel"], None).chain(stream::pending()));
    let put = tokio::time::timeout(Duration::from_millis(50), put(&disk, &name(1), 5, silent)).await;
    assert!(put.is_err());
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn what_a_crash_left_is_tidied_up_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path());
    assert_eq!(disk.tidy(Duration::ZERO).await, Ok(0));
    put(&disk, &name(1), 2, parts(&["hi"], None)).await.unwrap();
    std::fs::write(folder.path().join(INCOMING).join("left"), "half").unwrap();
    assert_eq!(disk.tidy(Duration::from_secs(60)).await, Ok(0));
    assert_eq!(disk.tidy(Duration::ZERO).await, Ok(1));
    assert_eq!(files(folder.path()).len(), 1);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let put = put(&Disk::new(file.join("uploads")), &name(1), 2, parts(&["hi"], None)).await;
    let Err(PutError::Store(StoreError::Unavailable(why))) = put else { panic!("{put:?}") };
    assert!(why.contains("file/uploads"), "{why}");
}

#[tokio::test]
async fn a_file_goes_with_all_its_attempts() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path());
    let mut near = [1; BlobName::BYTES];
    near[1] = 2;
    for name in [name(1), name(1).attempt(1), name(1).attempt(2), BlobName::new(near)] {
        put(&disk, &name, 2, parts(&["hi"], None)).await.unwrap();
    }
    assert_eq!(disk.clear(&name(1)).await, Ok(()));
    assert_eq!(disk.clear(&name(3)).await, Ok(()));
    assert_eq!(read(&disk, &BlobName::new(near), 0..2).await.unwrap(), "hi");
    assert_eq!(files(folder.path()).len(), 1);
}
