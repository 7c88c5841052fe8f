//! What the fuzz targets share.

/// A server's side of a connection: the same as in the tests of the stream.
#[path = "../../../xmpp-core/tests/stream/driver.rs"]
pub mod driver;
/// rxml's opinion of a document: the same as in the property tests.
#[path = "../../../xmpp-core/tests/properties/rxml.rs"]
pub mod oracle;
/// Documents from a tape of bytes: the same as in the property tests.
#[path = "../../../xmpp-core/tests/properties/tape.rs"]
pub mod tape;
