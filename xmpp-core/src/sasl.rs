//! SASL, server side.
