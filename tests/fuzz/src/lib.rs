//! What the fuzz targets share.

/// rxml's opinion of a document.
pub mod oracle;
/// Documents from a tape of bytes: the same as in the property tests.
#[path = "../../../xmpp-core/tests/properties/tape.rs"]
pub mod tape;
