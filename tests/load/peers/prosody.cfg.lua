-- Prosody for the comparison: the modules of Debian's default configuration that correspond to what the other two
-- run (an archive only where `compare` fills one in, no PEP, no rooms), without bandwidth limits. All else is as shipped.
-- @DIR@, @PORT@, @DIRECT@, @CERTIFICATE@ and @KEY@ are filled in by `compare`.
run_as_root = true
pidfile = "@DIR@/prosody.pid"
data_path = "@DIR@/data"
interfaces = { "127.0.0.1" }
c2s_ports = { @PORT@ }
c2s_direct_tls_ports = { @DIRECT@ }
s2s_ports = { }
http_ports = { }
https_ports = { }
modules_enabled = {
  "roster"; "saslauth"; "tls"; "disco"; "blocklist"; "carbons"; "private"; "smacks"; "vcard"; "csi_simple";
  "ping"; "register"; "time"; "uptime"; "version"; "lastactivity"; "posix"; "offline"; @MAM@
}
@ARCHIVE@
modules_disabled = { "s2s"; "s2s_auth_certs" }
authentication = "internal_hashed"
allow_registration = true
c2s_require_encryption = false
log = { info = "@DIR@/prosody.log" }
ssl = { certificate = "@CERTIFICATE@"; key = "@KEY@" }
c2s_direct_tls_ssl = { certificate = "@CERTIFICATE@"; key = "@KEY@" }

VirtualHost "localhost"
