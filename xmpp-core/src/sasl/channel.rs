//! What TLS lends to SASL: channel bindings.

/// A channel binding type that the server can check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BindingType {
    /// RFC 9266 section 2.
    TlsExporter,
    /// RFC 5929 section 4.
    TlsServerEndPoint,
}

impl BindingType {
    /// The strongest first.
    pub const ALL: [BindingType; 2] = [BindingType::TlsExporter, BindingType::TlsServerEndPoint];

    /// The unique prefix, as registered.
    pub fn name(self) -> &'static str {
        match self {
            BindingType::TlsExporter => "tls-exporter",
            BindingType::TlsServerEndPoint => "tls-server-end-point",
        }
    }

    pub fn from_name(name: &str) -> Option<BindingType> {
        BindingType::ALL.into_iter().find(|binding| binding.name() == name)
    }
}

/// What the stream must know of the TLS connection below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsInfo {
    pub version_1_3: bool,
    /// 32 bytes of keying material for the label `EXPORTER-Channel-Binding` and an empty context
    /// (RFC 9266 section 2). `None` where TLS ends before this server.
    pub exporter: Option<[u8; 32]>,
    /// The hash of the server's certificate (RFC 5929 section 4.1: with the hash of its signature, or
    /// SHA-256 in place of MD5 and SHA-1).
    pub server_end_point: Option<Vec<u8>>,
}

impl TlsInfo {
    /// The data to bind to, if this channel has that type.
    ///
    /// On TLS 1.2 there is none: a client that sees `-PLUS` there chooses `tls-unique`, which rustls
    /// does not have, and would fail where it could have logged in.
    pub fn binding(&self, binding: BindingType) -> Option<&[u8]> {
        match binding {
            _ if !self.version_1_3 => None,
            BindingType::TlsExporter => self.exporter.as_ref().map(|data| data.as_slice()),
            BindingType::TlsServerEndPoint => self.server_end_point.as_deref(),
        }
    }

    pub fn bindings(&self) -> Vec<BindingType> {
        BindingType::ALL.into_iter().filter(|binding| self.binding(*binding).is_some()).collect()
    }
}
